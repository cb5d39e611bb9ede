"""Braze against a fake that keeps users and their attributes, and against the description of its public collection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.braze import Braze, BrazeConfig
from hub.sdk import Audience, AuthError, Batch, Outcome, OutcomeKind, Person, RefusedError, TransientError, Window
from hub.sdk.testing import HttpConnectorContract, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.descriptions import OpenApi3
from tests.connectors.fake_braze import INSTANCE, KEY, LABEL, FakeBraze
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {"instance": INSTANCE, "api_key": KEY}
BY_ALIAS = {**CONFIG, "person": "email", "alias_label": LABEL}
UNCLEAR = Outcome(OutcomeKind.RETRY, "Braze did not take everybody, and does not say whom")


class TestBraze(ThroughTheHub, HttpConnectorContract):
    connector = Braze
    config: ClassVar = CONFIG
    fields: ClassVar = {"first_name": "Annabella-Private", "orders": 12}

    def make_vendor(self) -> FakeBraze:
        return FakeBraze()


class TestBrazeByAliasInBulk(TestBraze):
    config: ClassVar = {**BY_ALIAS, "bulk": True}


@asynccontextmanager
async def braze(**config: Any) -> AsyncIterator[tuple[Stage, FakeBraze, Audience]]:
    vendor = FakeBraze()
    async with staged(Braze, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(name: str, **fields: Any) -> Person:
    return Person(name, name, fields)


def sent(stage: Stage) -> list[tuple[str, Any]]:
    return [(request.url.path, json_body(request)) for request in stage.wire.requests]


async def test_the_requests_of_a_run() -> None:
    async with braze() as (stage, _, audience):
        ann = person("ann", city="Köln", vip=True, orders=3.5, tags=["x", "y"], gone=None)
        await stage.connector.check()
        await stage.connector.apply(audience, Batch(add=[ann], remove=[person("bob")]))
        await stage.connector.erase([person("bob")])
        described = {"city": "Köln", "vip": True, "orders": 3.5, "tags": ["x", "y"], "gone": None}
        assert sent(stage) == [
            ("/users/track", {"attributes": []}),
            ("/users/track", {"attributes": [
                {**described, "external_id": "ann", "seg_vip": True, "_update_existing_only": False},
                {"external_id": "bob", "seg_vip": False, "_update_existing_only": True},
            ]}),
            ("/users/delete", {"external_ids": ["bob"]}),
        ]  # fmt: skip


async def test_users_may_be_known_by_an_alias_and_taken_in_bulk() -> None:
    async with braze(**{**BY_ALIAS, "bulk": True}) as (stage, _, audience):
        ann = Person("1", "ann@example.com")
        await stage.connector.apply(audience, Batch(add=[ann]))
        await stage.connector.erase([ann])
        alias = {"alias_label": LABEL, "alias_name": "ann@example.com"}
        assert sent(stage) == [
            ("/users/track/bulk", {"attributes": [
                {"user_alias": alias, "seg_vip": True, "_update_existing_only": False},
            ]}),
            ("/users/delete", {"user_aliases": [alias]}),
        ]  # fmt: skip


async def test_whoever_was_erased_does_not_come_into_being_again_by_leaving() -> None:
    async with braze() as (stage, vendor, audience):
        await stage.send(audience, add=[person("ann")])
        await stage.connector.erase([person("ann")])
        outcomes = await stage.send(audience, remove=[person("ann")])
        assert outcomes["ann"].kind is OutcomeKind.ACCEPTED and not vendor.subscriptions


async def test_whoever_left_keeps_the_attribute_so_that_it_can_be_filtered_by() -> None:
    async with braze() as (stage, vendor, audience):
        await stage.send(audience, add=[person("ann")])
        await stage.send(audience, remove=[person("ann")])
        assert vendor.attributes == {"ann": {"seg_vip": False}}


@pytest.mark.parametrize(
    "name", ["email", "phone", "email_subscribe", "push_subscribe", "subscription_groups", "marked_email_as_spam_at"]
)
async def test_what_could_change_a_subscription_is_refused_before_anything_is_sent(name: str) -> None:
    async with braze() as (stage, _, audience):
        with pytest.raises(RefusedError, match=f"{name}: could change a subscription") as refused:
            await stage.connector.apply(audience, Batch(add=[person("ann", **{name: "subscribed"})]))
        assert not refused.value.divisible and not stage.wire.requests


async def test_a_field_called_like_the_audiences_attribute_is_refused_before_anything_is_sent() -> None:
    async with braze() as (stage, _, audience):
        with pytest.raises(RefusedError, match="seg_vip: the hub sets that attribute itself") as refused:
            await stage.connector.apply(audience, Batch(add=[person("ann", seg_vip=False)]))
        assert not refused.value.divisible and not stage.wire.requests


async def test_an_error_with_a_place_is_about_that_person_only() -> None:
    async with braze() as (stage, vendor, audience):
        vendor.refuse("bob", "'external_id' bob must be fewer than 988 bytes")
        vendor.refuse("cem", "provided external_id is blacklisted and disallowed")
        vendor.refuse("dan", "")
        batch = Batch(add=[person("ann"), person("bob")], remove=[person("cem"), person("dan")])
        result = await stage.connector.apply(audience, batch)
        assert result.outcomes == {
            "bob": Outcome(OutcomeKind.REJECTED, "'external_id' … must be fewer than 988 bytes"),
            "cem": Outcome(OutcomeKind.SUPPRESSED, "provided external_id is blacklisted and disallowed"),
            "dan": Outcome(OutcomeKind.REJECTED, "refused by Braze"),
        }
        assert result.rest is OutcomeKind.ACCEPTED and vendor.members(audience) == {"ann"}


async def test_a_request_in_which_nothing_was_valid_names_everybody_with_a_reason() -> None:
    async with braze() as (stage, vendor, audience):
        vendor.refuse("bob", "not valid")
        result = await stage.connector.apply(audience, Batch(add=[person("bob")]))
        assert result.outcomes == {"bob": Outcome(OutcomeKind.REJECTED, "not valid")}


async def test_after_an_error_without_a_place_everybody_is_tried_again_whom_no_other_error_names() -> None:
    async with braze() as (stage, vendor, audience):
        vendor.refuse("bob", "not valid")
        vendor.tongue_tied = True
        result = await stage.connector.apply(audience, Batch(add=[person("ann"), person("bob")]))
        assert result.outcomes == {"ann": UNCLEAR, "bob": UNCLEAR}


@pytest.mark.parametrize(
    "error",
    [
        "minor error",
        {"type": "no place", "input_array": "attributes"},
        {"type": "a place beyond", "input_array": "attributes", "index": 2},
        {"type": "a place before", "input_array": "attributes", "index": -1},
        {"type": "of another array", "input_array": "events", "index": 0},
        {"type": "once more about bob", "input_array": "attributes", "index": 1},
    ],
)
async def test_an_error_whose_place_is_nobodys_leaves_those_unclear_who_are_not_named(error: Any) -> None:
    bob = {"type": "not valid", "input_array": "attributes", "index": 1}
    said = httpx.Response(201, json={"message": "success", "attributes_processed": 2, "errors": [bob, error]})
    async with braze() as (stage, _, audience):
        with stage.wire.answering(201, said.content):
            result = await stage.connector.apply(audience, Batch(add=[person("ann"), person("bob")]))
        assert result.outcomes["ann"] == UNCLEAR and result.outcomes["bob"].kind is OutcomeKind.REJECTED


async def test_fewer_than_were_sent_is_unclear_though_no_error_says_so() -> None:
    async with braze() as (stage, _, audience):
        with stage.wire.answering(201, b'{"message": "success", "attributes_processed": 1}'):
            result = await stage.connector.apply(audience, Batch(add=[person("ann"), person("bob")]))
        assert result.outcomes == {"ann": UNCLEAR, "bob": UNCLEAR}


async def test_whoever_is_queued_during_maintenance_counts_as_possibly_there() -> None:
    async with braze() as (stage, vendor, audience):
        vendor.maintained = True
        result = await stage.connector.apply(audience, Batch(add=[person("ann")]))
        assert (result.outcomes, result.rest) == ({}, OutcomeKind.UNKNOWN)


async def test_a_refusal_of_another_kind_is_halved() -> None:
    async with braze() as (stage, _, audience):
        with stage.wire.answering(400, b'{"message": "Bad request"}'), pytest.raises(RefusedError) as refused:
            await stage.connector.apply(audience, Batch(add=[person("ann")]))
        assert refused.value.divisible


async def test_a_key_that_may_not_track_users_fails_the_check() -> None:
    async with braze(api_key="some-other-key") as (stage, _, _audience):
        with pytest.raises(AuthError):
            await stage.connector.check()


@pytest.mark.parametrize("body", [b"", b"{}", b'{"message": "ok"}', b"<html>sign in</html>"])
async def test_a_check_that_something_else_answers_is_no_check(body: bytes) -> None:
    async with braze() as (stage, _, _audience):
        with stage.wire.answering(200, body), pytest.raises(TransientError):
            await stage.connector.check()


async def test_a_throttle_is_waited_for_as_braze_says_it() -> None:
    async with braze() as (stage, _, audience):
        with stage.wire.answering(429, X_Ratelimit_Retry_After="3"), pytest.raises(TransientError) as throttled:
            await stage.connector.apply(audience, Batch(add=[person("ann")]))
        assert throttled.value.retry_after == 3.0


async def test_erasing_many_takes_as_many_requests_as_it_must_and_errors_erase_nobody() -> None:
    async with braze() as (stage, vendor, _audience):
        people = [person(f"p{number}") for number in range(120)]
        for one in people[:110]:
            vendor.know(one.key)
        assert (await stage.connector.erase(people)).rest is OutcomeKind.ACCEPTED
        assert len(stage.wire.requests) == 3 and not vendor.subscriptions
        with stage.wire.answering(201, b'{"deleted": 0, "errors": ["busy"]}'):
            assert (await stage.connector.erase([person("ann")])).rest is OutcomeKind.UNKNOWN


async def test_how_many_are_sent_at_once_is_the_accounts() -> None:
    async with braze() as (stage, _, _audience):
        assert stage.connector.limits().batch == 75
    async with braze(batch=50) as (stage, _, _audience):
        assert stage.connector.limits().batch == 50
    async with braze(bulk=True) as (stage, _, _audience):
        assert stage.connector.limits().batch == 1000 and Window(50, seconds=1.0) in stage.connector.limits().limits


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 76},
        {"person": "email"},
        {"instance": "rest.fra-01.braze.eu.example.com"},
        {"instance": "https://rest.fra-01.braze.eu"},
        {"instance": "evil.example"},
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BrazeConfig.model_validate({**CONFIG, **wrong})


async def test_a_gateway_may_stand_before_braze() -> None:
    async with braze(api_url="https://gateway.example.com/braze/") as (stage, _, _audience):
        with stage.wire.answering(201, b'{"message": "success"}'):
            await stage.connector.check()
        assert str(stage.wire.requests[-1].url) == "https://gateway.example.com/braze/users/track"


async def test_every_request_is_as_the_vendor_describes_it() -> None:
    """The bulk endpoint is not described: its body is that of /users/track, as the tests above have it."""
    described, asked = OpenApi3("braze", "spec.json"), set()
    for config in ({}, BY_ALIAS):
        async with braze(**config) as (stage, _, audience):
            await stage.connector.check()
            await stage.connector.apply(audience, Batch(add=[person("ann", city="Bonn")], remove=[person("bob")]))
            await stage.connector.erase([person("ann")])
            asked |= {(request.method, described.validate(request)) for request in stage.wire.requests}
    assert asked == {("POST", "/users/track"), ("POST", "/users/delete")}
