"""Mailchimp against a fake that keeps contacts, statuses and tags, and against the vendor's own description."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.mailchimp import Mailchimp, MailchimpConfig
from hub.sdk import AuthError, Batch, Outcome, OutcomeKind, Person, TransientError
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.descriptions import Swagger2
from tests.connectors.fake_mailchimp import SECRET, FakeMailchimp
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {"api_key": "0123456789abcdef-us21", "list_id": "abc123", "webhook_secret": SECRET}
FIELDS = {"FNAME": "Annabella-Private", "AGE": 30}


class TestMailchimp(ThroughTheHub, HttpConnectorContract):
    connector = Mailchimp
    config: ClassVar = CONFIG
    fields: ClassVar = FIELDS
    signs_body = signs_time = False

    def make_vendor(self) -> FakeMailchimp:
        return FakeMailchimp()


class TestMailchimpThatCreatesContacts(TestMailchimp):
    config: ClassVar = {**CONFIG, "new_contacts": "transactional"}


@asynccontextmanager
async def mailchimp(**config: Any) -> AsyncIterator[tuple[Stage, FakeMailchimp, Audience]]:
    vendor = FakeMailchimp()
    async with staged(Mailchimp, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(name: str, **fields: Any) -> Person:
    return Person(f"id-{name}", f"{name}@example.com", fields)


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    return [(r.method, str(r.url).partition("/lists/abc123")[2], json_body(r)) for r in stage.wire.requests]


async def test_the_requests_of_a_run() -> None:
    async with mailchimp() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        batch = Batch(add=[person("ann", FNAME="Ann", VIP=True, TAGS=["a", "b"], CITY=None)], remove=[person("bob")])
        await stage.connector.check()
        result = await stage.connector.apply(audience, batch)
        assert result.outcomes == {"bob@example.com": Outcome(OutcomeKind.NOOP)}
        assert sent(stage) == [
            ("GET", "/segments?type=static&fields=segments.id%2Csegments.name&count=1000&offset=0", None),
            ("POST", "/segments", {"name": "vip", "static_segment": []}),
            ("GET", "?fields=id%2Cname", None),
            ("POST", "/segments/1000",
             {"members_to_add": ["ann@example.com"], "members_to_remove": ["bob@example.com"]}),
            ("POST", "?skip_merge_validation=true", {
                "members": [{"email_address": "ann@example.com",
                             "merge_fields": {"FNAME": "Ann", "VIP": "true", "TAGS": "a, b", "CITY": ""}}],
                "update_existing": True,
            }),
        ]  # fmt: skip


async def test_people_who_are_not_on_the_list_are_rejected_unless_they_may_be_created() -> None:
    async with mailchimp() as (stage, vendor, audience):
        result = await stage.connector.apply(audience, Batch(add=[person("new")]))
        assert result.outcomes == {"new@example.com": Outcome(OutcomeKind.REJECTED, "not a contact of this list")}
        assert vendor.subscriptions == {}


async def test_people_are_created_with_the_status_for_new_contacts_only() -> None:
    async with mailchimp(new_contacts="subscribed") as (stage, vendor, audience):
        vendor.know("old@example.com", "unsubscribed")
        vendor.refuse("gone@example.com", "gone@example.com was permanently deleted")
        add = [person("new", FNAME="New"), person("old"), person("gone")]
        result = await stage.connector.apply(audience, Batch(add=add))
        assert vendor.subscriptions == {"new@example.com": "subscribed", "old@example.com": "unsubscribed"}
        assert vendor.members(audience) == {"new@example.com", "old@example.com"}
        assert result.outcomes["gone@example.com"].kind is OutcomeKind.SUPPRESSED and len(result.outcomes) == 1
        puts = [body for method, _, body in sent(stage) if method == "PUT"]
        assert puts == [
            {"email_address": "new@example.com", "status_if_new": "subscribed", "merge_fields": {"FNAME": "New"}}
        ]


async def test_nobody_whose_fields_are_refused_stays_in_the_audience() -> None:
    async with mailchimp() as (stage, vendor, audience):
        for name in ("ann", "bob"):
            vendor.know(f"{name}@example.com")
        vendor.bad_fields = {"bob@example.com"}
        result = await stage.connector.apply(audience, Batch(add=[person("ann", A="1"), person("bob", A="x")]))
        assert {key: outcome.kind for key, outcome in result.outcomes.items()} == {
            "bob@example.com": OutcomeKind.REJECTED
        }
        assert vendor.members(audience) == {"ann@example.com"}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ann@example.com has signed up to a lot of lists very recently", OutcomeKind.RETRY),
        (
            "Member In Compliance State: ann@example.com is in a compliance state due to unsubscribe",
            OutcomeKind.SUPPRESSED,
        ),
        ("Forgotten Email Not Subscribed: ann@example.com was permanently deleted", OutcomeKind.SUPPRESSED),
        ("ann@example.com has been cleaned", OutcomeKind.SUPPRESSED),
        ("ann@example.com looks fake or invalid, please enter a real email address.", OutcomeKind.REJECTED),
    ],
)
async def test_what_mailchimp_says_about_a_person_is_understood(said: str, kind: OutcomeKind) -> None:
    async with mailchimp() as (stage, vendor, audience):
        vendor.refuse("ann@example.com", said)
        outcome = (await stage.connector.apply(audience, Batch(add=[person("ann")]))).outcomes["ann@example.com"]
        assert outcome.kind is kind and "ann@" not in outcome.reason


async def test_errors_that_name_nobody_leave_everyone_unknown() -> None:
    answer = {"members_added": [], "members_removed": [], "errors": [], "error_count": 2}
    async with mailchimp() as (stage, _, audience):
        with stage.wire.answering(200, json.dumps(answer).encode()):
            assert (await stage.connector.apply(audience, Batch(add=[person("ann")]))).rest is OutcomeKind.UNKNOWN


async def test_a_vanished_tag_is_for_a_person_to_look_at() -> None:
    async with mailchimp() as (stage, vendor, audience):
        vendor.tags.clear()
        with pytest.raises(AuthError):
            await stage.connector.apply(audience, Batch(add=[person("ann")]))


async def test_a_throttle_while_contacts_are_created_concerns_the_whole_batch() -> None:
    async with mailchimp(new_contacts="subscribed") as (stage, _, audience):
        people = [person(f"n{number}") for number in range(20)]
        stopping = stage.wire.bending(lambda request, _: httpx.Response(429) if request.method == "PUT" else None)
        with stopping, pytest.raises(TransientError):
            await stage.connector.apply(audience, Batch(add=people))
        assert len([request for request in stage.wire.requests if request.method == "PUT"]) == 4


async def test_tags_and_members_are_read_page_by_page() -> None:
    async with mailchimp() as (stage, vendor, _):
        for number in range(2500):
            vendor.tags[5000 + number] = {"id": 5000 + number, "name": f"t{number}", "members": set()}
        found = await stage.connector.ensure_audience("t2400")
        assert found.ref == "7400"
        vendor.tags[7400]["members"] = {f"p{number}@example.com" for number in range(1500)}
        assert len({key async for key in stage.connector.members(found)}) == 1500


async def test_every_request_is_as_the_vendor_describes_it() -> None:
    api = Swagger2(
        "mailchimp", *(f"mailchimp-{part}-api-openapi.yml" for part in ("segments", "members", "lists", "list-id"))
    )
    async with mailchimp(new_contacts="transactional") as (stage, vendor, audience):
        vendor.know("ann@example.com")
        await stage.connector.check()
        await stage.connector.apply(
            audience, Batch(add=[person("ann", FNAME="Ann"), person("new")], remove=[person("x")])
        )
        assert [key async for key in stage.connector.members(audience)]
        await stage.connector.erase([person("ann")])
        described = {(request.method, api.validate(request, "/3.0")) for request in stage.wire.requests}
    assert described == {
        ("GET", "/lists/{list_id}"),
        ("POST", "/lists/{list_id}"),
        ("GET", "/lists/{list_id}/segments"),
        ("POST", "/lists/{list_id}/segments"),
        ("POST", "/lists/{list_id}/segments/{segment_id}"),
        ("GET", "/lists/{list_id}/segments/{segment_id}/members"),
        ("PUT", "/lists/{list_id}/members/{subscriber_hash}"),
        ("POST", "/lists/{list_id}/members/{subscriber_hash}/actions/delete-permanent"),
    }


def test_a_key_must_name_its_data_centre() -> None:
    for key in ("0123456789abcdef", "key-", "key-us21.evil.example", "key-us21/x", "key-21", "a b-us1"):
        with pytest.raises(ValidationError):
            MailchimpConfig.model_validate({**CONFIG, "api_key": key})
    assert MailchimpConfig.model_validate(CONFIG).list_url == "https://us21.api.mailchimp.com/3.0/lists/abc123"
