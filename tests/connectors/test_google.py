"""Google's Data Manager against a fake that works while one waits, and against the vendor's own description."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import ValidationError

from connectors.google import Google, GoogleConfig
from hub.sdk import AuthError, Batch, DailyBudget, Outcome, OutcomeKind, Person, RefusedError, TransientError, Window
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.discovery import Discovery
from tests.connectors.fake_google import LISTS, REFRESH, FakeGoogle, key_file, refusal
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {"account_id": "123-456-7890", "service_account": key_file(), "terms_accepted": True}
PERSONAL = {
    "account_id": "1234567890",
    "client_id": "hub.apps.example",
    "client_secret": "GOCSPX-secret",
    "refresh_token": REFRESH,
    "terms_accepted": True,
}
DEVICES = {**CONFIG, "upload": "devices", "app_id": "com.example.shop"}
FIELDS = {"givenName": "Annabella", "familyName": "Private", "regionCode": "DE", "postalCode": "10115"}
YES = {"adUserData": True, "adPersonalization": True}


class GoogleContract(HttpConnectorContract):
    connector = Google
    config: ClassVar = CONFIG
    fields: ClassVar = FIELDS
    # Nobody is named unless rows are numbered.
    refuses_people = False
    consent_fields = frozenset({"consent"})

    def make_vendor(self) -> FakeGoogle:
        return FakeGoogle()


class TestGoogle(GoogleContract, ThroughTheHub):
    pass


class TestGoogleByIndex(GoogleContract, ThroughTheHub):
    config: ClassVar = {**PERSONAL, "name_by_index": True}
    refuses_people = True

    def make_vendor(self) -> FakeGoogle:
        return FakeGoogle(numbers=True)


class TestGoogleOfDevices(GoogleContract):
    config: ClassVar = DEVICES


@asynccontextmanager
async def google(config: dict[str, Any] = CONFIG, **vendor: Any) -> AsyncIterator[tuple[Stage, FakeGoogle, Audience]]:
    fake = FakeGoogle(**vendor)
    async with staged(Google, config, fake, {}) as stage:
        yield stage, fake, await stage.connector.ensure_audience("vip")


def person(kind: str, value: str, signals: dict[str, bool] | None = None, **fields: Any) -> Person:
    return Person("p1", f"{kind}:{value}", fields, YES if signals is None else signals)


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    asked = [request for request in stage.wire.requests if request.url.host == "datamanager.googleapis.com"]
    return [(r.method, r.url.raw_path.decode(), json_body(r)) for r in asked]


async def ended(stage: Stage, audience: Audience, people: list[Person]) -> Any:
    [batch] = stage.batches(people, ())
    submitted = await stage.connector.apply(audience, batch)
    assert submitted.job
    return await stage.follow(audience, submitted.job, [p.key for p in people if p.key not in submitted.outcomes])


OURS = {"dataSourceType": "DATA_SOURCE_TYPE_FIRST_PARTY"}
GRANTED = {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_GRANTED"}
DESTINATION = {
    "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": "1234567890"}, "productDestinationId": "8000"
}  # fmt: skip


async def test_the_requests_of_a_run() -> None:
    async with google() as (stage, vendor, audience):
        people = [person("email", "a1", **FIELDS), person("phone", "b2", givenName="Bob", familyName="")]
        added = await stage.connector.add(audience, people)
        assert (added.job, added.retry_after) == ("request-0", 1800)
        running = await stage.connector.poll(audience, "request-0", ["email:a1", "phone:b2"])
        assert running.job == "request-0"
        await stage.connector.remove(audience, [person("email", "a1", {})])
        assert vendor.tokens == 1
        assert sent(stage) == [
            ("GET", f"{LISTS}?filter=integration_code+%3D+%22contacts%3Avip%22&pageSize=1000", None),
            ("POST", LISTS, {
                "displayName": "vip",
                "integrationCode": "contacts:vip",
                "membershipDuration": "46656000s",
                "membershipStatus": "OPEN",
                "ingestedUserListInfo": {"uploadKeyTypes": ["CONTACT_ID"], "contactIdInfo": OURS},
            }),
            ("POST", "/v1/audienceMembers:ingest", {
                "destinations": [DESTINATION],
                "audienceMembers": [
                    {"userData": {"userIdentifiers": [{"emailAddress": "a1"}, {"address": FIELDS}]},
                     "consent": GRANTED},
                    {"userData": {"userIdentifiers": [{"phoneNumber": "b2"}]}, "consent": GRANTED},
                ],
                "encoding": "HEX",
                "termsOfService": {"customerMatchTermsOfServiceStatus": "ACCEPTED"},
            }),
            ("GET", "/v1/requestStatus:retrieve?requestId=request-0", None),
            ("POST", "/v1/audienceMembers:remove", {
                "destinations": [DESTINATION],
                "audienceMembers": [{"userData": {"userIdentifiers": [{"emailAddress": "a1"}]}}],
                "encoding": "HEX",
            }),
        ]  # fmt: skip


@pytest.mark.parametrize("config", [CONFIG, DEVICES, {**CONFIG, "login_account_id": "999-888-7777"}])
async def test_every_request_is_as_the_vendor_describes_it(config: dict[str, Any]) -> None:
    api, kind = Discovery("datamanager.v1.json"), "ad_id" if "app_id" in config else "email"
    async with google(config) as (stage, _, audience):
        await stage.connector.check()
        await ended(stage, audience, [person(kind, "a1", **FIELDS)])
        await stage.connector.remove(audience, [person(kind, "a1", {})])
        asked = [request for request in stage.wire.requests if request.url.host == "datamanager.googleapis.com"]
        described = {api.validate(request).removeprefix("datamanager.") for request in asked}
        login = {request.headers.get("login-account") for request in asked}
    assert login == {"accountTypes/GOOGLE_ADS/accounts/9998887777" if "login_account_id" in config else None}
    assert described == {
        "accountTypes.accounts.userLists.list",
        "accountTypes.accounts.userLists.create",
        "audienceMembers.ingest",
        "audienceMembers.remove",
        "requestStatus.retrieve",
    }


async def test_nobody_is_sent_with_consent_unspecified_what_is_not_known_is_denied() -> None:
    async with google() as (stage, vendor, audience):
        people = [
            person("email", "a1", {"adUserData": True, "adPersonalization": True}),
            person("email", "b2", {"adUserData": True, "adPersonalization": False}),
            person("email", "c3", {"adUserData": True}),
            person("email", "d4", {}),
        ]
        result = await ended(stage, audience, people)
        consents = [
            (member["consent"]["adUserData"], member["consent"]["adPersonalization"])
            for member in sent(stage)[2][2]["audienceMembers"]
        ]
        yes, no = "CONSENT_GRANTED", "CONSENT_DENIED"
        assert consents == [(yes, yes), (yes, no), (yes, no), (no, no)]
        assert vendor.members(audience) == {"email:a1"} and (result.invalid, result.outcomes) == (3, {})


async def test_devices_have_a_list_of_their_own_kind_beside_the_contacts_of_the_same_name() -> None:
    async with google() as (stage, vendor, contacts):
        of_devices = Google(GoogleConfig.model_validate(DEVICES), stage.connector.http)
        devices = await of_devices.ensure_audience("vip")
        await of_devices.add(devices, [person("ad_id", "6d92", **FIELDS)])
        assert devices.ref != contacts.ref
        assert vendor.lists[devices.ref]["ingestedUserListInfo"] == {
            "uploadKeyTypes": ["MOBILE_ID"],
            "mobileIdInfo": {"appId": "com.example.shop", "keySpace": "ANDROID", **OURS},
        }
        assert sent(stage)[-1][2]["audienceMembers"] == [{"mobileData": {"mobileIds": ["6d92"]}, "consent": GRANTED}]
        assert of_devices.limits().identifiers == ("ad_id",)
        assert stage.connector.limits().identifiers == ("email", "phone")


async def test_a_malformed_row_is_rejected_and_the_request_made_again_without_it() -> None:
    async with google() as (stage, vendor, audience):
        people = [person("email", "a1"), person("email", "malformed"), person("email", "b2")]
        [batch] = stage.batches(people, ())
        submitted = await stage.connector.apply(audience, batch)
        assert submitted.outcomes == {"email:malformed": Outcome(OutcomeKind.REJECTED, "INVALID_SHA256_FORMAT")}
        await stage.follow(audience, submitted.job or "", ["email:a1", "email:b2"])
        assert vendor.members(audience) == {"email:a1", "email:b2"}


async def test_where_all_rows_are_malformed_there_is_no_job() -> None:
    async with google() as (stage, _, audience):
        result = await stage.connector.add(audience, [person("email", "malformed")])
        assert result.job is None and result.outcomes["email:malformed"].kind is OutcomeKind.REJECTED


async def test_rows_that_are_not_in_the_request_blame_nobody() -> None:
    wrong = [{"field": "audience_members[7].user_data", "reason": "INVALID_SHA256_FORMAT"}]
    async with google() as (stage, _, audience):
        refusing = stage.wire.bending(lambda *_: refusal(400, "INVALID_ARGUMENT", violations=wrong))
        with refusing, pytest.raises(RefusedError) as error:
            await stage.connector.add(audience, [person("email", "a1")])
        assert error.value.divisible


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["INTERNAL_ERROR"], OutcomeKind.RETRY),
        (["DESTINATION_TOO_RECENTLY_CREATED", "INVALID_FORMAT"], OutcomeKind.RETRY),
        (["DENIED_CONSENT", "INVALID_FORMAT"], OutcomeKind.REJECTED),
        (["UNSPECIFIED"], OutcomeKind.RETRY),
    ],
)
async def test_a_request_that_failed_is_said_of_everybody_in_it(words: list[str], kind: OutcomeKind) -> None:
    async with google() as (stage, vendor, audience):
        vendor.failing = words
        result = await ended(stage, audience, [person("email", "a1"), person("email", "b2")])
        assert {outcome.kind for outcome in result.outcomes.values()} == {kind} and len(result.outcomes) == 2
        assert all(words[0] in outcome.reason for outcome in result.outcomes.values())


async def test_counts_blame_nobody_unless_rows_are_numbered_and_believed() -> None:
    for config, numbers, named in (
        (CONFIG, False, set()), (CONFIG, True, set()), ({**CONFIG, "name_by_index": True}, False, set()),
        ({**CONFIG, "name_by_index": True}, True, {"email:b2"}),
    ):  # fmt: skip
        async with google(config, numbers=numbers) as (stage, vendor, audience):
            vendor.refuse("email:b2", "no")
            result = await ended(stage, audience, [person("email", "a1"), person("email", "b2")])
            assert set(result.outcomes) == named and result.invalid == 1 - len(named)
            assert result.rest is OutcomeKind.ACCEPTED and vendor.members(audience) == {"email:a1"}


async def test_row_numbers_that_do_not_add_up_name_nobody() -> None:
    async with google({**CONFIG, "name_by_index": True}) as (stage, _, audience):
        for rows in ([1, 2], [1], []):
            told = {"reason": "PROCESSING_ERROR_REASON_INVALID_FORMAT", "recordCount": "2", "recordIndices": rows}
            one = {"requestStatus": "PARTIAL_SUCCESS", "errorInfo": {"errorCounts": [told]}}
            with stage.wire.bending(
                lambda *_, one=one: httpx.Response(200, json={"requestStatusPerDestination": [one]})
            ):
                result = await stage.connector.poll(audience, "r", ["email:a1", "email:b2"])
            assert (result.outcomes, result.invalid, result.job) == ({}, 2, None)


@pytest.mark.parametrize(
    ("status", "code", "reason", "becomes", "said"),
    [
        (400, "INVALID_ARGUMENT", "TERMS_AND_CONDITIONS_NOT_SIGNED", AuthError, "terms"),
        (400, "INVALID_ARGUMENT", "INVALID_USER_LIST_ID", AuthError, "gone"),
        (404, "NOT_FOUND", "", AuthError, "gone"),
        (403, "PERMISSION_DENIED", "PERMISSION_DENIED", AuthError, "PERMISSION_DENIED"),
        (400, "INVALID_ARGUMENT", "MULTIPLE_DATA_TYPES_NOT_ALLOWED", RefusedError, "400"),
        (409, "ABORTED", "", TransientError, "409"),
        (503, "UNAVAILABLE", "", TransientError, "503"),
    ],
)
async def test_googles_words_are_understood(
    status: int, code: str, reason: str, becomes: type[Exception], said: str
) -> None:
    async with google() as (stage, _, audience):
        with stage.wire.bending(lambda *_: refusal(status, code, reason)), pytest.raises(becomes, match=said) as error:
            await stage.connector.add(audience, [person("email", "a1")])
        assert "ann@" not in str(error.value)


@pytest.mark.parametrize(("status", "code"), [(404, "NOT_FOUND"), (400, "INVALID_ARGUMENT")])
async def test_a_request_that_google_does_not_know_pauses_nothing_and_is_asked_for_again(
    status: int, code: str
) -> None:
    async with google() as (stage, _, audience):
        with (
            stage.wire.bending(lambda *_: refusal(status, code)),
            pytest.raises(TransientError, match="know the request"),
        ):
            await stage.connector.poll(audience, "request-9", ["email:a1"])


@pytest.mark.parametrize(("delay", "seconds"), [("34s", 34), ("1.5s", 1.5), ("", 60), ("soon", 60)])
async def test_an_exhausted_quota_is_waited_for(delay: str, seconds: float) -> None:
    async with google() as (stage, _, audience):
        exhausted = stage.wire.bending(lambda *_: refusal(429, "RESOURCE_EXHAUSTED", delay=delay))
        with exhausted, pytest.raises(TransientError) as error:
            await stage.connector.add(audience, [person("email", "a1")])
        assert error.value.retry_after == seconds


async def test_a_list_is_found_by_its_very_code_on_any_page() -> None:
    async with google() as (stage, vendor, _):
        for name in ("VIP 1", "Vip 1", "vIP 1", 'vip 1" OR "\\'):
            await stage.connector.ensure_audience(name)
        before = len(vendor.lists)
        assert len({(await stage.connector.ensure_audience(n)).ref for n in ("vIP 1", 'vip 1" OR "\\')}) == 2
        assert len(vendor.lists) == before


async def test_a_list_that_somebody_else_made_is_not_taken_over() -> None:
    async with google() as (stage, vendor, _):
        vendor.lists["1"] = {"id": "1", "displayName": "theirs", "integrationCode": "crm-7"}
        with pytest.raises(RefusedError):
            await stage.connector.ensure_audience("theirs")


async def test_a_token_that_is_not_taken_any_more_is_not_kept() -> None:
    async with google(PERSONAL) as (stage, vendor, _):
        with stage.wire.bending(lambda *_: refusal(401, "UNAUTHENTICATED")), pytest.raises(AuthError):
            await stage.connector.check()
        await stage.connector.check()
        assert vendor.tokens == 2
        asked = [r for r in stage.wire.requests if r.url.host == "oauth2.googleapis.com"]
        assert {parse_qs(r.content.decode())["grant_type"][0] for r in asked} == {"refresh_token"}


async def test_a_consent_that_was_taken_back_is_an_auth_error() -> None:
    async with staged(Google, {**PERSONAL, "refresh_token": "1//gone"}, FakeGoogle(), {}) as stage:
        with pytest.raises(AuthError, match="invalid_grant"):
            await stage.connector.check()


def test_quotas_and_deadlines_are_the_projects() -> None:
    config = GoogleConfig.model_validate(
        {**CONFIG, "requests_per_minute": 60, "requests_per_day": 5, "quota_zone": "UTC", "deadline_hours": 2}
    )
    able = Google(config, None).limits()  # type: ignore[arg-type]
    assert able.limits == (Window(60, 60.0), DailyBudget(5, "UTC")) and able.job_deadline_s == 7200
    assert Google(GoogleConfig.model_validate(CONFIG), None).limits().limits == Google.capabilities.limits  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"terms_accepted": False},
        {"service_account": None},
        {"service_account": "not a key file"},
        {"refresh_token": "x", "client_id": "y", "client_secret": "z"},
        {"service_account": None, "refresh_token": "x", "client_id": "y"},
        {"upload": "devices"},
        {"account_id": "12/34"},
        {"membership_days": 541},
        {"quota_zone": "Mars/Olympus"},
    ],
)
def test_half_a_configuration_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GoogleConfig.model_validate({**CONFIG, **wrong})


async def test_a_batch_of_nobody_asks_for_nothing() -> None:
    async with google() as (stage, _, audience):
        before = len(stage.wire.requests)
        assert (await stage.connector.apply(audience, Batch())).job is None
        assert len(stage.wire.requests) == before
