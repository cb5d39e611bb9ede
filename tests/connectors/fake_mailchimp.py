"""Mailchimp as it behaves: one list with contacts, statuses and tags."""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import urlencode

import httpx

from hub.sdk import Audience, Inbound, Notice
from hub.sdk.testing import HttpVendor, json_body

BASE = "/3.0/lists/abc123"
SECRET = "our-webhook-secret-0123"


def contact_id(email: str) -> str:
    return hashlib.md5(email.lower().encode()).hexdigest()


class FakeMailchimp(HttpVendor):
    """One list: `subscriptions` are its contacts with their status."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[int, dict[str, Any]] = {}
        self.merge_fields: dict[str, dict[str, Any]] = {}
        self.bad_fields: set[str] = set()

    def members(self, audience: Audience) -> set[str]:
        return set(self.tags[int(audience.ref)]["members"])

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "us21.api.mailchimp.com" and request.headers["authorization"].startswith("Basic ")
        body, path = json_body(request), request.url.path.removeprefix(BASE)
        if match := re.fullmatch(r"/segments/(\d+)(/members)?", path):
            tag = self.tags.get(int(match[1]))
            if tag is None:
                return problem(404, "Resource Not Found")
            return self._list_members(tag, request) if match[2] else self._tag(tag, body)
        if match := re.fullmatch(r"/members/([0-9a-f]{32})(/actions/delete-permanent)?", path):
            return self._erase(match[1]) if match[2] else self._put(match[1], body)
        return {
            ("GET", ""): lambda: httpx.Response(200, json={"id": "abc123", "name": "Customers"}),
            ("POST", ""): lambda: self._batch(body),
            ("GET", "/segments"): lambda: self._list_tags(request),
            ("POST", "/segments"): lambda: self._make_tag(body),
        }[request.method, path]()

    def _list_tags(self, request: httpx.Request) -> httpx.Response:
        start = int(request.url.params["offset"])
        tags = list(self.tags.values())[start : start + int(request.url.params["count"])]
        return httpx.Response(200, json={"segments": [{"id": tag["id"], "name": tag["name"]} for tag in tags]})

    def _make_tag(self, body: Any) -> httpx.Response:
        tag = {"id": 1000 + len(self.tags), "name": body["name"], "members": set(body["static_segment"])}
        self.tags[tag["id"]] = tag
        return httpx.Response(200, json={"id": tag["id"], "name": tag["name"], "member_count": 0})

    def _tag(self, tag: dict[str, Any], body: Any) -> httpx.Response:
        add, remove = body["members_to_add"], body["members_to_remove"]
        if len(add) > 500 or len(remove) > 500:
            return problem(400, "Invalid Resource")
        errors = [
            {"email_addresses": [key], "error": self.refused[key]} for key in add if key in self.refused
        ] + [
            {"email_addresses": [key.upper()], "error": f"{key} is not subscribed to the list."}
            for key in (*add, *remove) if key not in self.subscriptions and key not in self.refused
        ]  # fmt: skip
        added = [key for key in add if key in self.subscriptions and key not in self.refused]
        tag["members"] |= set(added)
        tag["members"] -= set(remove)
        return httpx.Response(
            200,
            json={
                "members_added": [{"email_address": key} for key in added],
                "members_removed": [{"email_address": key} for key in remove],
                "errors": errors,
                "error_count": len(errors),
            },
        )

    def _list_members(self, tag: dict[str, Any], request: httpx.Request) -> httpx.Response:
        start, count = int(request.url.params["offset"]), int(request.url.params["count"])
        found = sorted(tag["members"])[start : start + count]
        members = [{"email_address": key.title()} for key in found]
        return httpx.Response(200, json={"members": members, "total_items": len(tag["members"])})

    def _batch(self, body: Any) -> httpx.Response:
        assert body["update_existing"] is True and all("status" not in member for member in body["members"])
        errors = []
        for member in body["members"]:
            key = member["email_address"]
            if key in self.bad_fields:
                errors.append({"email_address": key, "error": f"Your merge fields of {key} were invalid."})
            elif key in self.subscriptions:
                self.merge_fields[key] = member["merge_fields"]
        return httpx.Response(200, json={"new_members": [], "updated_members": [], "errors": errors})

    def _put(self, number: str, body: Any) -> httpx.Response:
        key = body["email_address"]
        assert number == contact_id(key)
        if key in self.refused:
            return problem(400, "Member In Compliance State", f"{key} is in a compliance state")
        self.subscriptions.setdefault(key, body["status_if_new"])
        self.merge_fields[key] = body["merge_fields"]
        return httpx.Response(200, json={"id": number, "email_address": key, "status": self.subscriptions[key]})

    def _erase(self, number: str) -> httpx.Response:
        key = next((key for key in self.subscriptions if contact_id(key) == number), None)
        if key is None:
            return problem(404, "Resource Not Found")
        del self.subscriptions[key]
        for tag in self.tags.values():
            tag["members"].discard(key)
        return httpx.Response(204)

    def tells(self, notice: Notice, key: str) -> Inbound:
        how = {
            Notice.UNSUBSCRIBED: {"type": "unsubscribe", "data[action]": "unsub", "data[reason]": "manual"},
            Notice.BOUNCED: {"type": "cleaned", "data[reason]": "hard"},
            Notice.COMPLAINED: {"type": "unsubscribe", "data[action]": "unsub", "data[reason]": "abuse"},
        }
        return told(**how[notice], **{"data[email]": key})

    def telling(self, body: bytes) -> Inbound:
        return Inbound("POST", SECRET, headers={"content-type": "application/x-www-form-urlencoded"}, body=body)


def told(**form: str) -> Inbound:
    """As Mailchimp's webhooks do; a field that is empty is left out."""
    usual = {"fired_at": "2026-11-22 09:30:00", "data[id]": "8a25ff1d98", "data[list_id]": "abc123"}
    sent = {name: value for name, value in {**usual, **form}.items() if value}
    return FakeMailchimp().telling(urlencode(sent).encode())


def problem(status: int, title: str, detail: str = "") -> httpx.Response:
    return httpx.Response(status, json={"type": "https://mailchimp.com/errors", "title": title, "status": status,
                                        "detail": detail, "instance": "x"})  # fmt: skip
