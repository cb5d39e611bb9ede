"""Iterable as it behaves: one hybrid project with users, their fields, lists, and those whom it has forgotten."""

from __future__ import annotations

from typing import Any

import httpx

from hub.sdk import Audience
from hub.sdk.testing import HttpVendor, json_body

KEY = "iterable-key-0123456789abcdef"
HOSTS = {"us": "api.iterable.com", "eu": "api.eu.iterable.com"}


class FakeIterable(HttpVendor):
    """`subscriptions` are the users of the project. Whoever leaves a list is unsubscribed from its channel as well,
    unless the request says otherwise. `failures` are lists of Iterable's that name people, by their names there."""

    def __init__(self, region: str = "us") -> None:
        super().__init__()
        self.host = HOSTS[region]
        self.lists: list[dict[str, Any]] = []
        self.on: dict[int, dict[str, None]] = {}
        self.fields: dict[str, dict[str, Any]] = {}
        self.forgotten: set[str] = set()
        self.failures: dict[str, list[str]] = {}
        self.add_list("an older one", "Dynamic")

    def members(self, audience: Audience) -> set[str]:
        return set(self.on[int(audience.ref)])

    def add_list(self, name: str, kind: str = "Standard") -> int:
        number = 1000 + len(self.lists)
        self.lists.append({"id": number, "name": name, "listType": kind, "createdAt": 1_700_000_000_000})
        self.on[number] = {}
        return number

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == self.host
        if request.headers["api-key"] != KEY:
            return httpx.Response(401, json={"code": "BadApiKey", "msg": "Invalid API key", "params": None})
        body, path = json_body(request), request.url.path.removeprefix("/api")
        match request.method, path:
            case "GET", "/lists":
                return httpx.Response(200, json={"lists": self.lists})
            case "POST", "/lists":
                return httpx.Response(200, json={"listId": self.add_list(body["name"])})
            case "GET", "/lists/getUsers":
                return self._users(int(request.url.params["listId"]))
            case "POST", "/users/forget":
                return self._forget(_named(body))
            case "POST", "/lists/subscribe" | "/lists/unsubscribe":
                return self._change(path, body)
        return httpx.Response(200, text=str(len(self.on[int(path.split("/")[2])])))

    def _users(self, number: int) -> httpx.Response:
        return httpx.Response(200, text="".join(f"{name}\n" for name in self.on[number]))

    def _forget(self, name: str) -> httpx.Response:
        self.forgotten.add(name)
        self.subscriptions.pop(name, None)
        for there in self.on.values():
            there.pop(name, None)
        return httpx.Response(200, json={"msg": "", "code": "Success", "params": None})

    def _change(self, path: str, body: Any) -> httpx.Response:
        assert len(body["subscribers"]) <= 1000
        if body["listId"] not in self.on:
            said = f"[/api{path}] error.lists.invalidListId"
            return httpx.Response(400, json={"code": "BadParams", "msg": said, "params": None})
        change = self._put_on if path.endswith("/subscribe") else self._take_off
        failed: dict[str, list[str]] = {}
        for user in body["subscribers"]:
            if why := change(body, user):
                listed = f"{why}{'Emails' if 'email' in user else 'UserIds'}"
                failed.setdefault(listed, []).append(_named(user))
        count = sum(map(len, failed.values()))
        told = {"successCount": len(body["subscribers"]) - count, "failCount": count, "failedUpdates": failed}
        return httpx.Response(200, json={**told, "createdFields": [], "filteredOutFields": []})

    def _put_on(self, body: Any, user: Any) -> str:
        name = _named(user)
        if name in self.refused:
            return "invalidData"
        if why := self._unable(name, creating=not body["updateExistingUsersOnly"]):
            return why
        self.subscriptions.setdefault(name, "subscribed")
        self.fields[name] = {**self.fields.get(name, {}), **user.get("dataFields", {})}
        self.on[body["listId"]][name] = None
        return ""

    def _take_off(self, body: Any, user: Any) -> str:
        name = _named(user)
        if why := self._unable(name, creating=False):
            return why
        self.on[body["listId"]].pop(name, None)
        if body.get("channelUnsubscribe", True):
            self.subscriptions[name] = "unsubscribed"
        return ""

    def _unable(self, name: str, *, creating: bool) -> str:
        why = next((why for why, names in self.failures.items() if name in names), "")
        if name in self.forgotten:
            return "forgotten"
        return why or ("" if creating or name in self.subscriptions else "notFound")


def _named(user: Any) -> str:
    return str(user["email"] if "email" in user else user["userId"])
