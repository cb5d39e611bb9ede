"""Brevo against a fake that keeps contacts, attributes, lists and folders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import httpx
import orjson
import pytest

from connectors.brevo import Brevo
from hub.sdk import (
    Audience,
    AuthError,
    Batch,
    Feedback,
    Inbound,
    Notice,
    Outcome,
    OutcomeKind,
    Person,
    RefusedError,
    TransientError,
    Unverified,
    Window,
)
from hub.sdk.testing import HttpConnectorContract, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.fake_brevo import KEY, SECRET, FakeBrevo, basic, told
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {"api_key": KEY, "webhook_secret": SECRET}


class TestBrevo(ThroughTheHub, HttpConnectorContract):
    connector = Brevo
    config: ClassVar = CONFIG
    fields: ClassVar = {"FNAME": "Annabella-Private", "AGE": 30}
    signs_body = signs_time = False

    def make_vendor(self) -> FakeBrevo:
        return FakeBrevo()


class TestBrevoWithoutFields(TestBrevo):
    fields: ClassVar = {}


@asynccontextmanager
async def brevo(**config: Any) -> AsyncIterator[tuple[Stage, FakeBrevo, Audience]]:
    vendor = FakeBrevo()
    async with staged(Brevo, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(name: str, **fields: Any) -> Person:
    return Person(f"id-{name}", f"{name}@example.com", fields)


def sent(stage: Stage, since: int = 0) -> list[tuple[str, str, Any]]:
    return [(r.method, r.url.raw_path.decode().removeprefix("/v3"), json_body(r)) for r in stage.wire.requests[since:]]


async def test_the_requests_of_a_run() -> None:
    async with brevo() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        vendor.know("o'hara+x@example.com")
        await stage.connector.check()
        fields = {"FNAME": "Ann", "VIP": True, "TAGS": ["a", "b"], "CITY": None}
        batch = Batch(add=[person("ann", **fields), person("o'hara+x")], remove=[person("bob")])
        result = await stage.connector.apply(audience, batch)
        assert result.outcomes == {"bob@example.com": Outcome(OutcomeKind.NOOP)}
        attributes = {"FNAME": "Ann", "VIP": True, "TAGS": ["a", "b"], "CITY": ""}
        assert sent(stage) == [
            ("GET", "/contacts/lists?limit=50&offset=0&sort=asc", None),
            ("GET", "/contacts/folders?limit=50&offset=0&sort=asc", None),
            ("POST", "/contacts/folders", {"name": "Audience hub"}),
            ("POST", "/contacts/lists", {"name": "vip", "folderId": 2}),
            ("GET", "/account", None),
            ("POST", "/contacts/lists/3/contacts/add", {"emails": ["ann@example.com", "o'hara+x@example.com"]}),
            ("POST", "/contacts/batch", {"contacts": [{"email": "ann@example.com", "attributes": attributes}]}),
            ("POST", "/contacts/lists/3/contacts/remove", {"emails": ["bob@example.com"]}),
            ("GET", "/contacts/bob%40example.com?identifierType=email_id", None),
        ]
        assert vendor.attributes["ann@example.com"] == attributes


async def test_where_all_were_on_the_list_already_the_refusal_of_the_whole_call_is_no_failure() -> None:
    async with brevo() as (stage, vendor, audience):
        for name in ("ann", "bob"):
            vendor.know(f"{name}@example.com")
        people = [person("ann"), person("bob", AGE=31)]
        await stage.connector.apply(audience, Batch(add=people))
        before = len(stage.wire.requests)
        result = await stage.connector.apply(audience, Batch(add=people))
        assert result.outcomes == {"ann@example.com": Outcome(OutcomeKind.NOOP)}
        assert sent(stage, before)[1:] == [
            ("GET", "/contacts/ann%40example.com?identifierType=email_id", None),
            ("GET", "/contacts/bob%40example.com?identifierType=email_id", None),
            ("PUT", "/contacts/bob%40example.com?identifierType=email_id", {"attributes": {"AGE": 31}}),
        ]


async def test_where_nobody_was_on_the_list_the_refusal_of_the_whole_removal_is_no_failure() -> None:
    async with brevo() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        result = await stage.connector.apply(audience, Batch(remove=[person("ann"), person("never")]))
        assert {outcome.kind for outcome in result.outcomes.values()} == {OutcomeKind.NOOP} and len(
            result.outcomes
        ) == 2


async def test_who_stays_on_the_list_although_removed_is_not_taken_for_gone() -> None:
    async with brevo() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        await stage.connector.apply(audience, Batch(add=[person("ann")]))
        failed = orjson.dumps({"contacts": {"success": [], "failure": ["ann@example.com"]}})
        failing = stage.wire.bending(lambda r, _: httpx.Response(201, content=failed) if r.method == "POST" else None)
        with failing:
            result = await stage.connector.apply(audience, Batch(remove=[person("ann")]))
        assert result.outcomes["ann@example.com"].kind is OutcomeKind.RETRY


async def test_another_refusal_of_the_whole_call_is_halved_and_not_taken_for_nothing_to_do() -> None:
    async with brevo() as (stage, _, audience):
        said = b'{"code": "invalid_parameter", "message": "Invalid email address"}'
        with stage.wire.answering(400, said), pytest.raises(RefusedError) as refusal:
            await stage.connector.apply(audience, Batch(add=[person("ann"), person("bob")]))
        assert refusal.value.divisible


async def test_people_who_are_no_contacts_are_rejected_unless_they_may_be_created() -> None:
    async with brevo() as (stage, vendor, audience):
        result = await stage.connector.apply(audience, Batch(add=[person("new")]))
        assert result.outcomes == {"new@example.com": Outcome(OutcomeKind.REJECTED, "no such contact in this account")}
        assert not vendor.subscriptions


async def test_people_are_created_on_the_list_and_never_updated_by_it() -> None:
    async with brevo(new_contacts="create") as (stage, vendor, audience):
        vendor.know("old@example.com", "unsubscribed")
        vendor.refuse("bad@example.com", "bad@example.com looks fake")
        add = [person("new", FNAME="New"), person("old"), person("bad")]
        result = await stage.connector.apply(audience, Batch(add=add))
        assert vendor.subscriptions == {"new@example.com": "subscribed", "old@example.com": "unsubscribed"}
        assert vendor.members(audience) == {"new@example.com", "old@example.com"}
        assert result.outcomes == {"bad@example.com": Outcome(OutcomeKind.REJECTED, "… looks fake")}
        created = [body for method, path, body in sent(stage) if (method, path) == ("POST", "/contacts")]
        assert created[0] == {"email": "new@example.com", "listIds": [3], "attributes": {"FNAME": "New"},
                              "updateEnabled": False}  # fmt: skip


async def test_whose_creation_goes_unanswered_may_be_there() -> None:
    async with brevo(new_contacts="create") as (stage, _, audience):
        lost = stage.wire.bending(lambda r, _: httpx.Response(502) if r.url.path == "/v3/contacts" else None)
        with lost:
            result = await stage.connector.apply(audience, Batch(add=[person("a"), person("b")]))
        assert {outcome.kind for outcome in result.outcomes.values()} == {OutcomeKind.UNKNOWN}
        assert len(result.outcomes) == 2


@pytest.mark.parametrize("left", [[3], [2, 3]])
async def test_who_has_unsubscribed_from_the_list_is_not_put_on_it_again(left: list[int]) -> None:
    async with brevo(new_contacts="create") as (stage, vendor, audience):
        vendor.know("ann@example.com")
        vendor.left["ann@example.com"] = left
        result = await stage.connector.apply(audience, Batch(add=[person("ann", A="1")]))
        assert result.outcomes["ann@example.com"].kind is OutcomeKind.SUPPRESSED
        assert not vendor.members(audience) and "ann@example.com" not in vendor.attributes


async def test_nobody_whose_fields_are_refused_stays_on_the_list() -> None:
    async with brevo() as (stage, vendor, audience):
        for name in ("ann", "bob", "old"):
            vendor.know(f"{name}@example.com")
        await stage.connector.apply(audience, Batch(add=[person("old")]))
        vendor.bad_fields = {"bob@example.com", "old@example.com"}
        add = [person("ann", A="1"), person("bob", A="x"), person("old", A="x")]
        result = await stage.connector.apply(audience, Batch(add=add))
        assert result.outcomes == dict.fromkeys(
            ("bob@example.com", "old@example.com"), Outcome(OutcomeKind.REJECTED, "… has invalid attributes")
        )
        assert vendor.members(audience) == {"ann@example.com"}


async def test_a_throttle_in_the_middle_leaves_done_what_is_done_so_that_each_attempt_gets_further() -> None:
    async with brevo() as (stage, vendor, audience):
        people = [person(f"n{number}") for number in range(10)]
        for one in people:
            vendor.know(one.key)
        await stage.connector.apply(audience, Batch(add=people))
        throttled = stage.wire.bending(lambda _, number: httpx.Response(429) if number > 4 else None)
        with throttled:
            result = await stage.connector.apply(audience, Batch(add=people))
        kinds = [result.outcomes[one.key].kind for one in people]
        assert kinds == [OutcomeKind.NOOP] * 4 + [OutcomeKind.RETRY] * 6


async def test_a_vanished_list_is_for_a_person_to_look_at() -> None:
    async with brevo() as (stage, vendor, audience):
        vendor.lists.clear()
        for batch in (Batch(add=[person("ann")]), Batch(remove=[person("ann")])):
            with pytest.raises(AuthError, match="gone"):
                await stage.connector.apply(audience, batch)


@pytest.mark.parametrize("status", [200, 202])
async def test_only_a_204_says_that_somebody_was_erased(status: int) -> None:
    async with brevo() as (stage, _, _audience):
        with stage.wire.answering(status, b'{"id": 1}'), pytest.raises(TransientError):
            await stage.connector.erase([person("ann")])


async def test_a_page_that_says_404_is_not_brevo_saying_that_somebody_is_no_contact() -> None:
    async with brevo() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        lost = stage.wire.bending(lambda r, _: httpx.Response(404, html="<p>?") if r.method == "GET" else None)
        with lost, pytest.raises(TransientError):
            await stage.connector.apply(audience, Batch(remove=[person("ann")]))


async def test_lists_are_found_page_by_page_and_two_audiences_share_one_folder() -> None:
    async with brevo() as (stage, vendor, audience):
        other = await stage.connector.ensure_audience("another")
        assert other != audience and list(vendor.folders.values()) == ["Your first folder", "Audience hub"]
        for number in range(100, 300):
            vendor.lists[number] = {"name": f"l{number}", "folder": 1, "members": []}
        assert (await stage.connector.ensure_audience("l250")).ref == "250"


async def test_an_account_without_any_list_gets_its_first() -> None:
    async with brevo() as (stage, vendor, _):
        vendor.lists.clear()
        vendor.folders.clear()
        await stage.connector.ensure_audience("first")
        assert [one["name"] for one in vendor.lists.values()] == ["first"]


async def test_a_member_without_an_address_is_counted_and_called_by_number() -> None:
    async with brevo() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        await stage.connector.apply(audience, Batch(add=[person("ann")]))
        vendor.without_address = 2
        page = await stage.connector.members_page(audience)
        assert page.members == ["ann@example.com", "9000", "9001"] and page.total == 3


async def test_what_the_plan_allows_is_kept_to() -> None:
    async with brevo() as (stage, _, _audience):
        assert stage.connector.limits() == Brevo.capabilities
    async with brevo(requests_per_second=20) as (stage, _, _audience):
        assert stage.connector.limits().limits[:2] == (Window(20, 1.0), Window(72_000, 3600.0))


@pytest.mark.parametrize(
    ("event", "notice"),
    [
        ("unsubscribe", Notice.UNSUBSCRIBED),
        ("unsubscribed", Notice.UNSUBSCRIBED),
        ("hard_bounce", Notice.BOUNCED),
        ("hardBounce", Notice.BOUNCED),
        ("spam", Notice.COMPLAINED),
        ("soft_bounce", None),
        ("list_addition", None),
        ("contact_deleted", None),
        ("contact_updated", None),
        ("delivered", None),
    ],
)
async def test_only_what_takes_a_permission_away_is_heard(event: str, notice: Notice | None) -> None:
    async with brevo() as (stage, vendor, _):
        heard = stage.connector.feedback(vendor.telling(orjson.dumps(told(event, "ann@example.com"))))
        at = datetime(2026, 11, 22, 10, tzinfo=UTC)
        assert heard == ([Feedback(notice, "email", "ann@example.com", at=at)] if notice else [])


async def test_several_events_in_one_request_are_heard_although_one_of_them_makes_no_sense() -> None:
    async with brevo() as (stage, vendor, _):
        events = [told("spam", "a@example.com"), 7, told("spam", ""), told("spam", "b@example.com", ts_event=None)]
        heard = stage.connector.feedback(vendor.telling(orjson.dumps(events)))
        assert [one.value for one in heard] == ["a@example.com", "b@example.com"] and heard[1].at is None


@pytest.mark.parametrize("moment", [-1, 10**12, "soon", 1.5, True, {}])
async def test_a_time_that_makes_no_sense_does_not_lose_the_no(moment: object) -> None:
    async with brevo() as (stage, vendor, _):
        body = orjson.dumps(told("spam", "a@example.com", ts_event=moment))
        assert stage.connector.feedback(vendor.telling(body)) == [Feedback(Notice.COMPLAINED, "email", "a@example.com")]


async def test_the_secret_may_stand_in_the_address_or_in_a_header() -> None:
    async with brevo() as (stage, vendor, _):
        request = vendor.tells(Notice.COMPLAINED, "ann@example.com")
        for knowing in (replace(request, headers={}, path=SECRET), replace(request, headers=basic(SECRET))):
            assert len(stage.connector.feedback(knowing)) == 1
    async with brevo(webhook_secret=None) as (stage, _, _):
        with pytest.raises(Unverified):
            stage.connector.feedback(Inbound("POST", SECRET, headers=basic(SECRET), body=request.body))
