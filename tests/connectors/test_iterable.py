"""Iterable against a fake that keeps users and lists; its description of its API is not at hand to check against."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest

from connectors.iterable import Iterable
from hub.sdk import Audience, AuthError, Outcome, OutcomeKind, Person, RefusedError, TransientError, Window
from hub.sdk.testing import HttpConnectorContract, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.fake_iterable import KEY, FakeIterable
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {"api_key": KEY}
NOTHING_TO_DO = Outcome(OutcomeKind.NOOP)


class TestIterable(ThroughTheHub, HttpConnectorContract):
    connector = Iterable
    config: ClassVar = CONFIG
    fields: ClassVar = {"firstName": "Annabella-Private", "orders": 471_109}
    # What is on a list is a subscriber there, whatever its channels say; the tests below hold that they stay.
    membership_words = frozenset({"/api/lists/subscribe", "subscribers", "channelUnsubscribe"})

    def make_vendor(self) -> FakeIterable:
        return FakeIterable()


class TestIterableByUserIdInEurope(TestIterable):
    config: ClassVar = {**CONFIG, "person": "external_id", "region": "eu"}

    def make_vendor(self) -> FakeIterable:
        return FakeIterable("eu")


@asynccontextmanager
async def iterable(**config: Any) -> AsyncIterator[tuple[Stage, FakeIterable, Audience]]:
    vendor = FakeIterable(config.get("region", "us"))
    async with staged(Iterable, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(name: str, **fields: Any) -> Person:
    return Person(f"id-{name}", f"{name}@example.com", fields)


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    return [(r.method, r.url.raw_path.decode(), json_body(r)) for r in stage.wire.requests]


async def test_the_requests_of_a_run() -> None:
    async with iterable() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        ann = person("ann", city="Köln", vip=True, orders=3, tags=["x", "y"], gone=None)
        await stage.connector.add(audience, [ann, person("bob")])
        await stage.connector.remove(audience, [ann])
        await stage.connector.members_page(audience)
        await stage.connector.erase([ann])
        described = {"city": "Köln", "vip": True, "orders": 3, "tags": ["x", "y"], "gone": None}
        users = [{"email": "ann@example.com", "dataFields": described}, {"email": "bob@example.com"}]
        gone = {"listId": 1001, "subscribers": [{"email": "ann@example.com"}], "channelUnsubscribe": False}
        assert sent(stage) == [
            ("GET", "/api/lists", None),
            ("POST", "/api/lists", {"name": "vip", "description": "An audience of the hub"}),
            ("POST", "/api/lists/subscribe", {"listId": 1001, "subscribers": users, "updateExistingUsersOnly": True}),
            ("POST", "/api/lists/unsubscribe", gone),
            ("GET", "/api/lists/getUsers?listId=1001&preferUserId=false", None),
            ("GET", "/api/lists/1001/size", None),
            ("POST", "/api/users/forget", {"email": "ann@example.com"}),
        ]


async def test_users_may_be_known_by_their_ids() -> None:
    async with iterable(person="user_id", region="eu") as (stage, vendor, audience):
        vendor.know("Ab1")
        ann = Person("1", "Ab1")
        await stage.connector.add(audience, [ann])
        assert (await stage.connector.members_page(audience)).members == ["Ab1"]
        await stage.connector.erase([ann])
        bodies = [body for _, _, body in sent(stage)]
        assert bodies[2]["subscribers"] == [{"userId": "Ab1"}] and bodies[-1] == {"userId": "Ab1"}
        assert "preferUserId=true" in sent(stage)[3][1]


async def test_whoever_leaves_a_list_stays_subscribed_to_its_channel() -> None:
    async with iterable() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        await stage.send(audience, add=[person("ann")])
        await stage.send(audience, remove=[person("ann")])
        assert vendor.subscriptions == {"ann@example.com": "subscribed"} and not vendor.members(audience)


async def test_unknown_people_become_users_only_where_the_admin_wants_them() -> None:
    async with iterable() as (stage, vendor, audience):
        outcomes = await stage.send(audience, add=[person("new")])
        assert outcomes == {"new@example.com": Outcome(OutcomeKind.REJECTED, "no such user in this project")}
        assert not vendor.subscriptions
    async with iterable(create_users=True) as (stage, vendor, audience):
        await stage.send(audience, add=[person("new")])
        assert vendor.members(audience) == {"new@example.com"}


@pytest.mark.parametrize(
    ("why", "kind", "reason"),
    [
        ("forgotten", OutcomeKind.SUPPRESSED, "forgotten at Iterable"),
        ("conflict", OutcomeKind.REJECTED, "with different users"),
        ("invalid", OutcomeKind.REJECTED, "malformed"),
        ("invalidData", OutcomeKind.REJECTED, "of another type"),
        ("valid", OutcomeKind.RETRY, "could not carry it out"),
    ],
)
async def test_each_of_iterables_lists_says_why_and_names_whom(why: str, kind: OutcomeKind, reason: str) -> None:
    async with iterable(create_users=True) as (stage, vendor, audience):
        vendor.failures = {why: ["bob@example.com"]}
        outcomes = await stage.send(audience, add=[person("ann"), person("bob")])
        assert outcomes["bob@example.com"].kind is kind and reason in outcomes["bob@example.com"].reason
        assert vendor.members(audience) == {"ann@example.com"}


async def test_whoever_is_not_known_or_forgotten_need_not_be_taken_off() -> None:
    async with iterable() as (stage, vendor, audience):
        vendor.forgotten = {"bob@example.com"}
        outcomes = await stage.send(audience, remove=[person("ann"), person("bob")])
        assert outcomes == {"ann@example.com": NOTHING_TO_DO, "bob@example.com": NOTHING_TO_DO}


async def test_malformed_addresses_are_told_in_the_old_place_too_and_in_any_case() -> None:
    said = b'{"successCount": 1, "failCount": 1, "invalidEmails": ["Bob@Example.com"], "invalidUserIds": []}'
    async with iterable() as (stage, _, audience):
        with stage.wire.answering(200, said):
            outcomes = await stage.apply(audience, stage.batches([person("ann"), person("bob")], ())[0])
        assert {key: one.kind for key, one in outcomes.items()} == {
            "ann@example.com": OutcomeKind.ACCEPTED, "bob@example.com": OutcomeKind.REJECTED,
        }  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [
        b'{"successCount": 1, "failCount": 1}',
        b'{"successCount": 1, "failCount": 0}',
        b'{"successCount": 1, "failCount": 1, "failedUpdates": {"invalidEmails": ["cem@example.com"]}}',
    ],
)
async def test_failures_that_name_nobody_leave_everybody_unknown(said: bytes) -> None:
    async with iterable() as (stage, _, audience):
        with stage.wire.answering(200, said):
            result = await stage.connector.add(audience, [person("ann"), person("bob")])
        assert (result.outcomes, result.rest) == ({}, OutcomeKind.UNKNOWN)


async def test_a_list_that_vanished_pauses_the_destination() -> None:
    async with iterable() as (stage, vendor, audience):
        vendor.on.clear()
        for change in (stage.connector.add, stage.connector.remove):
            with pytest.raises(AuthError, match="the list is gone"):
                await change(audience, [person("ann")])


async def test_a_batch_that_is_refused_is_halved_and_the_code_is_told() -> None:
    async with iterable() as (stage, _, audience):
        said = b'{"code": "RequestFieldsTypesMismatched", "msg": "ann@example.com"}'
        with stage.wire.answering(400, said), pytest.raises(RefusedError) as refused:
            await stage.connector.add(audience, [person("ann")])
        assert refused.value.reason == "api.iterable.com answered 400: RequestFieldsTypesMismatched"
        assert refused.value.divisible


@pytest.mark.parametrize("name", ["email", "userId", "unsubscribedChannelIds", "subscribedMessageTypeIds"])
async def test_what_could_change_a_subscription_is_refused_before_anything_is_sent(name: str) -> None:
    async with iterable() as (stage, _, audience):
        asked = len(stage.wire.requests)
        with pytest.raises(RefusedError, match=f"{name}: could change a subscription") as refused:
            await stage.connector.add(audience, [person("ann", **{name: "x"})])
        assert not refused.value.divisible and len(stage.wire.requests) == asked


async def test_only_a_static_list_is_an_audience_and_the_oldest_of_its_name() -> None:
    async with iterable() as (stage, vendor, _):
        vendor.add_list("big", "Suppression")
        oldest = vendor.add_list("big")
        vendor.lists.reverse()
        vendor.add_list("big")
        assert await stage.connector.ensure_audience("big") == Audience("big", str(oldest))


async def test_users_of_a_list_are_read_as_the_hub_spells_them() -> None:
    async with iterable() as (stage, vendor, audience):
        vendor.on[int(audience.ref)] = dict.fromkeys(["Ann@Example.com", "Without-Address"])
        page = await stage.connector.members_page(audience)
        assert (page.members, page.next, page.total) == (["ann@example.com", "Without-Address"], None, 2)


@pytest.mark.parametrize("size", ["2", '"2"', "2\n"])
async def test_the_number_of_a_list_may_be_a_number_or_a_text(size: str) -> None:
    async with iterable() as (stage, vendor, audience):
        vendor.on[int(audience.ref)] = dict.fromkeys(["ann@example.com", "bob@example.com"])
        bent = stage.wire.bending(
            lambda request, _: httpx.Response(200, text=size) if request.url.path.endswith("/size") else None
        )
        with bent:
            assert (await stage.connector.members_page(audience)).total == 2


@pytest.mark.parametrize("size", ["", "0", "2.5", "many", '{"size": 2}', '"2', "true", "-3"])
async def test_a_list_whose_number_does_not_bear_it_out_lists_nobody(size: str) -> None:
    async with iterable() as (stage, vendor, audience):
        vendor.on[int(audience.ref)] = {"ann@example.com": None}

        def bend(request: httpx.Request, _: int) -> httpx.Response | None:
            return httpx.Response(200, text=size) if request.url.path.endswith("/size") else None

        with stage.wire.bending(bend), pytest.raises(TransientError):
            await stage.connector.members_page(audience)


async def test_whoever_cannot_be_forgotten_is_told_apart_from_those_who_were() -> None:
    async with iterable() as (stage, vendor, _):
        refusal = httpx.Response(
            400, json={"code": "InvalidEmailAddressError", "msg": "Invalid email: bob@example.com"}
        )

        def bend(request: httpx.Request, _: int) -> httpx.Response | None:
            return refusal if b"bob" in request.content else None

        with stage.wire.bending(bend):
            result = await stage.connector.erase([person("ann"), person("bob")])
        assert result.outcomes == {"bob@example.com": Outcome(OutcomeKind.REJECTED, "Invalid email: …")}
        assert vendor.forgotten == {"ann@example.com"}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "ForgottenUserError", OutcomeKind.NOOP),
        (409, "ForgottenUserError", OutcomeKind.NOOP),
        (400, "UnknownEmailError", OutcomeKind.NOOP),
        (400, "UnknownUserIdError", OutcomeKind.NOOP),
        (409, "Conflict", OutcomeKind.REJECTED),
    ],
)
async def test_whoever_was_forgotten_before_is_erased_already(status: int, code: str, kind: OutcomeKind) -> None:
    async with iterable() as (stage, _, _audience):
        said = httpx.Response(status, json={"code": code, "msg": "ann@example.com", "params": None})
        with stage.wire.bending(lambda *_: said):
            result = await stage.connector.erase([person("ann")])
        assert result.outcomes["ann@example.com"].kind is kind
        assert "ann@" not in result.outcomes["ann@example.com"].reason


async def test_whoever_was_forgotten_before_a_throttle_is_not_asked_for_again() -> None:
    async with iterable() as (stage, vendor, _):
        throttle = httpx.Response(429, json={"code": "RateLimitExceeded", "msg": "", "params": None})
        with stage.wire.bending(lambda _, number: throttle if number == 1 else None):
            result = await stage.connector.erase([person("ann"), person("bob"), person("cem")])
        assert {key for key, one in result.outcomes.items() if one.kind is OutcomeKind.RETRY} == {
            "bob@example.com", "cem@example.com",
        }  # fmt: skip
        assert vendor.forgotten == {"ann@example.com"} and result.rest is OutcomeKind.ACCEPTED


async def test_how_many_requests_the_project_may_make_is_configured() -> None:
    async with iterable(requests_per_second=20) as (stage, _, _audience):
        assert stage.connector.limits().limits == (Window(20, seconds=1.0),)


async def test_a_gateway_may_stand_before_iterable() -> None:
    config = {**CONFIG, "api_url": "https://gateway.example.com/i/"}
    async with staged(Iterable, config, FakeIterable(), {}) as stage:
        with stage.wire.answering(200, b'{"lists": []}'):
            await stage.connector.check()
        assert str(stage.wire.requests[-1].url) == "https://gateway.example.com/i/api/lists"
