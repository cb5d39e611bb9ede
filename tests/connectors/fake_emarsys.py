"""Emarsys as it behaves: one account with contacts, their fields and opt-ins, and contact lists."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

import httpx

from hub.sdk import Audience
from hub.sdk.testing import HttpVendor, json_body

USER, SECRET = "shop001", "emarsys-secret-0123456789"
CLIENT, CLIENT_SECRET = "8c2f-client", "emarsys-client-secret-0123"
TOKEN = re.compile(r'UsernameToken Username="(.+?)", PasswordDigest="(.+?)", Nonce="(.+?)", Created="(.+?)"')


class FakeEmarsys(HttpVendor):
    """`subscriptions` are the contacts' opt-ins (field 31), by what `key_field` holds; `several` are keys that more
    than one contact has. A nonce is good once."""

    def __init__(self, key_field: str = "3") -> None:
        super().__init__()
        self.key_field = key_field
        self.lists: dict[int, str] = {}
        self.on: dict[int, list[str]] = {}
        self.fields: dict[str, dict[str, Any]] = {}
        self.numbers: dict[str, int] = {}
        self.several: set[str] = set()
        self.nonces: set[str] = set()
        self.tokens: set[str] = set()

    def state(self) -> Any:
        """A check uses up a nonce, or asks for a token: of that the account keeps nothing."""
        return {name: value for name, value in super().state().items() if name not in {"nonces", "tokens"}}

    def members(self, audience: Audience) -> set[str]:
        return set(self.on[int(audience.ref)])

    def know(self, key: str, subscription: str = "subscribed") -> None:
        super().know(key, subscription)
        self.numbers.setdefault(key, 900_000 + len(self.numbers))

    def add_list(self, name: str) -> int:
        number = 100 + len(self.lists)
        self.lists[number], self.on[number] = name, []
        return number

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.emarsys.net":
            return self._grant(request)
        assert request.url.host == "api.emarsys.net"
        version, path = re.fullmatch(r"/api/(v[23])(/.*)", request.url.path).groups()  # type: ignore[union-attr]
        if not (self._believes(request) if version == "v2" else self._knows(request)):
            return reply(1, "Unauthorized", status=401)
        return self._serve(request.method, path, request.url.params, json_body(request))

    def _grant(self, request: httpx.Request) -> httpx.Response:
        client = base64.b64encode(f"{CLIENT}:{CLIENT_SECRET}".encode()).decode()
        assert request.url.path == "/oauth2/token" and request.content == b"grant_type=client_credentials"
        if request.headers["authorization"] != f"Basic {client}":
            return httpx.Response(401, json={"error": "invalid_client"})
        token = secrets.token_hex(16)
        self.tokens.add(token)
        return httpx.Response(200, json={"access_token": token, "expires_in": 3599, "token_type": "bearer"})

    def _knows(self, request: httpx.Request) -> bool:
        return request.headers["authorization"].removeprefix("Bearer ") in self.tokens

    def _believes(self, request: httpx.Request) -> bool:
        user, digest, nonce, created = TOKEN.fullmatch(request.headers["x-wsse"]).groups()  # type: ignore[union-attr]
        assert nonce not in self.nonces, "a nonce is good once"
        self.nonces.add(nonce)
        digits = hashlib.sha1(f"{nonce}{created}{SECRET}".encode()).hexdigest()
        return user == USER and base64.b64decode(digest).decode() == digits

    def _serve(self, method: str, path: str, params: Mapping[str, str], body: Any) -> httpx.Response:
        match method, path:
            case "GET", "/contactlist":
                return reply(data=[{"id": str(number), "name": name} for number, name in self.lists.items()])
            case "POST", "/contactlist":
                return self._make(body)
            case "PUT", "/contact/":
                return self._upsert(body, creating=params["create_if_not_exists"] == "1")
            case "POST", "/contact/getdata":
                return self._data(body)
            case "POST", "/contact/delete":
                return self._delete(body)
        _, _, number, action = path.split("/")
        if int(number) not in self.on:
            return reply(3004, f"Invalid contact list id: {number}", status=400)
        return self._page(int(number), params) if method == "GET" else self._change(int(number), action, body)

    def _make(self, body: Any) -> httpx.Response:
        assert body["external_ids"] == []
        if body["name"] in self.lists.values():
            return reply(3005, "Contact list with the requested name already exists", status=400)
        return reply(data={"id": self.add_list(body["name"])})

    def _upsert(self, body: Any, *, creating: bool) -> httpx.Response:
        assert body["key_id"] == self.key_field and len(body["contacts"]) <= 1000
        errors, ids = {}, []
        for contact in body["contacts"]:
            assert "31" not in contact
            key = contact[self.key_field]
            if why := self._against(key, creating=creating):
                errors[key] = why
                continue
            if key not in self.subscriptions:
                self.know(key, "no opt-in")
            self.fields[key] = {**self.fields.get(key, {}), **contact}
            ids.append(str(self.numbers[key]))
        return reply(data={"ids": ids, "errors": errors or []})

    def _against(self, key: str, *, creating: bool) -> dict[str, str]:
        if key in self.refused:
            return {"2005": self.refused[key]}
        return self._unknown(key) if key in self.several or not creating else {}

    def _unknown(self, key: str) -> dict[str, str]:
        if key in self.several:
            return {"2010": f"More contacts found with the external id: {self.key_field} - {key}"}
        found = key in self.subscriptions
        return {} if found else {"2008": f"No contact found with the external id: {self.key_field} - {key}"}

    def _change(self, number: int, action: str, body: Any) -> httpx.Response:
        assert body["key_id"] == self.key_field and len(body["external_ids"]) <= 10_000
        errors = {key: why for key in body["external_ids"] if (why := self._unknown(key))}
        done = [key for key in body["external_ids"] if key not in errors]
        there = [key for key in self.on[number] if key not in done]
        changed = len(set(done) - set(self.on[number])) if action == "add" else len(self.on[number]) - len(there)
        self.on[number] = [*there, *done] if action == "add" else there
        counted = "inserted_contacts" if action == "add" else "deleted_contacts"
        return reply(data={counted: changed, "errors": errors or []})

    def _page(self, number: int, params: Mapping[str, str]) -> httpx.Response:
        """By ascending ids, from the one behind the token."""
        start, top = int(params["$skiptoken"]), int(params["$top"])
        ids = sorted(self.numbers[key] for key in self.on[number])
        page = [one for one in ids if one > start][:top]
        more = page and page[-1] != ids[-1]
        following = f"/contactlist/{number}/contactIds?$skiptoken={page[-1]}&$top={top}" if more else None
        return httpx.Response(200, json={"value": page, "next": following})

    def _data(self, body: Any) -> httpx.Response:
        assert body["keyId"] == "id" and len(body["keyValues"]) <= 1000 and body["fields"] == [self.key_field]
        wanted = {int(number) for number in body["keyValues"]}
        found = [{"id": str(number), self.key_field: key} for key, number in self.numbers.items() if number in wanted]
        return reply(data={"errors": [], "result": found or False})

    def _delete(self, body: Any) -> httpx.Response:
        assert body["key_id"] == self.key_field and len(body[self.key_field]) <= 1000
        errors = {key: why for key in body[self.key_field] if (why := self._unknown(key))}
        for key in (key for key in body[self.key_field] if key not in errors):
            del self.subscriptions[key]
            self.fields.pop(key, None)
            for there in self.on.values():
                there[:] = [one for one in there if one != key]
        return reply(data={"errors": errors or []})


def reply(code: int = 0, text: str = "OK", *, data: Any = "", status: int = 200) -> httpx.Response:
    return httpx.Response(status, json={"replyCode": code, "replyText": text, "data": data})
