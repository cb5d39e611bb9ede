"""Acme Mail is held to its promises, against a fake that keeps lists as the vendor does."""

from __future__ import annotations

from typing import ClassVar

import httpx
from acme_audiences import Acme

from hub.sdk import Audience
from hub.sdk.testing import HttpConnectorContract, HttpVendor, json_body


# [fake]
class FakeAcme(HttpVendor):
    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[str, set[str]] = {}

    def members(self, audience: Audience) -> set[str]:
        return self.lists[audience.ref]

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/account":
            return httpx.Response(200, json={"id": "7", "name": "The shop"})
        if request.method == "PUT":
            name = request.url.path.removeprefix("/lists/")
            self.lists.setdefault(name.encode().hex(), set())
            return httpx.Response(200, json={"id": name.encode().hex(), "name": name})
        _, _, ref, action = request.url.path.split("/")
        body = json_body(request)
        if action == "remove":
            self.lists[ref] -= set(body["emails"])
            return httpx.Response(200, json={"refused": []})
        emails = {row["email"] for row in body["people"]}
        self.lists[ref] |= emails - set(self.refused)
        refused = [{"email": email, "why": self.refused[email]} for email in emails & set(self.refused)]
        return httpx.Response(200, json={"refused": refused})


# [/fake]
# [contract]
class TestAcme(HttpConnectorContract):
    connector = Acme
    config: ClassVar = {"token": "acme-token-1234"}
    fields: ClassVar = {"first_name": "Annabella"}

    def make_vendor(self) -> FakeAcme:
        return FakeAcme()


# [/contract]
