"""Braze as it behaves: one workspace with users, their attributes and their e-mail subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx

from hub.sdk import Audience
from hub.sdk.testing import HttpVendor, json_body

INSTANCE = "rest.fra-01.braze.eu"
KEY = "braze-key-0123456789abcdef"
LABEL = "shop"
NOTHING_VALID = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."
STANDARD = {"external_id", "user_alias", "_update_existing_only"}


class FakeBraze(HttpVendor):
    """`subscriptions` are the users that Braze knows, by the one name that the hub goes by. `maintained` is Braze
    while it only queues; `tongue_tied` does not say whose error it is."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes: dict[str, dict[str, Any]] = {}
        self.maintained = self.tongue_tied = False

    def members(self, audience: Audience) -> set[str]:
        return {key for key, held in self.attributes.items() if held.get(audience.ref) is True}

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.method == "POST" and request.url.host == INSTANCE
        if request.headers["authorization"] != f"Bearer {KEY}":
            return httpx.Response(401, json={"message": "Invalid API key"})
        body = json_body(request)
        match request.url.path:
            case "/users/track":
                return self._track(body, most=75)
            case "/users/track/bulk":
                return self._track(body, most=1000)
            case "/users/delete":
                return self._delete(body)
        raise AssertionError(request.url.path)

    def _track(self, body: Any, most: int) -> httpx.Response:
        rows = body["attributes"]
        assert set(body) == {"attributes"} and len(rows) <= most
        errors = [
            {"type": self.refused[key], "input_array": "attributes", "index": place}
            for place, key in enumerate(map(_key, rows)) if key in self.refused
        ]  # fmt: skip
        if len(errors) == len(rows):
            return httpx.Response(400, json={"message": NOTHING_VALID, "errors": errors})
        if self.maintained:
            return httpx.Response(202, json={"message": "queued"})
        for row in rows:
            self._write(row)
        return self._taken(rows, errors)

    def _taken(self, rows: Sequence[Any], errors: list[Any]) -> httpx.Response:
        told: dict[str, Any] = {"message": "success", "attributes_processed": len(rows) - len(errors)}
        if self.tongue_tied:
            errors = [error["type"] for error in errors]
        return httpx.Response(201, json={**told, "errors": errors} if errors else told)

    def _write(self, row: Any) -> None:
        key = _key(row)
        if key in self.refused or (row["_update_existing_only"] and key not in self.subscriptions):
            return
        # Without an address there is nothing to subscribe.
        self.subscriptions.setdefault(key, "no address")
        held = {**self.attributes.get(key, {}), **{name: row[name] for name in row.keys() - STANDARD}}
        self.attributes[key] = {name: value for name, value in held.items() if value is not None}

    def _delete(self, body: Any) -> httpx.Response:
        [(kind, named)] = body.items()
        assert kind in {"external_ids", "user_aliases"} and len(named) <= 50
        keys = named if kind == "external_ids" else [_named(alias) for alias in named]
        there = [key for key in keys if key in self.subscriptions]
        for key in there:
            del self.subscriptions[key]
            self.attributes.pop(key, None)
        return httpx.Response(201, json={"deleted": len(there), "message": "success"})


def _key(row: Any) -> str:
    return str(row["external_id"]) if "external_id" in row else _named(row["user_alias"])


def _named(alias: Any) -> str:
    assert set(alias) == {"alias_label", "alias_name"} and alias["alias_label"] == LABEL
    return str(alias["alias_name"])
