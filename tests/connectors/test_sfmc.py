"""Marketing Cloud against a fake that keeps data extensions and carries requests out later.

The vendor's own description knows sends, assets and campaigns, and no data extension: what it is good for here is that
no request of ours is any of those.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.sfmc import MarketingCloud, MarketingCloudConfig
from hub.sdk import Audience, AuthError, Outcome, OutcomeKind, Person, RefusedError, TransientError
from hub.sdk.testing import HttpConnectorContract, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.descriptions import description as published
from tests.connectors.fake_sfmc import API, AUTH, NOT_YET, FakeMarketingCloud
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {
    "subdomain": "the-shop",
    "client_id": "client-0123456789",
    "client_secret": "the-secret-of-a-test",
    "account_id": "500012345",
    "text_columns": ["FirstName", "Orders"],
}
COLUMNS = {"Email": "EmailAddress", "in_segment": "Boolean"}


class TestMarketingCloud(ThroughTheHub, HttpConnectorContract):
    connector = MarketingCloud
    config: ClassVar = CONFIG
    fields: ClassVar = {"FirstName": "Annabella-Private", "Orders": 471_109}

    def make_vendor(self) -> FakeMarketingCloud:
        return FakeMarketingCloud()


@asynccontextmanager
async def marketing_cloud(**config: Any) -> AsyncIterator[tuple[Stage, FakeMarketingCloud, Audience]]:
    vendor = FakeMarketingCloud()
    async with staged(MarketingCloud, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(name: str, **fields: Any) -> Person:
    return Person(f"id-{name}", f"{name}@example.com", fields)


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    of_the_api = [request for request in stage.wire.requests if request.url.host == API]
    return [(r.method, r.url.raw_path.decode().removeprefix("/data/v1"), json_body(r)) for r in of_the_api]


def column(name: str, kind: str, place: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "ordinal": place, "isNullable": place > 0, "isPrimaryKey": place == 0, **more}


async def test_the_requests_of_a_run() -> None:
    async with marketing_cloud() as (stage, _, audience):
        await stage.connector.check()
        ann = person("ann", FirstName="Ann", Orders=7, Tags=["a", "b"], Age=None)
        added = await stage.connector.add(audience, [ann])
        await stage.connector.remove(audience, [person("bob")])
        await stage.connector.poll(audience, str(added.job), [ann.key])
        await stage.connector.members_page(audience)
        key = audience.ref
        assert sent(stage) == [
            ("GET", "/customobjects?%24search=vip&%24page=1&%24pageSize=1000", None),
            ("POST", "/customobjects", {"name": "vip", "key": key, "isSendable": False, "fields": [
                column("Email", "EmailAddress", 0, length=254), column("in_segment", "Boolean", 1),
                column("FirstName", "Text", 2, length=254), column("Orders", "Text", 3, length=254),
            ]}),
            ("GET", "/customobjects?%24search=_&%24page=1&%24pageSize=1000", None),
            ("PUT", f"/async/dataextensions/key:{key}/rows", {"items": [{
                "Email": "ann@example.com", "in_segment": True,
                "FirstName": "Ann", "Orders": 7, "Tags": "a, b", "Age": None,
            }]}),
            ("PUT", f"/async/dataextensions/key:{key}/rows", {"items": [
                {"Email": "bob@example.com", "in_segment": False}
            ]}),
            ("GET", "/async/request-1/status", None),
            ("GET", f"/customobjectdata/key/{key}/rowset?%24page=1&%24pageSize=1000&%24orderBy=Email+asc", None),
        ]  # fmt: skip


async def test_nothing_that_is_sent_is_a_message_or_a_campaign_as_the_vendor_describes_them() -> None:
    paths = published("salesforce-marketing-cloud", "sfmc-openapi-v2.json")["paths"]
    assert {path.split("/")[1] for path in paths} == {"messaging", "hub", "asset"}
    async with marketing_cloud() as (stage, _, audience):
        await stage.send(audience, add=[person("ann")], remove=[person("bob")])
        await stage.connector.check()
        await stage.connector.members_page(audience)
        assert {request.url.path.split("/")[1] for request in stage.wire.requests} == {"v2", "data"}


@pytest.mark.parametrize(
    "wrong", ["shop.evil.example", "shop/", "shop#", "shop@evil", "-shop", "shop-", "", "a" * 64, "shop\n"]
)
def test_a_subdomain_is_one_label_since_credentials_go_there(wrong: str) -> None:
    with pytest.raises(ValidationError):
        MarketingCloudConfig.model_validate({**CONFIG, "subdomain": wrong})


async def test_one_token_serves_until_it_lapses_and_is_for_the_business_unit() -> None:
    async with marketing_cloud() as (stage, vendor, audience):
        for _ in range(3):
            await stage.send(audience, add=[person("ann")])
        assert [request.url.host for request in stage.wire.requests].count(AUTH) == 1
        assert vendor.grants == [{
            "grant_type": ["client_credentials"], "client_id": ["client-0123456789"],
            "client_secret": ["the-secret-of-a-test"], "account_id": ["500012345"],
        }]  # fmt: skip


async def test_a_token_that_is_not_taken_any_more_is_not_kept() -> None:
    async with marketing_cloud() as (stage, vendor, audience):
        with stage.wire.answering(401), pytest.raises(AuthError):
            await stage.connector.add(audience, [person("ann")])
        await stage.connector.add(audience, [person("ann")])
        assert len(vendor.grants) == 2


async def test_a_wrong_secret_is_for_a_person_to_look_at() -> None:
    async with staged(MarketingCloud, {**CONFIG, "client_secret": "another-secret"}, FakeMarketingCloud(), {}) as stage:
        with pytest.raises(AuthError, match="401"):
            await stage.connector.check()


async def test_a_request_that_was_not_picked_up_or_says_error_is_asked_after_again() -> None:
    async with marketing_cloud() as (stage, vendor, audience):
        job = str((await stage.connector.add(audience, [person("ann")])).job)
        said = [(await stage.connector.poll(audience, job, ["ann@example.com"])).job for _ in range(len(NOT_YET) + 1)]
        assert said == [job] * len(NOT_YET) + [None]
        assert vendor.members(audience) == {"ann@example.com"}


async def test_results_are_told_by_their_place_however_many_pages_they_fill() -> None:
    async with marketing_cloud() as (stage, vendor, audience):
        people = [person(f"n{number}") for number in range(120)]
        for number in (3, 51, 119):
            vendor.refuse(people[number].key, "private words about n3@example.com")
        outcomes = await stage.send(audience, add=people)
        refused = {key for key, outcome in outcomes.items() if outcome.kind is OutcomeKind.REJECTED}
        assert refused == {people[number].key for number in (3, 51, 119)}
        assert outcomes[people[3].key].reason == "Marketing Cloud could not write the row: UnexpectedError"
        assert [path for _, path, _ in sent(stage) if "results" in path][-3:] == [
            f"/async/request-1/results?page={number}" for number in (1, 2, 3)
        ]


@pytest.mark.parametrize("said", [{"resultStatus": "OK", "hasErrors": True}, {"resultStatus": "Has Errors"}, {}])
async def test_a_request_is_well_only_where_all_of_its_status_says_so(said: dict[str, Any]) -> None:
    async with marketing_cloud() as (stage, vendor, audience):
        vendor.refuse("ann@example.com", "no")
        job = str((await stage.connector.add(audience, [person("ann")])).job)
        await stage.follow(audience, job, ["ann@example.com"])
        status = httpx.Response(200, json={"requestId": job, "status": {"requestStatus": "Complete", **said}})
        with stage.wire.bending(lambda request, _: status if request.url.path.endswith("/status") else None):
            result = await stage.connector.poll(audience, job, ["ann@example.com"])
        assert result.outcomes["ann@example.com"].kind is OutcomeKind.REJECTED


async def test_a_row_that_lost_to_a_deadlock_is_sent_again_and_the_others_are_in() -> None:
    async with marketing_cloud() as (stage, vendor, audience):
        vendor.deadlocks = {"bob@example.com"}
        outcomes = await stage.send(audience, add=[person("ann"), person("bob")])
        assert [outcome.kind for outcome in outcomes.values()] == [OutcomeKind.ACCEPTED, OutcomeKind.RETRY]


async def test_results_that_are_not_as_many_as_the_rows_are_nobodys() -> None:
    async with marketing_cloud() as (stage, vendor, audience):
        vendor.refuse("ann@example.com", "no")
        job = str((await stage.connector.add(audience, [person("ann"), person("bob")])).job)
        await stage.follow(audience, job, ["ann@example.com", "bob@example.com"])
        vendor.jobs[job]["results"].pop()
        result = await stage.connector.poll(audience, job, ["ann@example.com", "bob@example.com"])
        assert (result.outcomes, result.rest) == ({}, OutcomeKind.UNKNOWN)


@pytest.mark.parametrize("of_the_page", [50, 0])
async def test_results_that_come_again_or_not_at_all_shift_nobody(of_the_page: int) -> None:
    async with marketing_cloud() as (stage, vendor, audience):
        people = [person(f"n{number}") for number in range(60)]
        vendor.refuse(people[0].key, "no")
        job, keys = str((await stage.connector.add(audience, people)).job), [one.key for one in people]
        await stage.follow(audience, job, keys)
        told = {"page": 1, "count": 60, "items": vendor.jobs[job]["results"][:of_the_page]}

        def again(request: httpx.Request, _: int) -> httpx.Response | None:
            return httpx.Response(200, json=told) if "results" in request.url.path else None

        with stage.wire.bending(again), pytest.raises(TransientError, match="not tell all"):
            await stage.connector.poll(audience, job, keys)


async def test_a_code_that_holds_more_than_a_word_is_not_shown() -> None:
    async with marketing_cloud() as (stage, vendor, audience):
        vendor.refuse("ann@example.com", "no")
        job = str((await stage.connector.add(audience, [person("ann")])).job)
        await stage.follow(audience, job, ["ann@example.com"])
        vendor.jobs[job]["results"][0]["errorCode"] = "about ann@example.com"
        result = await stage.connector.poll(audience, job, ["ann@example.com"])
        reason = "Marketing Cloud could not write the row: without a code"
        assert result.outcomes == {"ann@example.com": Outcome(OutcomeKind.REJECTED, reason)}


async def test_who_leaves_stays_as_a_row_that_says_no() -> None:
    async with marketing_cloud() as (stage, vendor, audience):
        await stage.send(audience, add=[person("ann", FirstName="Ann"), person("bob")])
        await stage.send(audience, remove=[person("ann")])
        rows = vendor.extensions[audience.ref]["rows"]
        assert rows["ann@example.com"] == {"email": "ann@example.com", "in_segment": False, "firstname": "Ann"}
        assert (await stage.connector.members_page(audience)).members == ["bob@example.com"]


async def test_members_are_spelled_as_the_hub_spells_them() -> None:
    async with marketing_cloud() as (stage, vendor, audience):
        for value, key in ((True, "Ann@Example.com"), ("1", "bob@example.com"), (None, "cem@example.com")):
            vendor.extensions[audience.ref]["rows"][key] = {"email": key, "in_segment": value}
        assert (await stage.connector.members_page(audience)).members == ["ann@example.com", "bob@example.com"]


@pytest.mark.parametrize("told", [{"pageSize": 50}, {"page": 2}])
async def test_rows_that_were_not_asked_for_leave_nobody_out(told: dict[str, int]) -> None:
    """As where Marketing Cloud allows no pages of that size, or takes no notice of the page's number."""
    async with marketing_cloud() as (stage, _, audience):
        rows = [{"keys": {"email": f"n{number}@example.com"}, "values": {"in_segment": "True"}} for number in range(60)]
        page = {"page": 1, "count": 60, "items": rows[: told.get("pageSize", 60)], **told}
        with (
            stage.wire.answering(200, json.dumps(page).encode()),
            pytest.raises(TransientError, match="rows that were"),
        ):
            await stage.connector.members_page(audience)


