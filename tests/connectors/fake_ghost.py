"""A fake of one Ghost site: members, their labels and newsletters, and the webhook of its edits."""

from __future__ import annotations

import hmac
import json
import re
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import httpx
import jwt

from hub.sdk import Inbound, Notice
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpVendor, json_body

KEY_ID, KEY_SECRET = "0123456789abcdef01234567", "89abcdef" * 8
WEBHOOK_SECRET = "a-secret-of-the-webhooks"
CONFIG = {
    "url": "https://blog.example.com",
    "admin_api_key": f"{KEY_ID}:{KEY_SECRET}",
    "webhook_secret": WEBHOOK_SECRET,
}
API = "/ghost/api/admin"


class FakeGhost(HttpVendor):
    """One site: `subscriptions` are its members, with their newsletters as a word."""

    notices: ClassVar[Sequence[Notice]] = (Notice.UNSUBSCRIBED,)

    def __init__(self) -> None:
        super().__init__()
        self.labels: dict[str, str] = {}
        self.held: dict[str, list[str]] = {}
        self.described: dict[str, dict[str, str]] = {}

    def members(self, audience: Audience) -> set[str]:
        return {key for key, slugs in self.held.items() if audience.ref in slugs}

    def number(self, key: str) -> str:
        return key.encode().hex()

    def answer(self, request: httpx.Request) -> httpx.Response:
        if not self._believes(request):
            return problem(401, "Invalid token")
        assert request.headers["accept-version"] == "v6.0" and request.url.host == "blog.example.com"
        path, body = request.url.path.removeprefix(API), json_body(request)
        if path == "/labels/":
            return self._list_labels(request) if request.method == "GET" else self._make_label(body["labels"][0])
        if match := re.fullmatch(r"/members/([^/]+)/", path):
            key = bytes.fromhex(match[1]).decode()
            if key not in self.subscriptions:
                return problem(404, "Resource not found error, cannot edit member.")
            return self._delete(key) if request.method == "DELETE" else self._save(key, body["members"][0])
        assert path == "/members/", path
        return self._list(request) if request.method == "GET" else self._create(body["members"][0])

    def _believes(self, request: httpx.Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            claims = jwt.decode(token, bytes.fromhex(KEY_SECRET), ["HS256"], audience="/admin/")
        except jwt.PyJWTError:
            return False
        return (
            scheme == "Ghost"
            and claims["exp"] - claims["iat"] <= 300
            and jwt.get_unverified_header(token)["kid"] == KEY_ID
        )

    def _list_labels(self, request: httpx.Request) -> httpx.Response:
        labels = [self._label(slug) for slug in self.labels]
        return self._page("labels", labels, request)

    def _label(self, slug: str) -> dict[str, str]:
        return {"id": f"l-{slug}", "name": self.labels[slug], "slug": slug}

    def _page(self, what: str, items: list[Any], request: httpx.Request) -> httpx.Response:
        # Whatever the limit says, a page never holds more than a hundred.
        limit, page = min(int(request.url.params["limit"]), 100), int(request.url.params.get("page", 1))
        pages = max(1, -(-len(items) // limit))
        following = page + 1 if page < pages else None
        pagination = {"page": page, "limit": limit, "pages": pages, "total": len(items), "next": following}
        found = items[(page - 1) * limit : page * limit]
        return httpx.Response(200, json={what: found, "meta": {"pagination": pagination}})

    def _named(self, name: str) -> str:
        """The slug of the label of that name, made if need be: names are compared without case, slugs are unique."""
        name = name.strip()
        for slug, known in self.labels.items():
            if known.lower() == name.lower():
                return slug
        slug = base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        for count in range(2, 99):
            if slug not in self.labels:
                break
            slug = f"{base}-{count}"
        self.labels[slug] = name
        return slug

    def _make_label(self, label: Any) -> httpx.Response:
        if any(known.lower() == label["name"].strip().lower() for known in self.labels.values()):
            return problem(422, "Label already exists")
        return httpx.Response(201, json={"labels": [self._label(self._named(label["name"]))]})

    def _list(self, request: httpx.Request) -> httpx.Response:
        kind, value = re.fullmatch(r"(email|label):'(.*)'|", request.url.params.get("filter", "")).groups()  # type: ignore[union-attr]
        value = re.sub(r"\\(.)", r"\1", value or "")
        return self._page("members", [self._member(key) for key in sorted(self._wanted(kind, value))], request)

    def _wanted(self, kind: str | None, value: str) -> list[str]:
        if kind == "email":
            return [value] if value in self.subscriptions else []
        return [key for key in self.subscriptions if kind is None or value in self.held.get(key, [])]

    def _member(self, key: str) -> dict[str, Any]:
        labels = [self._label(slug) for slug in self.held.get(key, [])]
        told = {"name": None, "note": None, **self.described.get(key, {})}
        newsletters = [{"id": "n1", "name": "Weekly"}] if self.subscriptions[key] == "subscribed" else []
        return {"id": self.number(key), "email": key, "labels": labels, "newsletters": newsletters, **told}

    def _save(self, key: str, member: Any) -> httpx.Response:
        if key in self.refused:
            return problem(422, "Validation error, cannot edit member.", self.refused[key])
        if "newsletters" in member:
            self.subscriptions[key] = "subscribed" if member["newsletters"] else "none"
        if "labels" in member:
            self.held[key] = [self._named(label["name"]) for label in member["labels"]]
        told = {name: member[name] for name in ("name", "note") if name in member}
        self.described[key] = {**self.described.get(key, {}), **told}
        return httpx.Response(200, json={"members": [self._member(key)]})

    def _create(self, member: Any) -> httpx.Response:
        key = member["email"]
        if key in self.refused:
            return problem(422, "Validation error, cannot save member.", self.refused[key])
        self.subscriptions[key] = "none" if member.get("newsletters") == [] else "subscribed"
        return replace_status(self._save(key, member), 201)

    def _delete(self, key: str) -> httpx.Response:
        del self.subscriptions[key]
        self.held.pop(key, None)
        return httpx.Response(204)

    def tells(self, notice: Notice, key: str) -> Inbound:
        now = {"id": self.number(key), "email": key, "updated_at": "2026-11-22T10:00:00.000Z", "newsletters": []}
        return self.edited(now, {"newsletters": [{"id": "n1"}]})

    def edited(self, now: Any, before: Any) -> Inbound:
        return self.telling(
            json.dumps({"event": "member.edited", "member": {"current": now, "previous": before}}).encode()
        )

    def telling(self, body: bytes) -> Inbound:
        moment = str(int(time.time() * 1000))
        digest = hmac.new(WEBHOOK_SECRET.encode(), body + moment.encode(), "sha256").hexdigest()
        return Inbound("POST", headers={"x-ghost-signature": f"sha256={digest}, t={moment}"}, body=body)


def problem(status: int, message: str, context: str = "") -> httpx.Response:
    return httpx.Response(status, json={"errors": [{"message": message, "context": context or None, "type": "x"}]})


def replace_status(response: httpx.Response, status: int) -> httpx.Response:
    return httpx.Response(status, content=response.content)
