"""Snapchat against a fake that answers in envelopes; it publishes no description of this part of its API."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import ValidationError

from connectors.snapchat import SCHEMES, Snapchat, SnapchatConfig
from hub.sdk import AuthError, OutcomeKind, Person, RefusedError, TransientError, Window
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, HttpVendor, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.through_the_hub import ThroughTheHub

ACCOUNT = "8adc3db7-8148-4fbf-999c-8d2266369d74"
CONFIG = {
    "ad_account_id": ACCOUNT,
    "client_id": "snap-app-1",
    "client_secret": "snap-app-secret",
    "refresh_token": "snap-refresh-1",
}
KINDS = {scheme: kind for kind, scheme in SCHEMES.items()}


class FakeSnapchat(HttpVendor):
    """One ad account with its segments, `page` of them a page."""

    def __init__(self, page: int = 50) -> None:
        super().__init__()
        self.page = page
        self.token = "snap-access-1"
        self.segments: dict[str, dict[str, Any]] = {}
        self.users: dict[str, set[str]] = {}
        # How many of a request it does not count as taken.
        self.missed = 0

    def members(self, audience: Audience) -> set[str]:
        return set(self.users[audience.ref])

    def make(self, name: str, source: str = "FIRST_PARTY", day: int = 1) -> str:
        number = str(5677923948298240 - len(self.segments))
        self.segments[number] = {
            "id": number, "name": name, "source_type": source, "created_at": f"2026-08-{day:02}T22:59:42.405Z"
        }  # fmt: skip
        self.users[number] = set()
        return number

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "accounts.snapchat.com":
            form = parse_qs(request.content.decode())
            if (form["refresh_token"], form["client_secret"]) != ([CONFIG["refresh_token"]], [CONFIG["client_secret"]]):
                return httpx.Response(400, json={"error": "invalid_grant"})
            return httpx.Response(200, json={"access_token": self.token, "expires_in": 3600})
        if request.headers["authorization"] != f"Bearer {self.token}":
            return httpx.Response(401, json={"request_status": "ERROR", "error_code": "E1007"})
        match request.method, request.url.path.removeprefix("/v1"):
            case "GET", path if path == f"/adaccounts/{ACCOUNT}":
                return told("adaccounts", {"adaccount": {"id": ACCOUNT, "name": "The shop"}})
            case "GET", path if path == f"/adaccounts/{ACCOUNT}/segments":
                return self._list(request.url.params)
            case "POST", path if path == f"/adaccounts/{ACCOUNT}/segments":
                [wanted] = json_body(request)["segments"]
                assert wanted["ad_account_id"] == ACCOUNT
                made = self.segments[self.make(wanted["name"], wanted["source_type"])]
                return told("segments", {"segment": made}, word="success")
        ref = re.fullmatch(r"/v1/segments/(\d+)/users", request.url.path)
        if not ref or ref[1] not in self.users:
            return httpx.Response(404, json={"request_status": "ERROR", "error_code": "E1003"})
        return self._upload(request.method, ref[1], json_body(request))

    def _list(self, params: httpx.QueryParams) -> httpx.Response:
        assert 50 <= int(params["limit"]) <= 1000
        start = int(params.get("cursor", 0))
        shown = [{"segment": one} for one in list(self.segments.values())[start : start + self.page]]
        more = start + self.page < len(self.segments)
        # The address names a host of its own: what follows it would be sent the token.
        link = f"https://adsapisc.example/v1/segments?cursor={start + self.page}&limit=50" if more else None
        return told("segments", *shown, paging={"next_link": link} if link else {})

    def _upload(self, method: str, ref: str, body: Any) -> httpx.Response:
        [group] = body["users"]
        [scheme] = group["schema"]
        hashes = [hash for [hash] in group["data"]]
        if len(hashes) > 100_000 or len(set(hashes)) < len(hashes):
            return httpx.Response(400, json={"request_status": "ERROR", "error_code": "E2002"})
        keys = {f"{KINDS[scheme]}:{hash}" for hash in hashes}
        self.users[ref] = self.users[ref] | keys if method == "POST" else self.users[ref] - keys
        return told("users", {"user": {"number_uploaded_users": len(hashes) - self.missed}})


def told(kind: str, *parts: Any, word: str = "SUCCESS", **more: Any) -> httpx.Response:
    subs = [{"sub_request_status": word, **part} for part in parts]
    return httpx.Response(200, json={"request_status": word, "request_id": "57ae54", kind: subs, **more})


class TestSnapchat(ThroughTheHub, HttpConnectorContract):
    connector = Snapchat
    config: ClassVar = CONFIG
    refuses_people = False

    def make_vendor(self) -> FakeSnapchat:
        return FakeSnapchat()


@asynccontextmanager
async def snapchat(**config: Any) -> AsyncIterator[tuple[Stage, FakeSnapchat, Audience]]:
    vendor = FakeSnapchat()
    async with staged(Snapchat, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(kind: str, value: str) -> Person:
    return Person("p1", f"{kind}:{value}")


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    asked = [request for request in stage.wire.requests if request.url.host == "adsapi.snapchat.com"]
    return [(r.method, r.url.raw_path.decode(), json_body(r)) for r in asked]


async def test_the_requests_of_a_run_hold_one_kind_of_identifier_each() -> None:
    async with snapchat(retention_in_days=180) as (stage, vendor, audience):
        await stage.connector.check()
        mixed = [person("ad_id", "d4"), person("email", "a1"), person("phone", "b2"), person("email", "c3")]
        await stage.connector.add(audience, mixed)
        await stage.connector.remove(audience, [person("phone", "b2"), person("email", "c3")])
        users = f"/v1/segments/{audience.ref}/users"
        assert sent(stage) == [
            ("GET", f"/v1/adaccounts/{ACCOUNT}/segments?limit=1000", None),
            ("POST", f"/v1/adaccounts/{ACCOUNT}/segments", {"segments": [{
                "name": "vip", "source_type": "FIRST_PARTY", "ad_account_id": ACCOUNT, "retention_in_days": 180,
            }]}),
            ("GET", f"/v1/adaccounts/{ACCOUNT}", None),
            ("POST", users, {"users": [{"schema": ["EMAIL_SHA256"], "data": [["a1"], ["c3"]]}]}),
            ("POST", users, {"users": [{"schema": ["PHONE_SHA256"], "data": [["b2"]]}]}),
            ("POST", users, {"users": [{"schema": ["MOBILE_AD_ID_SHA256"], "data": [["d4"]]}]}),
            ("DELETE", users, {"users": [{"schema": ["EMAIL_SHA256"], "data": [["c3"]]}]}),
            ("DELETE", users, {"users": [{"schema": ["PHONE_SHA256"], "data": [["b2"]]}]}),
        ]  # fmt: skip
        assert vendor.members(audience) == {"email:a1", "ad_id:d4"}


async def test_one_token_serves_until_it_lapses_and_is_renewed_after_a_refusal() -> None:
    async with snapchat() as (stage, vendor, _):
        await stage.connector.check()
        vendor.token = "snap-access-2"
        with pytest.raises(AuthError):
            await stage.connector.check()
        assert (await stage.connector.check()).label == "The shop"
        exchanged = [r for r in stage.wire.requests if r.url.host == "accounts.snapchat.com"]
        assert [parse_qs(r.content.decode()) for r in exchanged] == 2 * [
            {"grant_type": ["refresh_token"], **{name: [CONFIG[name]] for name in CONFIG if name != "ad_account_id"}}
        ]


FAILED = {"sub_request_status": "ERROR", "sub_request_error_reason": "E2025: a1 of ann@example.com is no hash"}


@pytest.mark.parametrize(
    "body",
    [
        {"request_status": "SUCCESS", "users": [FAILED]},
        {"request_status": "SUCCESS", "users": [{**FAILED, "user": {"number_uploaded_users": 1}}]},
        {"request_status": "PARTIAL", "users": [FAILED]},
        {"request_status": "ERROR", "error_code": "E2025", "debug_message": "about ann@example.com"},
        {"request_status": "ERROR", "users": [{"sub_request_status": "SUCCESS", "user": {"number_uploaded_users": 1}}]},
        {"request_status": "SUCCESS", "users": [{"user": {"number_uploaded_users": 1}}]},
        {"request_status": "SUCCESS", "users": []},
        {"users": [{"sub_request_status": "SUCCESS", "user": {"number_uploaded_users": 1}}]},
    ],
)
async def test_a_200_is_success_only_where_the_envelope_and_each_part_say_so(body: Any) -> None:
    async with snapchat() as (stage, _, audience):
        await stage.connector.check()
        with stage.wire.answering(200, json.dumps(body).encode()), pytest.raises(TransientError) as error:
            await stage.connector.add(audience, [person("email", "a1")])
        assert "ann@" not in error.value.reason
        assert ("E2025" in error.value.reason) == ("E2025" in json.dumps(body))


@pytest.mark.parametrize("status", [200, 400, 403])
@pytest.mark.parametrize(
    "body",
    [
        {"request_status": "ERROR", "error_code": "E3002"},
        {"request_status": "SUCCESS", "users": [{**FAILED, "sub_request_error_reason": "E3002: no"}]},
    ],
)
async def test_a_missing_permission_is_told_by_its_code(status: int, body: Any) -> None:
    async with snapchat() as (stage, _, audience):
        await stage.connector.check()
        with stage.wire.answering(status, json.dumps(body).encode()), pytest.raises(AuthError, match="E3002"):
            await stage.connector.add(audience, [person("email", "a1")])


async def test_a_segment_that_is_gone_is_for_a_person_to_see_to() -> None:
    async with snapchat() as (stage, vendor, audience):
        vendor.users.clear()
        with pytest.raises(AuthError, match="is gone"):
            await stage.connector.add(audience, [person("email", "a1")])


async def test_whom_snapchat_did_not_count_stays_a_number_since_nobody_is_named() -> None:
    async with snapchat() as (stage, vendor, audience):
        vendor.missed = 1
        people = [person(kind, value) for kind in ("email", "phone") for value in ("a1", "b2")]
        result = await stage.connector.add(audience, people)
        assert (result.outcomes, result.rest, result.invalid) == ({}, OutcomeKind.ACCEPTED, 2)


async def test_of_a_request_of_which_snapchat_counts_nobody_nobody_is_known_to_be_in() -> None:
    async with snapchat() as (stage, vendor, audience):
        vendor.missed = 1
        result = await stage.connector.add(
            audience, [person("email", "a1"), person("email", "b2"), person("phone", "c")]
        )
        assert {key: one.kind for key, one in result.outcomes.items()} == {"phone:c": OutcomeKind.UNKNOWN}
        assert (result.rest, result.invalid) == (OutcomeKind.ACCEPTED, 1)


async def test_the_oldest_customer_list_of_a_name_is_found_on_any_page() -> None:
    async with snapchat() as (stage, vendor, _):
        for number in range(120):
            vendor.make(f"other {number}")
        vendor.make("news", source="PIXEL")
        younger, older = vendor.make("news", day=20), vendor.make("news", day=9)
        assert (await stage.connector.ensure_audience("news")).ref == older != younger
        assert {request.url.host for request in stage.wire.requests} == {"accounts.snapchat.com", "adsapi.snapchat.com"}


@pytest.mark.parametrize("link", ["https://adsapi.snapchat.com/v1/segments", "/v1/segments?cursor=50"])
async def test_pages_that_lead_nowhere_or_in_a_circle_make_no_second_list(link: str) -> None:
    async with snapchat() as (stage, vendor, _):
        page = told("segments", paging={"next_link": link})
        bent = stage.wire.bending(lambda request, _: page if request.method == "GET" else None)
        with bent, pytest.raises(TransientError):
            await stage.connector.ensure_audience("news")
        assert [one["name"] for one in vendor.segments.values()] == ["vip"]


async def test_a_name_that_is_too_long_is_refused_before_anything_is_sent() -> None:
    async with snapchat() as (stage, _, __):
        asked = len(stage.wire.requests)
        with pytest.raises(RefusedError, match="375"):
            await stage.connector.ensure_audience("x" * 376)
        assert len(stage.wire.requests) == asked


def test_the_size_of_a_request_and_the_rate_can_be_configured() -> None:
    config = SnapchatConfig.model_validate({**CONFIG, "batch": 100_000, "requests_per_second": 20})
    able = Snapchat(config, None).limits()  # type: ignore[arg-type]
    assert (able.batch, able.limits) == (100_000, (Window(20, 1.0),))
    assert Snapchat(SnapchatConfig.model_validate(CONFIG), None).limits() == Snapchat.capabilities  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [{"ad_account_id": "a/b"}, {"batch": 100_001}, {"retention_in_days": 0}, {"refresh_token": ""}, {"client_id": ""}],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SnapchatConfig.model_validate({**CONFIG, **wrong})