async def test_a_data_extension_made_by_hand_is_found_by_its_very_name() -> None:
    async with marketing_cloud() as (stage, vendor, _):
        for number in range(1100):
            vendor.extension(f"My VIPs {number}", COLUMNS)
        key = vendor.extension("My VIPs", {**COLUMNS, "email2": "Text"})
        assert await stage.connector.ensure_audience("My VIPs") == Audience("My VIPs", key)
        assert len(vendor.extensions) == 1102


@pytest.mark.parametrize(
    ("columns", "primary"),
    [
        ({"Email": "EmailAddress"}, "Email"),
        ({**COLUMNS, "in_segment": "Text"}, "Email"),
        ({**COLUMNS, "Id": "Text"}, "Id"),
    ],
)
async def test_one_without_our_columns_is_not_written_to(columns: dict[str, str], primary: str) -> None:
    async with marketing_cloud() as (stage, vendor, _):
        vendor.extension("mine", columns, primary=primary)
        with pytest.raises(AuthError, match="Email as its only primary key and a Boolean column in_segment"):
            await stage.connector.ensure_audience("mine")


async def test_none_is_made_where_that_is_not_wanted() -> None:
    vendor = FakeMarketingCloud()
    async with staged(MarketingCloud, {**CONFIG, "create_data_extensions": False}, vendor, {}) as stage:
        with pytest.raises(AuthError, match="make it, or allow create_data_extensions"):
            await stage.connector.ensure_audience("vip")
    assert not vendor.extensions


