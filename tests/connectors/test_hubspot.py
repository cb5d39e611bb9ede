"""HubSpot against a fake that keeps contacts and lists of record ids, and against the vendor's own description."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.hubspot import HubSpot, HubSpotConfig
from connectors.hubspot.answers import by_meaning
from hub.sdk import (
    AuthError,
    Batch,
    DailyBudget,
    Feedback,
    Notice,
    Outcome,
    OutcomeKind,
    Person,
    RefusedError,
    Response,
    TransientError,
    Unverified,
    Window,
)
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.descriptions import OpenApi3
from tests.connectors.fake_hubspot import SECRET, TOKEN, FakeHubSpot, batch, problem
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {"access_token": TOKEN, "client_secret": SECRET}
FIELDS = {"firstname": "Annabella-Private", "orders": 12}
V3 = ("/crm/v3/lists", "/crm/v3/objects/contacts")


class TestHubSpot(ThroughTheHub, HttpConnectorContract):
    connector = HubSpot
    config: ClassVar = CONFIG
    fields: ClassVar = FIELDS

    def make_vendor(self) -> FakeHubSpot:
        return FakeHubSpot()


class TestHubSpotThatCreatesContactsByTheOldAddresses(HttpConnectorContract):
    connector = HubSpot
    config: ClassVar = {**CONFIG, "new_contacts": "create", "api_version": "v3"}
    fields: ClassVar = FIELDS

    def make_vendor(self) -> FakeHubSpot:
        return FakeHubSpot(*V3)


@asynccontextmanager
async def hubspot(
    vendor: FakeHubSpot | None = None, **config: Any
) -> AsyncIterator[tuple[Stage, FakeHubSpot, Audience]]:
    vendor = vendor or FakeHubSpot()
    async with staged(HubSpot, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(name: str, **fields: Any) -> Person:
    return Person(f"id-{name}", f"{name}@example.com", fields)


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    return [(r.method, r.url.raw_path.decode(), json_body(r)) for r in stage.wire.requests]


LOOKED_UP = {"properties": ["email", "hs_additional_emails"], "propertiesWithHistory": [], "idProperty": "email"}


async def test_the_requests_of_a_run() -> None:
    async with hubspot(new_contacts="create") as (stage, vendor, audience):
        vendor.know("ann@example.com")
        vendor.know("bob@example.com")
        ann = person("ann", firstname="Ann", vip=True, tags=["a", "b"], city=None, age=30)
        await stage.connector.apply(audience, Batch(add=[ann, person("new", firstname="New")], remove=[person("bob")]))
        texts = {"firstname": "Ann", "vip": "true", "tags": "a;b", "city": "", "age": "30"}
        wanted = [{"id": f"{name}@example.com"} for name in ("ann", "new", "bob")]
        contacts, lists = "/crm/objects/2026-03/contacts", "/crm/lists/2026-03"
        new = {"id": "new@example.com", "idProperty": "email", "properties": {"firstname": "New"}}
        assert sent(stage) == [
            ("GET", f"{lists}/object-type-id/0-1/name/vip", None),
            ("POST", lists, {"name": "vip", "objectTypeId": "0-1", "processingType": "MANUAL"}),
            ("POST", f"{contacts}/batch/read", {"inputs": wanted, **LOOKED_UP}),
            ("POST", f"{contacts}/batch/update",
             {"inputs": [{"id": "101", "properties": texts, "objectWriteTraceId": "0"}]}),
            ("POST", f"{contacts}/batch/upsert", {"inputs": [{**new, "objectWriteTraceId": "0"}]}),
            ("PUT", f"{lists}/1/memberships/add-and-remove",
             {"recordIdsToAdd": ["101", "103"], "recordIdsToRemove": ["102"]}),
        ]  # fmt: skip
        assert {request.headers["authorization"] for request in stage.wire.requests} == {f"Bearer {TOKEN}"}


async def test_nobody_is_created_unless_that_is_wanted() -> None:
    async with hubspot() as (stage, vendor, audience):
        outcomes = await stage.send(audience, add=[person("new", firstname="New")])
        assert outcomes == {"new@example.com": Outcome(OutcomeKind.REJECTED, "no such contact in HubSpot")}
        assert vendor.contacts == {} and [path for method, path, _ in sent(stage) if method == "PUT"] == []
    async with hubspot(new_contacts="create") as (stage, vendor, audience):
        await stage.send(audience, add=[person("new", firstname="New")])
        assert vendor.members(audience) == {"new@example.com"} and vendor.subscriptions == {}


@pytest.mark.parametrize("names_by", ["trace", "email", "nothing"])
@pytest.mark.parametrize("new", [False, True])
async def test_whoever_is_refused_is_found_however_hubspot_names_them(names_by: str, new: bool) -> None:
    async with hubspot(new_contacts="create") as (stage, vendor, audience):
        vendor.names_by = names_by
        people = [person(f"n{number}", age="x") for number in range(5)]
        for one in people:
            if not new:
                vendor.know(one.key)
        vendor.refuse("n1@example.com", "Property values were not valid: n1@example.com has no age x")
        vendor.refuse("n3@example.com", "")
        outcomes = await stage.send(audience, add=people)
        refused = {key: outcome.reason for key, outcome in outcomes.items() if outcome.kind is OutcomeKind.REJECTED}
        assert refused == {
            "n1@example.com": "Property values were not valid: … has no age x",
            "n3@example.com": "VALIDATION_ERROR",
        }
        assert vendor.members(audience) == {f"n{number}@example.com" for number in (0, 2, 4)}
        alone = [body for _, path, body in sent(stage) if "batch/up" in path and len(body["inputs"]) == 1]
        assert len(alone) == (2 if names_by == "nothing" else 0)


async def test_a_row_that_is_refused_with_its_batch_is_found_by_halves_as_the_hub_does() -> None:
    async with hubspot() as (stage, vendor, audience):
        vendor.refuses_whole = True
        vendor.refuse("bob@example.com", "no")
        for name in ("ann", "bob"):
            vendor.know(f"{name}@example.com")
        with pytest.raises(RefusedError, match="VALIDATION_ERROR, aeb5f871-7f07-4993-9211-075dc63e7cbf") as refusal:
            await stage.connector.apply(audience, Batch(add=[person("ann", a="1"), person("bob", a="x")]))
        assert refusal.value.divisible


async def test_a_row_of_which_nothing_is_said_at_all_is_unknown() -> None:
    async with hubspot() as (stage, vendor, audience):
        vendor.know("ann@example.com")

        def silent(request: httpx.Request, _: int) -> httpx.Response | None:
            return batch([], []) if request.url.path.endswith("batch/update") else None

        with stage.wire.bending(silent):
            outcomes = await stage.send(audience, add=[person("ann", a="1")])
        assert outcomes["ann@example.com"].kind is OutcomeKind.UNKNOWN and vendor.members(audience) == set()


async def test_a_row_that_is_refused_alone_says_why() -> None:
    async with hubspot(new_contacts="create") as (stage, _, audience):

        def silent_then_plain(request: httpx.Request, _: int) -> httpx.Response | None:
            if not request.url.path.endswith("batch/upsert"):
                return None
            alone = "objectWriteTraceId" not in json_body(request)["inputs"][0]
            return problem(400, "VALIDATION_ERROR", "ann@example.com is invalid") if alone else batch([], [])

        with stage.wire.bending(silent_then_plain):
            outcomes = await stage.send(audience, add=[person("ann")])
        assert outcomes["ann@example.com"] == Outcome(OutcomeKind.REJECTED, "… is invalid")


async def test_nobody_whose_fields_are_refused_stays_in_the_audience() -> None:
    async with hubspot() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        await stage.send(audience, add=[person("ann", a="1")])
        vendor.refuse("ann@example.com", "no")
        await stage.send(audience, add=[person("ann", a="x")])
        assert vendor.members(audience) == set()


async def test_two_of_one_address_are_one_row_and_so_are_two_addresses_of_one_contact() -> None:
    async with hubspot(new_contacts="create") as (stage, vendor, audience):
        vendor.know("ann@example.com")
        vendor.contacts["101"]["hs_additional_emails"] = "old@example.com;older@example.com"
        people = [person("ann", a="1"), person("old", a="2"), person("new", a="3"), person("new", a="3")]
        outcomes = await stage.send(audience, add=people)
        assert {outcome.kind for outcome in outcomes.values()} == {OutcomeKind.ACCEPTED}
        assert len(vendor.contacts) == 2 and vendor.lists[audience.ref]["members"] == set(vendor.contacts)


async def test_whoever_changed_their_address_stays_in_while_the_old_one_is_removed() -> None:
    async with hubspot() as (stage, vendor, audience):
        vendor.know("new@example.com")
        vendor.contacts["101"]["hs_additional_emails"] = "old@example.com"
        await stage.connector.apply(audience, Batch(add=[person("new")], remove=[person("old")]))
        assert vendor.members(audience) == {"new@example.com"}


async def test_whoever_is_deleted_between_two_requests_is_rejected_or_gone_already() -> None:
    async with hubspot() as (stage, vendor, audience):
        for name in ("ann", "bob", "cem"):
            vendor.know(f"{name}@example.com")

        def deleting(request: httpx.Request, _: int) -> None:
            if request.method == "PUT":
                del vendor.contacts["101"], vendor.contacts["102"]

        with stage.wire.bending(deleting):
            result = await stage.connector.apply(
                audience, Batch(add=[person("ann"), person("cem")], remove=[person("bob")])
            )
        assert {key: outcome.kind for key, outcome in result.outcomes.items()} == {
            "ann@example.com": OutcomeKind.REJECTED,
            "bob@example.com": OutcomeKind.NOOP,
        }
        assert vendor.members(audience) == {"cem@example.com"}


async def test_whoever_is_deleted_before_their_update_holds_up_nobody_else() -> None:
    async with hubspot() as (stage, vendor, audience):
        for name in ("ann", "bob"):
            vendor.know(f"{name}@example.com")

        def deleting(request: httpx.Request, _: int) -> None:
            if request.url.path.endswith("batch/update"):
                vendor.contacts.pop("101", None)

        with stage.wire.bending(deleting):
            outcomes = await stage.send(audience, add=[person("ann", a="1"), person("bob", a="1")])
        assert outcomes == {
            "ann@example.com": Outcome(OutcomeKind.REJECTED, "No contact has one of these ids"),
            "bob@example.com": Outcome(OutcomeKind.ACCEPTED),
        }
        assert vendor.members(audience) == {"bob@example.com"}


async def test_a_contact_that_could_not_be_looked_up_is_not_taken_for_absent() -> None:
    error = {"status": "error", "category": "INTERNAL_ERROR", "message": "x", "context": {"ids": ["ann@example.com"]}}
    async with hubspot() as (stage, _, audience):
        with (
            stage.wire.bending(lambda _, __: batch([], [error])),
            pytest.raises(TransientError, match="INTERNAL_ERROR"),
        ):
            await stage.connector.apply(audience, Batch(remove=[person("ann")]))


@pytest.mark.parametrize("name", ["hs_email_optout", "hs_email_optout_12345", "HS_Legal_Basis", "hs_marketable_status"])
async def test_a_property_that_says_who_may_be_mailed_is_never_written(name: str) -> None:
    async with hubspot() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        with pytest.raises(RefusedError, match="who may be mailed"):
            await stage.connector.apply(audience, Batch(add=[person("ann", **{name: False})]))


async def test_a_list_that_hubspot_fills_itself_is_no_audience() -> None:
    async with hubspot() as (stage, vendor, _):
        vendor.lists["9"] = {"name": "Active", "kind": "DYNAMIC", "members": set()}
        with pytest.raises(RefusedError, match="another name"):
            await stage.connector.ensure_audience("Active")
        vendor.lists["9"]["kind"] = "SNAPSHOT"
        assert (await stage.connector.ensure_audience("Active")).ref == "9"
        assert (await stage.connector.ensure_audience("50% / “ä”?")).name == "50% / “ä”?"


async def test_a_vanished_list_is_for_a_person_to_look_at() -> None:
    async with hubspot() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        vendor.lists.clear()
        for call in (
            stage.connector.apply(audience, Batch(add=[person("ann")])),
            stage.connector.members_page(audience),
        ):
            with pytest.raises(AuthError):
                await call


async def test_members_are_named_by_their_addresses_page_by_page() -> None:
    async with hubspot() as (stage, vendor, audience):
        for number in range(230):
            vendor.know(f"n{number}@example.com")
        vendor.contacts["999"] = {"email": "", "phone": "1"}
        vendor.lists[audience.ref]["members"] = set(vendor.contacts)
        page = await stage.connector.members_page(audience)
        assert len(page.members) == 100 and page.next and page.total is None
        assert {one async for one in stage.connector.members(audience)} == {f"n{n}@example.com" for n in range(230)}


async def test_somebody_whom_hubspot_does_not_know_is_not_named_to_it_for_good() -> None:
    async with hubspot() as (stage, vendor, _):
        vendor.know("ann@example.com")
        result = await stage.connector.erase([person("ann"), person("stranger")])
        assert result.outcomes == {"stranger@example.com": Outcome(OutcomeKind.NOOP)}
        assert sent(stage)[-1] == ("POST", "/crm/objects/2026-03/contacts/gdpr-delete", {"objectId": "101"})


# -- limits -----------------------------------------------------------------------------------------------------------


async def test_what_the_account_allows_is_configured() -> None:
    async with hubspot(requests_per_10s=190, requests_per_day=5000, time_zone="Europe/Berlin") as (stage, _, _a):
        assert stage.connector.limits().limits[:2] == (Window(190, seconds=10), DailyBudget(5000, "Europe/Berlin"))
        assert (await stage.connector.check()).label == "account 62515 (US/Eastern)"
    with pytest.raises(ValidationError, match="Europe/Berlin"):
        HubSpotConfig.model_validate({**CONFIG, "time_zone": "Berlin"})


def throttled(at: str, zone: str, headers: dict[str, str] | None = None, **said: str) -> float | None:
    body = json.dumps({"status": "error", "errorType": "RATE_LIMIT", **said}).encode()
    answer = Response(429, headers or {}, body, "api.hubapi.com", datetime.fromisoformat(at))
    error = by_meaning(answer, zone)
    assert isinstance(error, TransientError)
    return error.retry_after


def test_what_is_spent_of_a_day_is_waited_for_until_midnight_of_the_account() -> None:
    noon = "2026-11-22T12:00:00+00:00"
    assert throttled(noon, "UTC", policyName="DAILY") == 12 * 3600
    assert throttled(noon, "America/New_York", policyName="DAILY") == 17 * 3600
    # The night to winter time has 25 hours.
    assert throttled("2026-10-24T22:00:00+00:00", "Europe/Berlin", policyName="DAILY") == 25 * 3600
    assert throttled("2026-11-22T23:59:59.5+00:00", "UTC", {"retry-after": "3"}, policyName="DAILY") == 3


def test_other_throttles_roll_over_ten_seconds_unless_hubspot_says_otherwise() -> None:
    noon = "2026-11-22T12:00:00+00:00"
    assert throttled(noon, "UTC", policyName="TEN_SECONDLY_ROLLING") == 10
    assert throttled(noon, "UTC", {"retry-after": "2"}, policyName="TEN_SECONDLY_ROLLING") == 2
    assert throttled(noon, "UTC") == 10


@pytest.mark.parametrize("status", [423, 477])
async def test_what_is_locked_or_being_moved_is_tried_again(status: int) -> None:
    async with hubspot() as (stage, _, audience):
        with stage.wire.answering(status, b"", Retry_After="30"), pytest.raises(TransientError) as error:
            await stage.connector.apply(audience, Batch(remove=[person("ann")]))
        assert error.value.retry_after == 30


# -- feedback ---------------------------------------------------------------------------------------------------------


async def test_every_event_of_a_request_is_heard_and_only_what_takes_a_permission_away() -> None:
    async with hubspot() as (stage, vendor, _):
        vendor.know("ann@example.com")
        gone = vendor.event("hs_email_optout", "true", "ann@example.com")
        events = [
            vendor.event("hs_email_optout", "false", "ann@example.com"),
            vendor.event("firstname", "true", "ann@example.com"),
            {"broken": 1},
            {**gone, "subscriptionType": "contact.deletion"},
            {**gone, "subscriptionType": "object.propertyChange", "objectTypeId": "0-2"},
            {**gone, "subscriptionType": "object.propertyChange", "objectTypeId": "0-1"},
            vendor.event("hs_email_hard_bounce_reason_enum", "", "ann@example.com"),
            vendor.event("hs_email_hard_bounce_reason_enum", "UNKNOWN_USER", "ann@example.com"),
        ]
        at = datetime.fromtimestamp(1_795_000_000.5, UTC)
        assert stage.connector.feedback(vendor.telling(json.dumps(events).encode())) == [
            Feedback(Notice.UNSUBSCRIBED, "native", "101", "12-7-101", at),
            Feedback(Notice.BOUNCED, "native", "101", "12-7-101", at),
        ]


async def test_which_properties_tell_it_can_be_configured() -> None:
    async with hubspot(unsubscribed_property="hs_email_optout_77") as (stage, vendor, _):
        vendor.know("ann@example.com")
        body = json.dumps([vendor.event("hs_email_optout_77", "true", "ann@example.com")]).encode()
        assert [one.notice for one in stage.connector.feedback(vendor.telling(body))] == [Notice.UNSUBSCRIBED]
        assert not stage.connector.feedback(vendor.tells(Notice.UNSUBSCRIBED, "ann@example.com"))


async def test_contacts_are_recognised_under_all_their_addresses_and_whoever_is_gone_is_left_out() -> None:
    async with hubspot() as (stage, vendor, _):
        vendor.know("ann@example.com")
        vendor.contacts["101"]["hs_additional_emails"] = "old@example.com"
        told = [Feedback(Notice.BOUNCED, "native", number, "e1") for number in ("101", "404", "101")]
        other = Feedback(Notice.UNSUBSCRIBED, "email", "bob@example.com")
        heard = await stage.connector.recognised([*told, other])
        assert {(one.kind, one.value, one.event) for one in heard} == {
            ("email", "bob@example.com", ""),
            ("email", "ann@example.com", "e1"),
            ("email", "old@example.com", "e1"),
        }


async def test_the_signed_address_can_be_given_where_a_proxy_hides_it() -> None:
    async with hubspot() as (stage, vendor, _):
        hidden = replace(vendor.tells(Notice.BOUNCED, "ann@example.com"), url="http://10.0.0.7:8080/hooks/hubspot/")
        with pytest.raises(Unverified, match="signed_address"):
            stage.connector.feedback(hidden)
    async with hubspot(signed_address="https://hub.example.com/hooks/hubspot/") as (stage, _, _audience):
        assert len(stage.connector.feedback(hidden)) == 1
        with pytest.raises(Unverified):
            stage.connector.feedback(replace(hidden, method="PUT"))


@pytest.mark.parametrize("said", ["", "soon", "1.5", "9" * 40])
async def test_a_time_that_cannot_be_read_is_not_believed(said: str) -> None:
    async with hubspot() as (stage, vendor, _):
        request = vendor.tells(Notice.BOUNCED, "ann@example.com")
        with pytest.raises(Unverified):
            stage.connector.feedback(replace(request, headers={**request.headers, "x-hubspot-request-timestamp": said}))
        with pytest.raises(Unverified, match="five minutes"):
            stage.connector.feedback(replace(request, received_at=request.received_at - timedelta(minutes=6)))


async def test_without_a_secret_nothing_is_believed() -> None:
    async with hubspot(client_secret=None) as (stage, vendor, _):
        with pytest.raises(Unverified, match="client_secret"):
            stage.connector.feedback(vendor.tells(Notice.UNSUBSCRIBED, "ann@example.com"))


# -- the description --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2026-03", "v3"])
async def test_every_request_is_as_the_vendor_describes_it(version: str) -> None:
    lists, contacts = V3 if version == "v3" else ("/crm/lists/2026-03", "/crm/objects/2026-03/contacts")
    # The token travels as a bearer's, which the description has as OAuth: the header is looked at elsewhere.
    api = OpenApi3("hubspot", f"lists-{version}.json", f"contacts-{version}.json", secured=False)
    vendor = FakeHubSpot(lists, contacts)
    async with hubspot(vendor, api_version=version, new_contacts="create") as (stage, _, audience):
        vendor.know("ann@example.com")
        batch = Batch(add=[person("ann", firstname="Ann"), person("new", age=3)], remove=[person("x")])
        await stage.connector.apply(audience, batch)
        assert [key async for key in stage.connector.members(audience)]
        await stage.connector.erase([person("ann")])
        assert {(request.method, api.validate(request)) for request in stage.wire.requests} == {
            ("GET", f"{lists}/object-type-id/{{objectTypeId}}/name/{{listName}}"),
            ("POST", lists),
            ("GET", f"{lists}/{{listId}}/memberships"),
            ("PUT", f"{lists}/{{listId}}/memberships/add-and-remove"),
            ("POST", f"{contacts}/batch/read"),
            ("POST", f"{contacts}/batch/update"),
            ("POST", f"{contacts}/batch/upsert"),
            ("POST", f"{contacts}/gdpr-delete"),
        }


def test_a_version_is_a_month_or_the_last_without_one() -> None:
    assert HubSpotConfig.model_validate(CONFIG).api_version == HubSpot.versions[0].name
    for version in ("v4", "2026-03-01", "latest", "2026-03/x"):
        with pytest.raises(ValidationError):
            HubSpotConfig.model_validate({**CONFIG, "api_version": version})
