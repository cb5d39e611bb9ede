"""Airship against a fake that keeps named users and their tags by group."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.airship import Airship, AirshipConfig
from hub.sdk import AuthError, Batch, OutcomeKind, Person, RefusedError
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, HttpVendor, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.through_the_hub import ThroughTheHub

APP = "ABCDEFGHIJKLMNOPQRSTUV"
CONFIG = {"app_key": APP, "master_secret": "master-secret-0123456789", "tag_group": "hub"}
BEARER = {"app_key": APP, "bearer_token": "bearer-token-0123456789", "tag_group": "hub", "region": "eu"}


class FakeAirship(HttpVendor):
    """One project: `subscriptions` are its named users. One that it cannot take spoils the request."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: dict[str, dict[str, set[str]]] = {"hub": {}, "theirs": {}}
        self.warnings: list[str] = []

    def members(self, audience: Audience) -> set[str]:
        return set(self.groups["hub"].get(audience.ref, set()))

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["accept"] == "application/vnd.urbanairship+json; version=3"
        if not self._believes(request):
            return httpx.Response(401, json={"ok": False, "error": "Unauthorized", "error_code": 40101})
        body = json_body(request)
        match request.method, request.url.path:
            case "GET", "/api/named_users/":
                return httpx.Response(200, json={"ok": True, "named_users": []})
            case "POST", "/api/named_users/tags":
                return self._tag(body)
            case "POST", "/api/named_users/uninstall":
                return self._uninstall(body["named_user_id"])
        raise AssertionError(f"{request.method} {request.url.path}")

    def _believes(self, request: httpx.Request) -> bool:
        said = request.headers.get("authorization", "")
        if request.url.host == "go.airship.eu":
            return said == f"Bearer {BEARER['bearer_token']}" and request.headers["x-ua-appkey"] == APP
        assert request.url.host == "go.urbanairship.com"
        account = f"{APP}:{CONFIG['master_secret']}".encode()
        return said == f"Basic {base64.b64encode(account).decode()}"

    def _tag(self, body: Any) -> httpx.Response:
        users = body["audience"]["named_user_id"]
        assert len(users) <= 1000 and "set" not in body
        if any(user in self.refused or len(user) > 128 for user in users):
            return failure("Invalid named user ID", f"{users[0]} is no named user")
        for verb in ("add", "remove"):
            for group, tags in body.get(verb, {}).items():
                if group not in self.groups:
                    return failure("Tag group is not active", f"The tag group {group} does not exist")
                for tag in tags:
                    held = self.groups[group].setdefault(tag, set())
                    self.groups[group][tag] = held | set(users) if verb == "add" else held - set(users)
        return httpx.Response(200, json={"ok": True, **({"warnings": self.warnings} if self.warnings else {})})

    def _uninstall(self, users: list[str]) -> httpx.Response:
        assert len(users) <= 100
        for tags in self.groups.values():
            for held in tags.values():
                held.difference_update(users)
        for user in users:
            self.subscriptions.pop(user, None)
        return httpx.Response(202, json={"ok": True})


def failure(error: str, details: str) -> httpx.Response:
    said = {"ok": False, "error": error, "error_code": 40001, "details": {"error": details}}
    return httpx.Response(400, json=said)


class TestAirship(ThroughTheHub, HttpConnectorContract):
    connector = Airship
    config: ClassVar = CONFIG

    def make_vendor(self) -> FakeAirship:
        return FakeAirship()


class TestAirshipInEuropeWithABearerToken(TestAirship):
    config: ClassVar = {**BEARER, "person": "user_id"}


@asynccontextmanager
async def airship(**config: Any) -> AsyncIterator[tuple[Stage, FakeAirship, Audience]]:
    vendor = FakeAirship()
    async with staged(Airship, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(name: str) -> Person:
    return Person(name, name, {})


async def test_the_requests_of_a_run() -> None:
    async with airship() as (stage, _, audience):
        await stage.connector.check()
        await stage.connector.apply(audience, Batch(add=[person("ann"), person("bob")], remove=[person("cem")]))
        await stage.connector.erase([person("ann")])
        base = "https://go.urbanairship.com/api/named_users/"
        assert [(r.method, str(r.url), json_body(r)) for r in stage.wire.requests] == [
            ("GET", f"{base}?limit=1", None),
            ("POST", f"{base}tags", {"audience": {"named_user_id": ["ann", "bob"]}, "add": {"hub": ["vip"]}}),
            ("POST", f"{base}tags", {"audience": {"named_user_id": ["cem"]}, "remove": {"hub": ["vip"]}}),
            ("POST", f"{base}uninstall", {"named_user_id": ["ann"]}),
        ]


async def test_tags_of_other_audiences_and_groups_stay() -> None:
    async with airship() as (stage, vendor, audience):
        vendor.groups = {"hub": {"vip": {"ann"}, "new": {"ann"}}, "theirs": {"vip": {"ann"}}}
        await stage.connector.apply(audience, Batch(remove=[person("ann")]))
        assert vendor.groups == {"hub": {"vip": set(), "new": {"ann"}}, "theirs": {"vip": {"ann"}}}


async def test_one_whom_airship_cannot_take_is_found_by_halving() -> None:
    async with airship() as (stage, vendor, audience):
        long, others = person("x" * 200), [person(f"n{number}") for number in range(30)]
        with pytest.raises(RefusedError) as refusal:
            await stage.connector.apply(audience, Batch(add=[*others, long]))
        assert refusal.value.divisible and not vendor.members(audience)
        outcomes = await stage.send(audience, add=[*others, long])
        assert [key for key, one in outcomes.items() if one.kind is OutcomeKind.REJECTED] == [long.key]
        assert len(vendor.members(audience)) == 30


async def test_a_tag_group_that_is_missing_is_nobodys_fault() -> None:
    async with airship(tag_group="nowhere") as (stage, _, audience):
        with pytest.raises(AuthError, match="tag group"):
            await stage.connector.apply(audience, Batch(add=[person("ann"), person("bob")]))
    async with airship() as (stage, vendor, audience):
        vendor.warnings = ["The tag group hub is deactivated"]
        with pytest.raises(AuthError, match="tag group"):
            await stage.connector.apply(audience, Batch(add=[person("ann")]))


async def test_other_warnings_leave_everybody_unknown() -> None:
    async with airship() as (stage, vendor, audience):
        vendor.warnings = ["some of it may take a while"]
        assert (await stage.connector.apply(audience, Batch(add=[person("ann")]))).rest is OutcomeKind.UNKNOWN


async def test_many_are_erased_a_hundred_at_a_time() -> None:
    async with airship() as (stage, vendor, audience):
        people = [person(f"n{number}") for number in range(250)]
        await stage.connector.apply(audience, Batch(add=people))
        assert (await stage.connector.erase(people)).rest is OutcomeKind.ACCEPTED
        assert not vendor.members(audience) and len(stage.wire.requests) == 4


async def test_a_wrong_address_is_for_a_person_to_look_at() -> None:
    async with airship(api_url="https://gateway.example.com/api") as (stage, _, audience):
        with stage.wire.answering(404), pytest.raises(AuthError, match="see api_url"):
            await stage.connector.apply(audience, Batch(add=[person("ann")]))
        assert stage.wire.requests[-1].url.host == "gateway.example.com"


def test_there_is_one_way_in() -> None:
    for secrets in ({"bearer_token": "bearer-token-0123"}, {"master_secret": None}):
        with pytest.raises(ValidationError):
            AirshipConfig.model_validate({**CONFIG, **secrets})