async def test_a_sendable_one_says_who_its_rows_are_and_stands_in_its_folder() -> None:
    async with marketing_cloud(subscriber_field="_SubscriberKey", folder_id=77, person="external_id") as (stage, _, _):
        made = next(body for method, _, body in sent(stage) if method == "POST")
        assert made["isSendable"] and made["categoryId"] == 77
        assert (made["sendableCustomObjectField"], made["sendableSubscriberField"]) == ("Email", "_SubscriberKey")
        assert made["fields"][0]["type"] == "Text"


async def test_a_field_called_like_a_column_of_ours_is_refused_before_anything_is_sent() -> None:
    async with marketing_cloud() as (stage, _, audience):
        asked = len(stage.wire.requests)
        with pytest.raises(RefusedError, match="IN_SEGMENT: the hub fills that column itself") as refusal:
            await stage.connector.add(audience, [person("ann", IN_SEGMENT="no")])
        assert not refusal.value.divisible and len(stage.wire.requests) == asked


async def test_a_data_extension_that_is_gone_pauses_the_destination() -> None:
    async with marketing_cloud() as (stage, vendor, audience):
        vendor.extensions.clear()
        with pytest.raises(AuthError, match="the data extension is gone"):
            await stage.connector.add(audience, [person("ann")])


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"errorcode": 10006, "message": "Unable to save rows"}, TransientError),
        ({"errorcode": 10006, "additionalErrors": [{"message": "no such column"}]}, RefusedError),
        ({"resultMessages": [{"message": "no"}]}, RefusedError),
        ([], RefusedError),
    ],
)
async def test_a_400_without_more_to_it_is_about_their_side(said: Any, error: type[Exception]) -> None:
    async with marketing_cloud() as (stage, _, audience):
        with stage.wire.answering(400, json.dumps(said).encode()), pytest.raises(error):
            await stage.connector.add(audience, [person("ann")])


async def test_what_the_account_may_do_is_configured() -> None:
    async with marketing_cloud(batch=32_000, deadline_hours=24, person="user_id") as (stage, _, _):
        able = stage.connector.limits()
        assert (able.batch, able.job_deadline_s, able.key) == (32_000, 86_400.0, "user_id")
    for wrong in ({"batch": 32_001}, {"text_columns": ["EMAIL"]}, {"member_column": "Email"}, {"account_id": "12x"}):
        with pytest.raises(ValidationError):
            MarketingCloudConfig.model_validate({**CONFIG, **wrong})
