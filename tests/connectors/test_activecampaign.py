"""ActiveCampaign against a fake that keeps contacts, tags and imports; it publishes no description to check against."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.activecampaign import ActiveCampaign, ActiveCampaignConfig
from hub.sdk import Audience, Outcome, OutcomeKind, Person, RefusedError, TransientError, Window
from hub.sdk.testing import HttpConnectorContract, Stage, json_body
from hub.sdk.testing.corpus import GARBAGE
from hub.sdk.testing.stage import staged
from tests.connectors.fake_activecampaign import FakeActiveCampaign
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {"api_url": "https://shop.api-us1.com/", "token": "0123456789abcdef"}


class TestActiveCampaign(ThroughTheHub, HttpConnectorContract):
    connector = ActiveCampaign
    config: ClassVar = CONFIG
    fields: ClassVar = {"first_name": "Annabella-Private", "7": 471_109}
    # An empty object is how a deletion is confirmed; of the other calls, below, it is no success either.
    garbage: ClassVar = [body for body in GARBAGE if body != b"{}"]

    def make_vendor(self) -> FakeActiveCampaign:
        return FakeActiveCampaign()


@asynccontextmanager
async def activecampaign(**config: Any) -> AsyncIterator[tuple[Stage, FakeActiveCampaign, Audience]]:
    vendor = FakeActiveCampaign()
    async with staged(ActiveCampaign, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(name: str, **fields: Any) -> Person:
    return Person(f"id-{name}", f"{name}@example.com", fields)


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    return [(r.method, str(r.url).partition("/api/3")[2], json_body(r)) for r in stage.wire.requests]


async def test_the_requests_of_a_run() -> None:
    async with activecampaign() as (stage, vendor, audience):
        vendor.put_on(vendor.contact("bob@example.com"), audience.ref)
        await stage.connector.check()
        ann = person("ann", **{"first_name": "Ann", "7": ["a", "b"], "8": True, "phone": None, "9": 4.5})
        job = (await stage.connector.add(audience, [ann])).job
        await stage.connector.remove(audience, [person("bob")])
        await stage.connector.poll(audience, str(job), [ann.key])
        contact = {"email": "ann@example.com", "tags": ["vip"], "first_name": "Ann", "phone": "", "fields": [
            {"id": 7, "value": "||a||b||"}, {"id": 8, "value": "true"}, {"id": 9, "value": "4.5"},
        ]}  # fmt: skip
        assert sent(stage) == [
            ("GET", "/tags?search=vip&limit=100&offset=0", None),
            ("POST", "/tags", {"tag": {"tag": "vip", "tagType": "contact", "description": "An audience of the hub"}}),
            ("GET", "/users/me", None),
            ("POST", "/import/bulk_import", {"contacts": [contact], "exclude_automations": True}),
            ("GET", "/contacts?email=bob%40example.com&include=contactTags&status=-1", None),
            ("DELETE", "/contactTags/3", None),
            ("GET", f"/import/info?batchId={job}", None),
        ]


async def test_automations_run_only_where_the_admin_wants_them() -> None:
    async with activecampaign(run_automations=True) as (stage, vendor, audience):
        await stage.connector.add(audience, [person("ann")])
        assert [one["exclude_automations"] for one in vendor.jobs.values()] == [False]


async def test_a_tag_is_found_among_those_whose_names_hold_it() -> None:
    async with activecampaign() as (stage, vendor, _):
        for number in range(250):
            vendor.tag(f"big spenders {number}")
        ref = vendor.tag("big spenders")
        assert await stage.connector.ensure_audience("big spenders") == Audience("big spenders", ref)
        assert len(vendor.tags) == 252


async def test_an_import_without_a_status_yet_is_still_under_way() -> None:
    async with activecampaign() as (stage, _, audience):
        job = str((await stage.connector.add(audience, [person("ann")])).job)
        said = [(await stage.connector.poll(audience, job, ["ann@example.com"])).job for _ in range(3)]
        assert said == [job, job, None]


@pytest.mark.parametrize("ends", ["failed", "interrupted"])
async def test_people_of_an_import_that_broke_are_sent_again(ends: str) -> None:
    async with activecampaign() as (stage, vendor, audience):
        vendor.ends = ends
        job = str((await stage.connector.add(audience, [person("ann")])).job)
        result = await stage.follow(audience, job, ["ann@example.com"])
        assert result.outcomes == {"ann@example.com": Outcome(OutcomeKind.RETRY, f"the import {ends}")}


async def test_nobody_counts_as_in_where_a_failure_cannot_be_told_whose_it_is() -> None:
    async with activecampaign() as (stage, vendor, audience):
        vendor.tongue_tied = True
        vendor.refuse("ann@example.com", "invalid")
        people = [person("ann"), person("bob")]
        job = str((await stage.connector.add(audience, people)).job)
        result = await stage.follow(audience, job, [one.key for one in people])
        assert (result.outcomes, result.rest) == ({}, OutcomeKind.UNKNOWN)


async def test_only_the_tag_of_the_audience_is_taken_off_and_only_from_that_contact() -> None:
    async with activecampaign() as (stage, vendor, audience):
        ann, bob = vendor.contact("Ann@Example.com"), vendor.contact("bob@example.com")
        other = vendor.tag("other")
        for contact in (ann, bob):
            for tag in (audience.ref, other):
                vendor.put_on(contact, tag)
        result = await stage.connector.remove(audience, [person("ann"), person("cem")])
        assert result.outcomes == {"cem@example.com": Outcome(OutcomeKind.NOOP, "the contact does not have the tag")}
        assert set(vendor.taggings.values()) == {(ann, other), (bob, audience.ref), (bob, other)}


async def test_a_tag_that_somebody_else_took_off_meanwhile_is_off() -> None:
    async with activecampaign() as (stage, vendor, audience):
        vendor.put_on(vendor.contact("ann@example.com"), audience.ref)

        def late(request: httpx.Request, _: int) -> None:
            if request.method == "DELETE":
                vendor.taggings.clear()

        with stage.wire.bending(late):
            assert (await stage.connector.remove(audience, [person("ann")])).outcomes == {}


async def test_a_contact_without_a_word_on_tags_is_not_taken_for_untagged() -> None:
    contact = b'{"contacts": [{"id": "1", "email": "ann@example.com"}]}'
    async with activecampaign() as (stage, _, audience):
        with stage.wire.answering(200, contact), pytest.raises(TransientError, match="another shape"):
            await stage.connector.remove(audience, [person("ann")])


async def test_an_empty_object_confirms_deletions_only() -> None:
    async with activecampaign() as (stage, _, audience):
        ann, connector = person("ann"), stage.connector
        calls: list[Awaitable[Any]] = [connector.add(audience, [ann]), connector.remove(audience, [ann])]
        calls += [connector.poll(audience, "b", [ann.key]), connector.members_page(audience)]
        calls += [connector.erase([ann]), connector.check(), connector.ensure_audience("vip")]
        with stage.wire.answering(200, b"{}"):
            for call in calls:
                with pytest.raises(TransientError):
                    await call


@pytest.mark.parametrize("said", [b"", b"<html>sign in</html>", b"null", b'{"message": "no"}'])
async def test_a_deletion_confirmed_otherwise_is_repeated(said: bytes) -> None:
    async with activecampaign() as (stage, vendor, audience):
        vendor.put_on(vendor.contact("ann@example.com"), audience.ref)
        with stage.wire.bending(lambda r, _: httpx.Response(200, content=said) if r.method == "DELETE" else None):
            for call in (stage.connector.remove(audience, [person("ann")]), stage.connector.erase([person("ann")])):
                with pytest.raises(TransientError):
                    await call


async def test_who_unsubscribed_there_is_read_back_and_erased_all_the_same() -> None:
    async with activecampaign() as (stage, vendor, audience):
        for number in range(250):
            vendor.put_on(vendor.contact(f"P{number}@Example.com"), audience.ref)
        found = [key async for key in stage.connector.members(audience)]
        assert found == [f"p{number}@example.com" for number in range(250)]
        await stage.connector.erase([person("p7"), person("never-there")])
        assert len(vendor.contacts) == 249


async def test_a_field_that_is_neither_their_own_nor_a_number_is_named() -> None:
    async with activecampaign() as (stage, _, audience):
        asked = len(stage.wire.requests)
        with pytest.raises(RefusedError, match="city: no field") as refused:
            await stage.connector.add(audience, [person("ann", city="Potsdam")])
        assert not refused.value.divisible and len(stage.wire.requests) == asked


async def test_an_import_of_too_many_bytes_is_halved() -> None:
    async with activecampaign(batch=250) as (stage, vendor, audience):
        people = [person(f"n{number}", **{"7": "x" * 3000}) for number in range(250)]
        outcomes = await stage.send(audience, add=people)
        assert {one.kind for one in outcomes.values()} == {OutcomeKind.ACCEPTED} and len(vendor.jobs) == 2


async def test_what_the_account_may_do_is_configured() -> None:
    async with activecampaign(batch=200, requests_per_second=10) as (stage, _, _):
        allowed = stage.connector.limits()
        assert (allowed.batch, allowed.limits) == (200, (Window(10, seconds=1.0),))
    with pytest.raises(ValidationError):
        ActiveCampaignConfig.model_validate({**CONFIG, "batch": 251})
