"""Ghost against a fake that keeps members and labels, and against the vendor's own schemas."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar

import httpx
import jsonschema
import pytest
from pydantic import ValidationError
from referencing import Registry, Resource

from connectors.ghost import Ghost, GhostConfig
from hub.sdk import AuthError, Batch, Notice, Outcome, OutcomeKind, Person, RefusedError, TransientError, Unverified
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, Stage, json_body
from hub.sdk.testing.corpus import GARBAGE
from hub.sdk.testing.stage import staged
from tests.connectors.descriptions import description
from tests.connectors.fake_ghost import API, CONFIG, KEY_ID, KEY_SECRET, FakeGhost, problem
from tests.connectors.through_the_hub import ThroughTheHub


class TestGhost(ThroughTheHub, HttpConnectorContract):
    connector = Ghost
    config: ClassVar = CONFIG
    fields: ClassVar = {"name": "Annabella-Private"}
    volatile_headers = frozenset({"authorization"})

    def make_vendor(self) -> FakeGhost:
        return FakeGhost()


@asynccontextmanager
async def ghost(**config: Any) -> AsyncIterator[tuple[Stage, FakeGhost, Audience]]:
    vendor = FakeGhost()
    async with staged(Ghost, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(who: str, /, **fields: Any) -> Person:
    return Person(f"id-{who}", f"{who}@example.com", fields)


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    return [(r.method, str(r.url).partition(API)[2], json_body(r)) for r in stage.wire.requests]


async def test_the_requests_of_a_run() -> None:
    async with ghost() as (stage, vendor, audience):
        vendor.know("o'neil@example.com")
        await stage.connector.apply(audience, Batch(add=[person("o'neil", name="Shaq")]))
        await stage.connector.apply(audience, Batch(add=[person("o'neil", name="Shaq")]))
        await stage.connector.apply(audience, Batch(remove=[person("o'neil")]))
        find = "/members/?filter=email%3A%27o%5C%27neil%40example.com%27&limit=1"
        number = vendor.number("o'neil@example.com")
        path = f"/members/{number}/"
        assert sent(stage) == [
            ("GET", "/labels/?limit=100&page=1", None),
            ("POST", "/labels/", {"labels": [{"name": "vip"}]}),
            ("GET", find, None),
            ("PUT", path, {"members": [{"name": "Shaq", "labels": [{"name": "vip"}]}]}),
            ("GET", find, None),
            ("GET", find, None),
            ("PUT", path, {"members": [{"labels": []}]}),
        ]


async def test_labels_of_others_stay() -> None:
    async with ghost() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        vendor.held["ann@example.com"] = [vendor._named("Staff"), vendor._named("Press")]
        await stage.connector.apply(audience, Batch(add=[person("ann")]))
        assert vendor.held["ann@example.com"] == ["staff", "press", "vip"]
        await stage.connector.apply(audience, Batch(remove=[person("ann")]))
        assert vendor.held["ann@example.com"] == ["staff", "press"]


async def test_two_audiences_at_one_moment_lose_no_label_of_a_member() -> None:
    async with ghost() as (stage, vendor, vip):
        vendor.know("ann@example.com")
        new = await stage.connector.ensure_audience("new")
        batch = Batch(add=[person("ann")])
        await asyncio.gather(*(stage.connector.apply(audience, batch) for audience in (vip, new)))
        assert sorted(vendor.held["ann@example.com"]) == ["new", "vip"]


async def test_whoever_is_no_member_is_rejected_unless_they_may_be_created() -> None:
    async with ghost() as (stage, vendor, audience):
        result = await stage.connector.apply(audience, Batch(add=[person("new")], remove=[person("x")]))
        assert result.outcomes == {
            "new@example.com": Outcome(OutcomeKind.REJECTED, "no member of this site"),
            "x@example.com": Outcome(OutcomeKind.NOOP),
        }
        assert vendor.subscriptions == {}


async def test_whoever_is_created_is_subscribed_to_nothing() -> None:
    async with ghost(new_members="create") as (stage, vendor, audience):
        await stage.connector.apply(audience, Batch(add=[person("new", name="New")]))
        assert vendor.subscriptions == {"new@example.com": "none"} and vendor.members(audience) == {"new@example.com"}
        assert sent(stage)[-1][2]["members"][0]["newsletters"] == []


async def test_newsletters_of_a_member_who_is_there_are_never_sent() -> None:
    async with ghost(new_members="create") as (stage, vendor, audience):
        vendor.know("ann@example.com", "none")
        vendor.know("bob@example.com", "subscribed")
        await stage.connector.apply(audience, Batch(add=[person("ann", name="A"), person("bob")]))
        await stage.connector.apply(audience, Batch(remove=[person("ann"), person("bob")]))
        assert vendor.subscriptions == {"ann@example.com": "none", "bob@example.com": "subscribed"}
        assert not [request for request in stage.wire.requests if b"newsletters" in request.content]


async def test_a_member_who_goes_between_the_reading_and_the_writing_is_no_member() -> None:
    async with ghost() as (stage, vendor, audience):
        vendor.know("ann@example.com")

        def bend(request: httpx.Request, _: int) -> httpx.Response | None:
            return problem(404, "Resource not found") if request.method == "PUT" else None

        with stage.wire.bending(bend):
            added = await stage.connector.apply(audience, Batch(add=[person("ann")]))
        assert added.outcomes["ann@example.com"].kind is OutcomeKind.REJECTED


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
async def test_a_write_that_is_answered_with_garbage_is_no_success(garbage: bytes) -> None:
    """The kit's people have their label by the time it tries this."""

    def bend(request: httpx.Request, _: int) -> httpx.Response | None:
        return httpx.Response(200, content=garbage) if request.method in {"PUT", "POST", "DELETE"} else None

    async with ghost(new_members="create") as (stage, vendor, audience):
        vendor.know("ann@example.com")
        vendor.know("bob@example.com")
        await stage.connector.apply(audience, Batch(add=[person("bob")]))
        for batch in (Batch(add=[person("ann")]), Batch(add=[person("new")]), Batch(remove=[person("bob")])):
            with stage.wire.bending(bend), pytest.raises(TransientError):
                await stage.connector.apply(audience, batch)


