"""Brevo as it behaves: contacts with attributes and block lists, lists in folders, and a budget of requests."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import Any
from urllib.parse import unquote

import httpx

from hub.sdk import Audience, Inbound, Notice
from hub.sdk.testing import HttpVendor, json_body

KEY = "xkeysib-0123456789abcdef"
SECRET = "our-webhook-secret-0123"
EVENTS = {Notice.UNSUBSCRIBED: "unsubscribe", Notice.BOUNCED: "hard_bounce", Notice.COMPLAINED: "spam"}


class FakeBrevo(HttpVendor):
    """One account: `subscriptions` are its contacts; whoever's is not "subscribed" is on the block list. `left` are
    the lists that somebody has unsubscribed from, `bad_fields` whose attributes it refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.folders: dict[int, str] = {1: "Your first folder"}
        self.lists: dict[int, dict[str, Any]] = {2: {"name": "Newsletter", "folder": 1, "members": []}}
        self.attributes: dict[str, dict[str, Any]] = {}
        self.left: dict[str, list[int]] = {}
        self.bad_fields: set[str] = set()
        self.without_address = 0

    def members(self, audience: Audience) -> set[str]:
        return set(self.lists[int(audience.ref)]["members"])

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "api.brevo.com"
        if request.headers["api-key"] != KEY:
            return problem(401, "unauthorized", "Key not found")
        path = request.url.raw_path.decode().partition("?")[0].removeprefix("/v3")
        budget = (99, 3600) if path == "/account" else (9, 1)
        answer = self._answer(request, path)
        answer.headers["x-sib-ratelimit-remaining"], answer.headers["x-sib-ratelimit-reset"] = map(str, budget)
        return answer

    def _answer(self, request: httpx.Request, path: str) -> httpx.Response:
        body = json_body(request)
        if match := re.fullmatch(r"/contacts/lists/(\d+)/contacts(/add|/remove)?", path):
            found = self.lists.get(int(match[1]))
            if found is None:
                return problem(404, "document_not_found", "List ID does not exist")
            return self._change(found["members"], match[2], body["emails"]) if match[2] else self._list(found, request)
        known = {
            ("GET", "/account"): lambda: ok({"email": "owner@shop.example", "companyName": "Shop", "plan": []}),
            ("GET", "/contacts/lists"): lambda: self._names("lists", request),
            ("GET", "/contacts/folders"): lambda: self._names("folders", request),
            ("POST", "/contacts/lists"): lambda: self._make_list(body),
            ("POST", "/contacts/folders"): lambda: self._make_folder(body),
            ("POST", "/contacts"): lambda: self._create(body),
            ("POST", "/contacts/batch"): lambda: self._describe(body["contacts"]),
        }
        if (request.method, path) in known:
            return known[request.method, path]()
        assert request.url.params["identifierType"] == "email_id"
        return self._contact(request.method, unquote(path.removeprefix("/contacts/")), body)

    def _names(self, kind: str, request: httpx.Request) -> httpx.Response:
        """Where there are none, the list of them is left out."""
        start, limit = int(request.url.params["offset"]), int(request.url.params["limit"])
        assert limit <= 50 and request.url.params["sort"] == "asc"
        items = {"lists": {n: one["name"] for n, one in self.lists.items()}, "folders": self.folders}[kind]
        page = [{"id": number, "name": name} for number, name in items.items()][start : start + limit]
        return ok({"count": len(items), **({kind: page} if page else {})})

    def _make_folder(self, body: Any) -> httpx.Response:
        self.folders[max(self.folders, default=0) + 1] = body["name"]
        return ok({"id": max(self.folders)}, 201)

    def _make_list(self, body: Any) -> httpx.Response:
        if body["folderId"] not in self.folders:
            return problem(400, "invalid_parameter", "Folder ID does not exist")
        number = max(self.lists, default=0) + 1
        self.lists[number] = {"name": body["name"], "folder": body["folderId"], "members": []}
        return ok({"id": number}, 201)

    def _change(self, members: list[str], how: str, emails: list[str]) -> httpx.Response:
        assert 1 <= len(emails) <= 150
        done = [key for key in emails if key in self.subscriptions and (key in members) == (how == "/remove")]
        done = [key for key in done if how == "/remove" or (key not in self.refused and not self.left.get(key))]
        for key in done:
            members.append(key) if how == "/add" else members.remove(key)
        if not done:
            word = "in" if how == "/add" else "removed from"
            return problem(400, "invalid_parameter", f"Contact already {word} list and/or does not exist")
        failure = [key for key in emails if key not in done]
        return ok({"contacts": {"success": [key.title() for key in done], "failure": failure}}, 201)

    def _list(self, found: dict[str, Any], request: httpx.Request) -> httpx.Response:
        start, limit = int(request.url.params["offset"]), int(request.url.params["limit"])
        assert limit <= 500
        everyone = [{"id": number, "email": key.title()} for number, key in enumerate(found["members"], 10)]
        everyone += [{"id": 9000 + number} for number in range(self.without_address)]
        return ok({"contacts": everyone[start : start + limit], "count": len(everyone)})

    def _create(self, body: Any) -> httpx.Response:
        key = body["email"]
        if key in self.subscriptions:
            said = "Unable to create contact, email is already associated with another Contact"
            return problem(400, "duplicate_parameter", said)
        if key in self.refused:
            return problem(400, "invalid_parameter", self.refused[key])
        self.know(key)
        self.attributes[key] = body["attributes"]
        for number in body["listIds"]:
            self.lists[number]["members"].append(key)
        return ok({"id": 77}, 201)

    def _describe(self, contacts: list[dict[str, Any]]) -> httpx.Response:
        if any(one["email"] not in self.subscriptions for one in contacts):
            return problem(404, "document_not_found", "Contact does not exist")
        if any(one["email"] in self.bad_fields for one in contacts):
            return problem(400, "invalid_parameter", "Invalid attributes")
        for one in contacts:
            self.attributes.setdefault(one["email"], {}).update(one["attributes"])
        return httpx.Response(204)

    def _contact(self, method: str, key: str, body: Any) -> httpx.Response:
        if key not in self.subscriptions:
            return problem(404, "document_not_found", "Contact does not exist")
        if method == "PUT":
            if key in self.bad_fields:
                return problem(400, "invalid_parameter", f"{key} has invalid attributes")
            self.attributes.setdefault(key, {}).update(body["attributes"])
            return httpx.Response(204)
        if method == "DELETE":
            del self.subscriptions[key]
            for one in self.lists.values():
                one["members"] = [member for member in one["members"] if member != key]
            return httpx.Response(204)
        on = [number for number, one in self.lists.items() if key in one["members"]]
        blocked = self.subscriptions[key] != "subscribed"
        told = {"id": 7, "email": key, "emailBlacklisted": blocked, "smsBlacklisted": False, "listIds": on}
        return ok({**told, "listUnsubscribed": self.left.get(key)})

    def tells(self, notice: Notice, key: str) -> Inbound:
        return self.telling(json.dumps(told(EVENTS[notice], key)).encode())

    def telling(self, body: bytes) -> Inbound:
        return Inbound("POST", headers={"authorization": f"Bearer {SECRET}"}, body=body)


def told(event: str, key: str, **more: Any) -> dict[str, Any]:
    """An event of a marketing webhook; its `id` is the webhook's, and two of its times are in other zones."""
    times = {"date_event": "2026-11-22 11:00:00", "ts_event": 1795341600, "ts": 1795345200}
    return {"id": 4, "camp_id": 12, "campaign name": "Sale", "email": key, "event": event, **times, **more}


def basic(secret: str) -> dict[str, str]:
    return {"authorization": f"Basic {b64encode(f'hub:{secret}'.encode()).decode()}"}


def ok(body: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


def problem(status: int, code: str, message: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "message": message})
