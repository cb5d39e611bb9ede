"""WordPress against a fake of a site with the hub's plugin; `tests/real` tells it to the plugin itself."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest

from connectors.wordpress import WordPress
from hub.sdk import AuthError, Batch, Outcome, OutcomeKind, Person, TransientError
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, HttpVendor, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {
    "url": "https://shop.example.com/wp-json",
    "username": "hub",
    "application_password": "abcd EFGH 1234 ijkl MNOP 5678",
}
PAGE = 500


class FakeWordPress(HttpVendor):
    """A site with the plugin; `subscriptions` are its users."""

    def __init__(self) -> None:
        super().__init__()
        self.segments: dict[str, set[str]] = {}
        self.meta: dict[str, dict[str, Any]] = {}

    def members(self, audience: Audience) -> set[str]:
        return {user for user, slugs in self.segments.items() if audience.ref in slugs}

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "shop.example.com"
        account = f"{CONFIG['username']}:{CONFIG['application_password']}".encode()
        if request.headers.get("authorization") != f"Basic {base64.b64encode(account).decode()}":
            return fault(401, "incorrect_password")
        path, body = request.url.path.removeprefix("/wp-json/hub/v1"), json_body(request)
        if path == "/status":
            return httpx.Response(200, json={"plugin": 1, "site": "Shop", "user": "hub"})
        if path == "/erase":
            return self._erase(body["users"])
        match = re.fullmatch(r"/audiences/([A-Za-z0-9_-]{1,191})/members", path)
        assert match, path
        if request.method == "GET":
            return self._list(match[1], int(request.url.params["page"]))
        return self._change(match[1], body)

    def _change(self, slug: str, body: Any) -> httpx.Response:
        assert len(body["add"]) <= 1000 and len(body["remove"]) <= 1000 and body["by"] in {"email", "id"}
        said = {"add": [self._add(slug, row) for row in body["add"]], "remove": []}
        for user in body["remove"]:
            self.segments.get(user, set()).discard(slug)
            said["remove"].append("done" if user in self.subscriptions else "unknown")
        return httpx.Response(200, json=said)

    def _add(self, slug: str, row: Any) -> str:
        user = row["user"]
        if user not in self.subscriptions:
            return "unknown"
        if user in self.refused or any(not re.fullmatch(r"[a-z0-9_]{1,64}", name) for name in row["fields"]):
            return "refused"
        self.segments.setdefault(user, set()).add(slug)
        held = {**self.meta.get(user, {}), **row["fields"]}
        self.meta[user] = {name: value for name, value in held.items() if value is not None}
        return "done"

    def _list(self, slug: str, page: int) -> httpx.Response:
        held = sorted(user for user, slugs in self.segments.items() if slug in slugs)
        found, pages = held[(page - 1) * PAGE : page * PAGE], -(-len(held) // PAGE)
        return httpx.Response(200, json={"members": found, "total": len(held), "pages": pages})

    def _erase(self, users: list[str]) -> httpx.Response:
        for user in users:
            self.segments.pop(user, None)
            self.meta.pop(user, None)
        return httpx.Response(200, json={"erased": len(users)})


def fault(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "message": "ann@example.com", "data": {"status": status}})


class TestWordPress(ThroughTheHub, HttpConnectorContract):
    connector = WordPress
    config: ClassVar = CONFIG
    fields: ClassVar = {"first_name": "Annabella-Private", "orders": 12}

    def make_vendor(self) -> FakeWordPress:
        return FakeWordPress()


class TestWordPressThatKnowsUsersByNumber(TestWordPress):
    config: ClassVar = {**CONFIG, "person": "user_id"}


@asynccontextmanager
async def wordpress(**config: Any) -> AsyncIterator[tuple[Stage, FakeWordPress, Audience]]:
    vendor = FakeWordPress()
    async with staged(WordPress, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(name: str, **fields: Any) -> Person:
    return Person(f"id-{name}", f"{name}@example.com", fields)


async def test_the_requests_of_a_run() -> None:
    async with wordpress() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        batch = Batch(add=[person("ann", plan="gold", old=None, tags=["a"])], remove=[person("bob")])
        result = await stage.connector.apply(audience, batch)
        await stage.connector.erase([person("ann")])
        assert result.outcomes == {"bob@example.com": Outcome(OutcomeKind.NOOP)}
        row = {"user": "ann@example.com", "fields": {"plan": "gold", "old": None, "tags": ["a"]}}
        assert [(r.method, str(r.url), json_body(r)) for r in stage.wire.requests] == [
            ("POST", "https://shop.example.com/wp-json/hub/v1/audiences/vip/members",
             {"by": "email", "add": [row], "remove": ["bob@example.com"]}),
            ("POST", "https://shop.example.com/wp-json/hub/v1/erase", {"by": "email", "users": ["ann@example.com"]}),
        ]  # fmt: skip


async def test_nobody_is_made_a_user() -> None:
    async with wordpress() as (stage, vendor, audience):
        result = await stage.connector.apply(audience, Batch(add=[person("new")]))
        assert result.outcomes == {"new@example.com": Outcome(OutcomeKind.REJECTED, "no such user on this site")}
        assert vendor.subscriptions == {} and vendor.meta == {}


async def test_a_field_whose_name_could_mean_another_meta_is_refused() -> None:
    async with wordpress() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        result = await stage.connector.apply(audience, Batch(add=[person("ann", **{"wp-capabilities": "x"})]))
        assert result.outcomes["ann@example.com"].kind is OutcomeKind.REJECTED and vendor.meta == {}


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (404, "rest_no_route", "copy deploy/wordpress/audience-hub.php into wp-content/mu-plugins"),
        (404, "", "no REST API of WordPress stands at that address"),
        (401, "incorrect_password", "takes no such user with this application password"),
        (403, "rest_forbidden", "the user may not manage_audiences"),
        (403, "", "answered 403"),
    ],
)
async def test_the_admin_is_told_what_is_missing_on_the_site(status: int, code: str, said: str) -> None:
    async with wordpress() as (stage, _, _audience):
        with stage.wire.answering(status, fault(status, code).content), pytest.raises(AuthError, match=said):
            await stage.connector.check()


@pytest.mark.parametrize("said", [b'{"add": [], "remove": []}', b'{"add": ["done", "done"], "remove": []}'])
async def test_a_word_too_few_or_too_many_is_nobodys(said: bytes) -> None:
    async with wordpress() as (stage, _, audience):
        with stage.wire.answering(200, said), pytest.raises(TransientError):
            await stage.connector.apply(audience, Batch(add=[person("ann")]))


async def test_a_site_with_plain_permalinks_is_reached_by_its_query() -> None:
    async with wordpress(url="https://shop.example.com/?rest_route=") as (stage, _, audience):
        with stage.wire.answering(200, b'{"members": [], "total": 0, "pages": 0}'):
            await stage.connector.members_page(audience)
        [request] = stage.wire.requests
        assert dict(request.url.params) == {
            "rest_route": "/hub/v1/audiences/vip/members",
            "by": "email",
            "page": "1",
        }
