"""SendGrid against a fake that keeps contacts, lists and jobs, and against the vendor's own description."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.sendgrid import SendGrid, SendGridConfig
from hub.sdk import Audience, AuthError, Batch, Outcome, OutcomeKind, Person, RefusedError
from hub.sdk.testing import HttpConnectorContract, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.descriptions import OpenApi3
from tests.connectors.fake_sendgrid import KEY, PUBLIC, FakeSendGrid, contact_id
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {"api_key": KEY, "verification_key": PUBLIC}


class TestSendGrid(ThroughTheHub, HttpConnectorContract):
    connector = SendGrid
    config: ClassVar = CONFIG
    fields: ClassVar = {"first_name": "Annabella-Private", "orders": 12}

    def make_vendor(self) -> FakeSendGrid:
        return FakeSendGrid()


@asynccontextmanager
async def sendgrid(**config: Any) -> AsyncIterator[tuple[Stage, FakeSendGrid, Audience]]:
    vendor = FakeSendGrid()
    async with staged(SendGrid, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(name: str, **fields: Any) -> Person:
    return Person(f"id-{name}", f"{name}@example.com", fields)


def sent(stage: Stage, since: int = 0) -> list[tuple[str, str, Any]]:
    return [(r.method, r.url.raw_path.decode().removeprefix("/v3"), json_body(r)) for r in stage.wire.requests[since:]]


async def test_the_requests_of_a_run() -> None:
    async with sendgrid() as (stage, vendor, audience):
        await stage.connector.check()
        mapped = {"first_name": "Ann", "orders": 3, "plan": None, "alternate_emails": "a@example.com"}
        await stage.send(audience, add=[person("ann", **mapped), person("bob")])
        await stage.send(audience, remove=[person("ann")])
        vip = audience.ref
        contacts = [
            {"first_name": "Ann", "alternate_emails": ["a@example.com"],
             "custom_fields": {"e1_N": 3, "w1": ""}, "email": "ann@example.com"},
            {"email": "bob@example.com"},
        ]  # fmt: skip
        searched = ("POST", "/marketing/contacts/search/emails", {"emails": ["ann@example.com"]})
        assert sent(stage) == [
            ("GET", "/marketing/lists?page_size=1000", None),
            ("POST", "/marketing/lists", {"name": "vip"}),
            ("GET", "/scopes", None),
            ("GET", "/marketing/contacts/count", None),
            ("GET", "/marketing/field_definitions", None),
            ("PUT", "/marketing/contacts", {"list_ids": [vip], "contacts": contacts}),
            ("GET", "/marketing/contacts/imports/job-1", None),
            ("GET", "/marketing/contacts/imports/job-1", None),
            searched,
            ("DELETE", f"/marketing/lists/{vip}/contacts?contact_ids={contact_id('ann@example.com')}", None),
            searched,
            searched,
        ]
        assert vendor.members(audience) == {"bob@example.com"} and "ann@example.com" in vendor.subscriptions


async def test_an_address_that_is_not_valid_is_left_out_and_the_others_are_sent_again() -> None:
    async with sendgrid() as (stage, vendor, audience):
        vendor.invalid = {"ann@example.com", "o'hara@example.com"}
        people = [person("joann"), person("ann"), person("o'hara"), person("bob")]
        outcomes = await stage.send(audience, add=people)
        refused = {key: one.kind for key, one in outcomes.items() if one.kind is not OutcomeKind.ACCEPTED}
        assert refused == dict.fromkeys(vendor.invalid, OutcomeKind.REJECTED)
        assert vendor.members(audience) == {"joann@example.com", "bob@example.com"}
        assert [len(body["contacts"]) for method, _, body in sent(stage) if method == "PUT"] == [4, 3, 2]


async def test_whose_address_is_the_end_of_an_invalid_one_is_not_refused_with_it() -> None:
    async with sendgrid() as (stage, vendor, audience):
        vendor.invalid = {"o'hara@example.com"}
        outcomes = await stage.send(audience, add=[person("hara"), person("o'hara")])
        assert outcomes["hara@example.com"].kind is OutcomeKind.ACCEPTED
        assert vendor.members(audience) == {"hara@example.com"}


async def test_where_every_address_is_invalid_there_is_no_job() -> None:
    async with sendgrid() as (stage, vendor, audience):
        vendor.invalid = {"ann@example.com"}
        result = await stage.connector.add(audience, [person("ann")])
        assert result.job is None and result.outcomes["ann@example.com"].kind is OutcomeKind.REJECTED


async def test_a_refusal_that_names_nobody_is_halved() -> None:
    async with sendgrid() as (stage, _, audience):
        said = b'{"errors": [{"message": "joann@example.com.au: too long"}]}'
        with stage.wire.answering(400, said), pytest.raises(RefusedError) as refusal:
            await stage.connector.add(audience, [person("ann"), person("bob")])
        assert refusal.value.divisible and "joann" not in refusal.value.reason


async def test_fields_that_sendgrid_does_not_have_are_told_by_name_and_looked_for_again() -> None:
    async with sendgrid() as (stage, _, audience):
        for name in ("shoe_size", "automation_id"):
            with pytest.raises(RefusedError, match=name) as refusal:
                await stage.connector.add(audience, [person("ann", **{name: 1})])
            assert not refusal.value.divisible
        assert [path for _, path, _ in sent(stage)].count("/marketing/field_definitions") == 2


@pytest.mark.parametrize(
    ("value", "number", "text"),
    [(True, "true", "true"), (3, 3, "3"), (2.5, 2.5, "2.5"), (None, "", ""), (["a", "b"], "a, b", "a, b")],
)
async def test_values_are_sent_as_the_fields_are_defined(value: Any, number: Any, text: str) -> None:
    async with sendgrid() as (stage, vendor, audience):
        await stage.send(audience, add=[person("ann", orders=value, plan=value)])
        assert vendor.details["ann@example.com"]["custom_fields"] == {"e1_N": number, "w1": text}


async def test_a_mapped_address_never_takes_the_place_of_the_persons_own() -> None:
    async with sendgrid() as (stage, vendor, audience):
        await stage.send(audience, add=[person("ann", email="other@example.com")])
        assert vendor.members(audience) == {"ann@example.com"}


async def test_a_vanished_list_is_for_a_person_to_look_at() -> None:
    async with sendgrid() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        vendor.lists.clear()
        for batch in (Batch(add=[person("ann")]), Batch(remove=[person("ann")])):
            with pytest.raises(AuthError, match="gone"):
                await stage.connector.apply(audience, batch)


async def test_lists_are_found_page_by_page() -> None:
    async with sendgrid() as (stage, vendor, audience):
        vendor.page = 2
        for name in "abcde":
            await stage.connector.ensure_audience(name)
        assert await stage.connector.ensure_audience("vip") == audience and len(vendor.lists) == 6
        assert await stage.connector.ensure_audience("e") and len(vendor.lists) == 6


async def test_a_key_that_may_do_nothing_in_marketing_is_found_out() -> None:
    async with sendgrid() as (stage, vendor, _):
        vendor.scopes = ["mail.send"]
        with pytest.raises(AuthError, match="Marketing"):
            await stage.connector.check()


async def test_erasing_deletes_the_contact_and_what_is_kept_of_mail_to_them() -> None:
    async with sendgrid() as (stage, vendor, _):
        people = [person(f"n{number}") for number in range(150)]
        for one in people:
            vendor.know(one.key)
        vendor.invalid = {"n7@example.com"}
        never = person("never")
        result = await stage.connector.erase([*people, never])
        assert set(vendor.subscriptions) == {"n7@example.com"}
        assert vendor.erased == {one.key for one in [*people, never]} - vendor.invalid
        assert result.outcomes == {
            "n7@example.com": Outcome(OutcomeKind.REJECTED, "SendGrid says that the address is not valid")
        }


def test_a_region_is_an_address_unless_there_is_a_gateway() -> None:
    regions = {region: SendGridConfig.model_validate({**CONFIG, "region": region}).base for region in ("global", "eu")}
    assert regions == {"global": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"}
    assert SendGridConfig.model_validate({**CONFIG, "api_url": "https://gate.example/"}).base == "https://gate.example"


def test_a_verification_key_must_be_one() -> None:
    for key in ("", "MFkwEwYH", "not a key", PUBLIC[:-8]):
        with pytest.raises(ValidationError):
            SendGridConfig.model_validate({**CONFIG, "verification_key": key})


async def test_how_many_go_at_once_can_be_configured() -> None:
    async with sendgrid(batch=500) as (stage, _, _audience):
        assert stage.connector.limits().batch == 500


async def test_every_request_is_as_the_vendor_describes_it() -> None:
    files = ("mc_contacts", "mc_lists", "mc_custom_fields", "recipients_data_erasure", "scopes")
    api = OpenApi3("sendgrid", *(f"tsg_{file}_v3.json" for file in files))
    async with sendgrid() as (stage, vendor, audience):
        vendor.know("gone@example.com")
        await stage.connector.check()
        # The only custom field that the description knows is called `w1`, as `plan` is here.
        await stage.send(
            audience, add=[person("ann", first_name="Ann", plan="gold", alternate_emails=["a@example.com"])]
        )
        await stage.connector.count(audience)
        await stage.send(audience, remove=[person("ann"), person("never")])
        vendor.unknown_ids = {contact_id("gone@example.com")}
        await stage.connector.remove(audience, [person("gone")])
        await stage.connector.erase([person("ann")])
        described = {(request.method, api.validate(request)) for request in stage.wire.requests}
    assert described == {
        ("GET", "/v3/scopes"),
        ("GET", "/v3/marketing/contacts/count"),
        ("GET", "/v3/marketing/field_definitions"),
        ("GET", "/v3/marketing/lists"),
        ("POST", "/v3/marketing/lists"),
        ("GET", "/v3/marketing/lists/{id}"),
        ("PUT", "/v3/marketing/contacts"),
        ("GET", "/v3/marketing/contacts/imports/{id}"),
        ("POST", "/v3/marketing/contacts/search/emails"),
        ("GET", "/v3/marketing/lists/{id}/contacts/count"),
        ("DELETE", "/v3/marketing/lists/{id}/contacts"),
        ("DELETE", "/v3/marketing/contacts"),
        ("POST", "/v3/recipients/erasejob"),
    }


async def test_the_description_finds_a_misspelt_field() -> None:
    api = OpenApi3("sendgrid", "tsg_mc_contacts_v3.json")
    address = "https://api.sendgrid.com/v3/marketing/contacts"
    body = {"contacts": [{"email": "ann@example.com", "frist_name": "Ann"}]}
    wrong = httpx.Request("PUT", address, json=body, headers={"authorization": "Bearer x"})
    with pytest.raises(Exception, match="schema"):
        api.validate(wrong)
