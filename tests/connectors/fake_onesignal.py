"""OneSignal as it behaves: one app with users, tags and segments, and an event stream with the body of our page."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx

from hub.sdk import Audience, Inbound, Notice
from hub.sdk.testing import HttpVendor, json_body

APP = "d5d4d1a8-1c9e-42fb-b3f2-56d3a5a9a8b7"
KEY = "os_v2_app_secret0123456789"
SECRET = "our-webhook-secret-0123"
PAGE = Path(__file__).parents[2] / "docs/connectors/onesignal.md"
EVENTS = {
    Notice.UNSUBSCRIBED: "message.push.unsubscribed",
    Notice.BOUNCED: "message.email.bounced",
    Notice.COMPLAINED: "message.email.reported_as_spam",
}


class FakeOneSignal(HttpVendor):
    """One app: `subscriptions` are its users."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, dict[str, str]] = {}
        self.segments: list[dict[str, Any]] = []

    def members(self, audience: Audience) -> set[str]:
        return {key for key, tags in self.tags.items() if tags.get(audience.ref) == "1"}

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "api.onesignal.com"
        if request.headers["authorization"] != f"Key {KEY}":
            return httpx.Response(401, json={"errors": ["no"]})
        path = request.url.raw_path.decode().partition("?")[0].removeprefix(f"/apps/{APP}")
        if match := re.fullmatch(r"/users/by/external_id/([^/]+)", path):
            return self._user(request, unquote(match[1]))
        assert path == "/segments"
        return self._list(request) if request.method == "GET" else self._define(json_body(request))

    def _user(self, request: httpx.Request, key: str) -> httpx.Response:
        if key not in self.subscriptions or key in self.refused:
            return httpx.Response(404, json={"errors": [{"title": f"User {key} not found"}]})
        if request.method == "DELETE":
            del self.subscriptions[key]
            self.tags.pop(key, None)
            return httpx.Response(200, json={"identity": {"external_id": key}})
        tags = json_body(request)["properties"]["tags"]
        held = {**self.tags.get(key, {}), **tags}
        self.tags[key] = {name: value for name, value in held.items() if value != ""}
        return httpx.Response(202, json={"properties": {"tags": tags}})

    def _list(self, request: httpx.Request) -> httpx.Response:
        start, limit = int(request.url.params.get("offset", 0)), int(request.url.params["limit"])
        assert limit <= 300
        return httpx.Response(200, json={"segments": self.segments[start : start + limit], "offset": start})

    def _define(self, body: Any) -> httpx.Response:
        if any(segment["name"] == body["name"] for segment in self.segments):
            return httpx.Response(409, json={"errors": ["Segment already exists"]})
        self.segments.append({"id": str(len(self.segments)), **body})
        return httpx.Response(201, json={"success": True, "id": self.segments[-1]["id"]})

    def tells(self, notice: Notice, key: str) -> Inbound:
        return self.tells_of(EVENTS[notice], key)

    def tells_of(self, kind: str, key: str, **further: str) -> Inbound:
        """An event of this kind; `further` are other properties, by their names with underscores."""
        known = {
            "event_kind": kind,
            "event_id": "8b2f1a52-0f5e-4a51-9c8b-0d6a3c1b7e55",
            "event_timestamp": str(int(time.time())),
            "event_external_id": key,
            # Those whom the app knows by their external id alone.
            "user_subscription_subscription_token": "",
        }
        return self.telling(rendered({**known, **further}).encode())

    def telling(self, body: bytes) -> Inbound:
        return Inbound("POST", headers={"authorization": f"Bearer {SECRET}"}, body=body)


def template() -> str:
    """The body that our page has the admin paste into the event stream."""
    [block] = re.findall(r"```json\n(.+?)```", PAGE.read_text(), re.DOTALL)
    json.loads(block)
    return block


def rendered(values: dict[str, str]) -> str:
    """As Liquid would: the texts as they are, nothing for what there is not."""
    return re.sub(r"\{\{ ([\w.]+) \}\}", lambda found: values[found[1].replace(".", "_")], template())