async def test_a_field_that_ghost_does_not_have_is_refused_before_anything_is_sent() -> None:
    async with ghost() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        with pytest.raises(RefusedError, match="name and note"):
            await stage.connector.apply(audience, Batch(add=[person("ann", newsletters="all")]))
        assert len(stage.wire.requests) == 2


async def test_labels_are_found_over_pages_and_without_case() -> None:
    async with ghost() as (stage, vendor, _):
        vendor.labels = {f"l{number}": f"L{number}" for number in range(250)}
        assert (await stage.connector.ensure_audience("l240")).ref == "l240"
        assert len(vendor.labels) == 250


async def test_a_wrong_address_is_for_a_person_to_look_at() -> None:
    async with ghost() as (stage, _, _audience):
        with stage.wire.answering(404), pytest.raises(AuthError, match="no Admin API"):
            await stage.connector.check()


EMPTY: dict[str, Any] = {"newsletters": []}
SOME: dict[str, Any] = {"newsletters": [{"id": "n1"}]}


@pytest.mark.parametrize(
    ("now", "before"),
    [(EMPTY, {}), (EMPTY, {"name": "x"}), (EMPTY, EMPTY), (SOME, EMPTY), (SOME, SOME), ({}, SOME)],
)
async def test_only_the_last_newsletter_taken_is_heard_as_a_no(now: Any, before: Any) -> None:
    """The hub's own changes of a member who has none are told too."""
    async with ghost() as (stage, vendor, _):
        request = vendor.edited({"id": "1", "email": "ann@example.com", **now}, before)
        assert list(stage.connector.feedback(request)) == []


async def test_nobody_is_believed_without_a_secret_or_without_its_own_time() -> None:
    async with ghost(webhook_secret=None) as (stage, vendor, _):
        with pytest.raises(Unverified, match="webhook_secret"):
            stage.connector.feedback(vendor.tells(Notice.UNSUBSCRIBED, "ann@example.com"))
    async with ghost() as (stage, vendor, _):
        request = vendor.tells(Notice.UNSUBSCRIBED, "ann@example.com")
        moved = re.sub(r"t=(\d+)", lambda match: f"t={int(match[1]) + 1000}", request.headers["x-ghost-signature"])
        with pytest.raises(Unverified, match="not by our secret"):
            stage.connector.feedback(replace(request, headers={"x-ghost-signature": moved}))


def schema(name: str) -> jsonschema.Draft7Validator:
    named = {part: description("ghost", f"{part}.json") for part in ("members", "labels")}
    found: Registry[Any] = Registry().with_resources((part, Resource.from_contents(one)) for part, one in named.items())
    return jsonschema.Draft7Validator(description("ghost", f"{name}.json"), registry=found)


async def test_every_body_is_as_the_vendor_describes_it() -> None:
    kinds = {("POST", "labels"): "labels-add", ("POST", "members"): "members-add", ("PUT", "members"): "members-edit"}
    async with ghost(new_members="create") as (stage, vendor, audience):
        vendor.know("ann@example.com")
        vendor.held["ann@example.com"] = [vendor._named("Staff")]
        await stage.connector.apply(
            audience, Batch(add=[person("ann", name="Ann", note=None), person("new", name="N")])
        )
        await stage.connector.apply(audience, Batch(remove=[person("ann")]))
        seen = set()
        for request in stage.wire.requests:
            if request.content:
                kind = kinds[request.method, request.url.path.split("/")[4]]
                schema(kind).validate(json_body(request))
                seen.add(kind)
    assert seen == set(kinds.values())


def test_a_key_must_be_an_id_and_a_secret() -> None:
    for key in (KEY_SECRET, f"{KEY_ID}:", f"{KEY_ID}:xyz", f"{KEY_ID}:{KEY_SECRET}0", f"{KEY_ID}:{KEY_SECRET[:32]}"):
        with pytest.raises(ValidationError):
            GhostConfig.model_validate({**CONFIG, "admin_api_key": key})
