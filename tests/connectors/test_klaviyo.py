"""Klaviyo against a fake that keeps profiles, lists and import jobs, and against the vendor's own description."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from connectors.klaviyo import Klaviyo, KlaviyoConfig
from hub.sdk import (
    AuthError,
    Batch,
    Feedback,
    Notice,
    Outcome,
    OutcomeKind,
    Person,
    RefusedError,
    TransientError,
    Unverified,
)
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.descriptions import OpenApi3
from tests.connectors.fake_klaviyo import API, KEY, SECRET, FakeKlaviyo, problem
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {"api_key": KEY, "webhook_secret": SECRET}
FIELDS = {"first_name": "Annabella-Private", "orders": 12, "location.city": "Colognesque"}


class TestKlaviyo(ThroughTheHub, HttpConnectorContract):
    connector = Klaviyo
    config: ClassVar = CONFIG
    fields: ClassVar = FIELDS

    def make_vendor(self) -> FakeKlaviyo:
        return FakeKlaviyo()


class TestKlaviyoThatCreatesNobody(TestKlaviyo):
    config: ClassVar = {**CONFIG, "new_profiles": "reject"}


@asynccontextmanager
async def klaviyo(**config: Any) -> AsyncIterator[tuple[Stage, FakeKlaviyo, Audience]]:
    vendor = FakeKlaviyo()
    async with staged(Klaviyo, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(name: str, **fields: Any) -> Person:
    return Person(f"id-{name}", f"{name}@example.com", fields)


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    return [(r.method, str(r.url).removeprefix(API), json_body(r)) for r in stage.wire.requests]


async def test_the_requests_of_a_run() -> None:
    async with klaviyo() as (stage, vendor, audience):
        ann = person("ann", first_name="Ann", vip=True, tags=["a", "b"], city=None, **{"location.city": "Köln"})
        await stage.send(audience, add=[ann])
        await stage.send(audience, remove=[person("ann"), person("bob")])
        attributes = {
            "email": "ann@example.com",
            "first_name": "Ann",
            "location": {"city": "Köln"},
            "properties": {"vip": True, "tags": ["a", "b"], "city": None},
        }
        imported = {
            "type": "profile-bulk-import-job",
            "attributes": {"profiles": {"data": [{"type": "profile", "attributes": attributes}]}},
            "relationships": {"lists": {"data": [{"type": "list", "id": audience.ref}]}},
        }
        asked = "any%28email%2C%5B%22ann%40example.com%22%2C%22bob%40example.com%22%5D%29"
        taken_off = [{"type": "profile", "id": vendor.id_of("ann@example.com")}]
        assert sent(stage) == [
            ("GET", "/lists?filter=equals%28name%2C%22vip%22%29&fields%5Blist%5D=name&sort=created", None),
            ("POST", "/lists", {"data": {"type": "list", "attributes": {"name": "vip"}}}),
            ("POST", "/profile-bulk-import-jobs", {"data": imported}),
            ("GET", "/profile-bulk-import-jobs/job-0", None),
            ("GET", "/profile-bulk-import-jobs/job-0", None),
            ("GET", f"/profiles?filter={asked}&fields%5Bprofile%5D=email&page%5Bsize%5D=100", None),
            ("DELETE", f"/lists/{audience.ref}/relationships/profiles", {"data": taken_off}),
        ]


async def test_a_complete_job_may_have_failed_in_part_and_says_whom() -> None:
    async with klaviyo() as (stage, vendor, audience):
        people = [person(f"n{number}") for number in range(250)]
        for one in people[::2] + people[1:20:2]:
            vendor.refuse(one.key, f"{one.key} is not a valid address")
        outcomes = await stage.send(audience, add=people)
        assert {key for key, outcome in outcomes.items() if outcome.kind is OutcomeKind.REJECTED} == set(vendor.refused)
        assert {key for key, outcome in outcomes.items() if outcome.kind is OutcomeKind.ACCEPTED} == vendor.members(
            audience
        )
        assert {outcome.reason for outcome in outcomes.values()} == {
            "",
            "Klaviyo refused the profile: email",
            "Klaviyo refused the profile",
        }


@pytest.mark.parametrize(
    ("about", "named"),
    [
        ({"source": {"pointer": "/data/attributes/profiles/data/1/attributes/phone_number"}}, ["bob"]),
        ({"source": {"pointer": "/data/attributes/profiles/data/7"}}, []),
        ({"source": {"pointer": None}, "original_payload": {"email": "BOB@example.com"}}, ["bob"]),
        ({"source": {}, "original_payload": {"type": "profile", "attributes": {"email": "bob@example.com"}}}, ["bob"]),
        ({"source": {}, "original_payload": {"email": "stranger@example.com"}}, []),
        ({"source": {}, "original_payload": None}, []),
    ],
)
async def test_a_failure_that_names_nobody_leaves_everyone_unknown(about: dict[str, Any], named: list[str]) -> None:
    async with klaviyo() as (stage, vendor, audience):
        people = [person("ann"), person("bob")]
        vendor.refuse("bob@example.com", "no")
        result = await stage.connector.apply(audience, Batch(add=people))
        vendor._error = lambda number, row: {"type": "import-error", "id": "x", "attributes": about}  # type: ignore[method-assign]
        word = await stage.follow(audience, result.job or "", [one.key for one in people])
        assert list(word.outcomes) == [f"{name}@example.com" for name in named]
        assert (word.rest, word.invalid) == ((OutcomeKind.ACCEPTED, 0) if named else (OutcomeKind.UNKNOWN, 1))


async def test_rows_that_klaviyo_never_counted_are_unknown() -> None:
    async with klaviyo() as (stage, vendor, audience):
        result = await stage.connector.apply(audience, Batch(add=[person("ann"), person("bob")]))
        vendor.jobs["job-0"]["rows"].pop()
        word = await stage.follow(audience, result.job or "", ["ann@example.com", "bob@example.com"])
        assert word.rest is OutcomeKind.UNKNOWN


async def test_people_of_a_cancelled_job_are_unknown_since_it_may_have_begun() -> None:
    async with klaviyo() as (stage, vendor, audience):
        vendor.cancels = True
        outcomes = await stage.send(audience, add=[person("ann")])
        assert outcomes == {"ann@example.com": Outcome(OutcomeKind.UNKNOWN, "Klaviyo cancelled the import job")}


async def test_a_job_that_klaviyo_has_forgotten_is_asked_after_until_its_deadline() -> None:
    async with klaviyo() as (stage, _, audience):
        with pytest.raises(TransientError, match="does not know the job"):
            await stage.connector.poll(audience, "long-gone", ["ann@example.com"])


async def test_nobody_is_created_where_that_is_not_wanted_not_even_whoever_was_there_before() -> None:
    async with klaviyo(new_profiles="reject") as (stage, vendor, audience):
        vendor.know("ann@example.com")
        vendor.know("gone@example.com")
        await stage.send(audience, add=[person("ann"), person("gone")])
        del vendor.profiles[vendor.id_of("gone@example.com")]
        vendor.lists[audience.ref]["members"] = set()
        outcomes = await stage.send(audience, add=[person("ann"), person("gone"), person("new")])
        assert [outcomes[f"{name}@example.com"].kind for name in ("ann", "gone", "new")] == [
            OutcomeKind.ACCEPTED,
            OutcomeKind.REJECTED,
            OutcomeKind.REJECTED,
        ]
        assert vendor.members(audience) == {"ann@example.com"} and len(vendor.profiles) == 1
        assert (await stage.send(audience, add=[person("new")]))["new@example.com"].reason


async def test_ids_are_asked_for_once_and_anew_where_a_profile_was_merged() -> None:
    async with klaviyo() as (stage, vendor, audience):
        await stage.send(audience, add=[person("ann"), person("bob")])
        for _ in range(2):
            await stage.send(audience, remove=[person("ann"), person("bob")])
        assert [path.partition("?")[0] for _, path, _ in sent(stage)].count("/profiles") == 1
        vendor.profiles["01PMERGED"] = vendor.profiles.pop(vendor.id_of("ann@example.com"))
        vendor.lists[audience.ref]["members"] = {"01PMERGED"}
        outcomes = await stage.send(audience, remove=[person("ann"), person("bob")])
        assert {outcome.kind for outcome in outcomes.values()} == {OutcomeKind.ACCEPTED}
        assert vendor.members(audience) == set()


async def test_whom_klaviyo_does_not_know_is_on_no_list() -> None:
    async with klaviyo() as (stage, _, audience):
        outcomes = await stage.send(audience, remove=[person("stranger")])
        assert outcomes == {"stranger@example.com": Outcome(OutcomeKind.NOOP)}
        assert "DELETE" not in {method for method, *_ in sent(stage)}


async def test_a_vanished_list_is_for_a_person_to_look_at() -> None:
    async with klaviyo() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        vendor.lists.clear()
        for call in (
            stage.connector.apply(audience, Batch(add=[person("ann")])),
            stage.connector.apply(audience, Batch(remove=[person("ann")])),
            stage.connector.members_page(audience),
        ):
            with pytest.raises(AuthError):
                await call


async def test_no_more_than_a_thousand_are_taken_off_at_once() -> None:
    async with klaviyo(batch=3000) as (stage, vendor, audience):
        people = [person(f"n{number}") for number in range(2300)]
        for one in people:
            vendor.know(one.key)
        await stage.send(audience, remove=people)
        assert [len(body["data"]) for method, _, body in sent(stage) if method == "DELETE"] == [1000, 1000, 300]


async def test_of_several_lists_of_one_name_the_oldest_is_meant_and_capitals_count() -> None:
    async with klaviyo() as (stage, vendor, _):
        for number in range(25):
            vendor.lists[f"X{number:02}"] = {"name": "BUYERS", "members": set()}
        vendor.lists["Y1"] = {"name": "Buyers", "members": set()}
        vendor.lists["Y2"] = {"name": "Buyers", "members": set()}
        assert (await stage.connector.ensure_audience("Buyers")).ref == "Y1"
        quoted = 'say "hi", \\ and bye'
        assert await stage.connector.ensure_audience(quoted) == await stage.connector.ensure_audience(quoted)


async def test_members_without_an_address_are_nobody_of_ours() -> None:
    async with klaviyo() as (stage, vendor, audience):
        await stage.send(audience, add=[person("ann")])
        vendor.profiles["01PHONE"] = {"email": "", "properties": {}}
        vendor.lists[audience.ref]["members"].add("01PHONE")
        assert (await stage.connector.members_page(audience)).members == ["ann@example.com"]


async def test_pages_lead_nowhere_but_to_the_configured_address() -> None:
    async with klaviyo() as (stage, _, audience):
        body = {"data": [], "links": {"next": "https://elsewhere.example/api/lists?page%5Bcursor%5D=c2"}}
        with stage.wire.answering(200, json.dumps(body).encode()):
            await stage.connector.members_page(audience, (await stage.connector.members_page(audience)).next or "")
        assert {request.url.host for request in stage.wire.requests} == {"a.klaviyo.com"}
        assert stage.wire.requests[-1].url.params["page[cursor]"] == "c2"


async def test_fields_that_klaviyo_keeps_for_itself_are_refused() -> None:
    async with klaviyo() as (stage, _, audience):
        with pytest.raises(RefusedError, match=r"begin with \$"):
            await stage.connector.apply(audience, Batch(add=[person("ann", **{"$consent": "email"})]))


async def test_deletions_beyond_what_klaviyo_takes_are_left_for_later() -> None:
    async with klaviyo() as (stage, vendor, _):
        people = [person(name) for name in ("ann", "bob", "cem")]
        for one in people:
            vendor.know(one.key)
        with stage.wire.bending(lambda _, number: problem(429, "throttled") if number == 1 else None):
            result = await stage.connector.erase(people)
        assert {key: outcome.kind for key, outcome in result.outcomes.items()} == {
            "bob@example.com": OutcomeKind.RETRY,
            "cem@example.com": OutcomeKind.RETRY,
        }
        with stage.wire.answering(429, b"", Retry_After="9"), pytest.raises(TransientError) as throttled:
            await stage.connector.erase(people)
        assert throttled.value.retry_after == 9


async def test_the_account_is_named_by_its_organisation() -> None:
    async with klaviyo() as (stage, _, _audience):
        assert (await stage.connector.check()).label == "Klaviyo Demo"
        nameless = {"data": [{"type": "account", "id": "AbC", "attributes": {"contact_information": {}}}]}
        with stage.wire.answering(200, json.dumps(nameless).encode()):
            assert (await stage.connector.check()).label == "account AbC"
        with stage.wire.answering(200, b'{"data": []}'), pytest.raises(AuthError):
            await stage.connector.check()


# -- feedback ---------------------------------------------------------------------------------------------------------


async def test_every_event_of_a_request_is_heard_and_only_what_takes_a_permission_away() -> None:
    async with klaviyo() as (stage, vendor, _):
        gone = vendor.event(Notice.UNSUBSCRIBED, "ann@example.com")
        full = vendor.event(Notice.BOUNCED, "bob@example.com", **{"Bounce Type": "Soft"})
        dead = vendor.event(Notice.BOUNCED, "cem@example.com")
        back = {**gone, "topic": "event:klaviyo.subscribed_to_email_marketing"}
        broken = {"topic": 7}
        body = json.dumps(vendor.told(back, broken, gone, full, dead)).encode()
        at = datetime.fromtimestamp(1_795_000_000, UTC)
        assert stage.connector.feedback(vendor.telling(body)) == [
            Feedback(Notice.UNSUBSCRIBED, "email", "ann@example.com", "evt-unsubscribed", at),
            Feedback(Notice.BOUNCED, "email", "cem@example.com", "evt-bounced", at),
        ]


async def test_an_address_may_stand_among_the_events_properties() -> None:
    async with klaviyo() as (stage, vendor, _):
        vendor.names_profiles_only = True
        event = vendor.event(Notice.UNSUBSCRIBED, "ann@example.com", email_address="Ann@Example.com ")
        [heard] = stage.connector.feedback(vendor.telling(json.dumps(vendor.told(event)).encode()))
        assert (heard.kind, heard.value) == ("email", "ann@example.com")


async def test_profiles_are_recognised_by_asking_and_whoever_is_gone_is_left_out() -> None:
    async with klaviyo() as (stage, vendor, _):
        vendor.know("ann@example.com")
        vendor.names_profiles_only = True
        [told] = stage.connector.feedback(vendor.tells(Notice.BOUNCED, "ann@example.com"))
        assert (told.kind, told.value) == ("native", vendor.id_of("ann@example.com"))
        other = Feedback(Notice.UNSUBSCRIBED, "email", "bob@example.com")
        gone = Feedback(Notice.BOUNCED, "native", "01PGONE")
        assert await stage.connector.recognised([told, other, gone]) == [
            other,
            replace(told, kind="email", value="ann@example.com"),
        ]


async def test_a_request_of_another_webhook_is_not_believed() -> None:
    async with klaviyo() as (stage, vendor, _):
        request = vendor.tells(Notice.UNSUBSCRIBED, "ann@example.com")
        with pytest.raises(Unverified, match="another webhook"):
            stage.connector.feedback(replace(request, headers={**request.headers, "klaviyo-webhook-id": "other"}))


async def test_without_a_secret_nothing_is_believed() -> None:
    async with klaviyo(webhook_secret=None) as (stage, vendor, _):
        with pytest.raises(Unverified, match="webhook_secret"):
            stage.connector.feedback(vendor.tells(Notice.UNSUBSCRIBED, "ann@example.com"))


async def test_what_the_signature_covers_can_be_configured() -> None:
    async with klaviyo(signed_content="timestamp+body") as (stage, vendor, _):
        request = vendor.tells(Notice.UNSUBSCRIBED, "ann@example.com")
        with pytest.raises(Unverified):
            stage.connector.feedback(request)
        said = request.headers["klaviyo-timestamp"].encode()
        turned = hmac.digest(SECRET.encode(), said + request.body, "sha256").hex()
        headers = {**request.headers, "klaviyo-signature": turned}
        assert len(stage.connector.feedback(replace(request, headers=headers))) == 1


@pytest.mark.parametrize("said", ["", "soon", "2026-13-45", "9" * 5000])
async def test_a_time_that_cannot_be_read_is_not_believed(said: str) -> None:
    async with klaviyo() as (stage, vendor, _):
        request = vendor.tells(Notice.UNSUBSCRIBED, "ann@example.com")
        signature = hmac.digest(SECRET.encode(), request.body + said.encode(), "sha256").hex()
        headers = {**request.headers, "klaviyo-timestamp": said, "klaviyo-signature": signature}
        with pytest.raises(Unverified):
            stage.connector.feedback(replace(request, headers=headers))


# -- the description --------------------------------------------------------------------------------------------------


async def test_every_request_is_as_the_vendor_describes_it() -> None:
    api = OpenApi3("klaviyo", "lists.json", "profiles.json")
    async with klaviyo(new_profiles="reject") as (stage, vendor, audience):
        vendor.know("ann@example.com")
        vendor.know("bad@example.com")
        vendor.refuse("bad@example.com", "no")
        await stage.send(audience, add=[person("ann", first_name="Ann", **{"location.city": "Bonn"}), person("bad")])
        assert [key async for key in stage.connector.members(audience)]
        await stage.send(audience, remove=[person("ann")])
        assert {(request.method, api.validate(request)) for request in stage.wire.requests} == {
            ("GET", "/api/lists"),
            ("POST", "/api/lists"),
            ("GET", "/api/lists/{id}/profiles"),
            ("DELETE", "/api/lists/{id}/relationships/profiles"),
            ("GET", "/api/profiles"),
            ("POST", "/api/profile-bulk-import-jobs"),
            ("GET", "/api/profile-bulk-import-jobs/{job_id}"),
            ("GET", "/api/profile-bulk-import-jobs/{id}/import-errors"),
        }


async def test_what_is_not_described_there_is_sent_as_klaviyo_publishes_it() -> None:
    async with klaviyo() as (stage, _, _audience):
        await stage.connector.check()
        await stage.connector.erase([person("ann")])
        profile = {"type": "profile", "attributes": {"email": "ann@example.com"}}
        job = {"type": "data-privacy-deletion-job", "attributes": {"profile": {"data": profile}}}
        assert sent(stage)[-2:] == [
            ("GET", "/accounts", None),
            ("POST", "/data-privacy-deletion-jobs", {"data": job}),
        ]


def test_a_revision_is_a_date() -> None:
    assert KlaviyoConfig.model_validate(CONFIG).api_version == Klaviyo.versions[-1].name
    for version in ("latest", "2026-07", "2026-07-15\r\nx: y"):
        with pytest.raises(ValidationError):
            KlaviyoConfig.model_validate({**CONFIG, "api_version": version})
