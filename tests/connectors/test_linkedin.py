"""LinkedIn against a fake whose segments take a while to be ready, and against the vendor's own collection."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import ValidationError

from connectors.linkedin import FIELDS as TAKEN
from connectors.linkedin import LinkedIn, LinkedInConfig
from hub.sdk import AuthError, Batch, Outcome, OutcomeKind, Person, RefusedError, TransientError, Window
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, HttpVendor, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.descriptions import description
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {"account_id": "507404993", "access_token": "AQX-member-token"}
RENEWED = {
    "account_id": "507404993", "client_id": "86abc", "client_secret": "WPL-app-secret", "refresh_token": "AQV-refresh"
}  # fmt: skip
URN = "urn:li:sponsoredAccount:507404993"
FIELDS = {"firstName": "Annabella", "company": "Private Ltd"}
KINDS = {"SHA256_EMAIL": "email", "GOOGLE_AID": "ad_id", "APPLE_IDFA": "ad_id"}


class FakeLinkedIn(HttpVendor):
    """One ad account. A new segment is not found for so many requests to it (`settling`)."""

    def __init__(self, settling: int = 0) -> None:
        super().__init__()
        self.settling = settling
        self.token = CONFIG["access_token"]
        self.segments: dict[str, dict[str, Any]] = {}
        self.users: dict[str, dict[str, dict[str, Any]]] = {}
        self.waits: dict[str, int] = {}
        self.told: dict[str, tuple[int, str]] = {}

    def members(self, audience: Audience) -> set[str]:
        return set(self.users[audience.ref])

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "www.linkedin.com":
            return self._renew(parse_qs(request.content.decode()))
        if request.headers["authorization"] != f"Bearer {self.token}":
            return httpx.Response(401, json={"status": 401, "code": "EXPIRED_ACCESS_TOKEN", "message": "expired"})
        assert request.headers["x-restli-protocol-version"] == "2.0.0"
        if request.headers["linkedin-version"] != "202604":
            return httpx.Response(426, json={"status": 426, "code": "NONEXISTENT_VERSION", "message": "no"})
        match request.method, request.url.path:
            case "GET", "/rest/dmpSegments":
                return self._find(request.url.params)
            case "POST", "/rest/dmpSegments":
                return self._make(json_body(request))
        ref = re.fullmatch(r"/rest/dmpSegments/(\d+)/users", request.url.path)
        assert ref and request.headers["x-restli-method"] == "BATCH_CREATE"
        if self.waits.get(ref[1], 1) > 0:
            self.waits[ref[1]] = self.waits.get(ref[1], 1) - 1
            return httpx.Response(404, json={"status": 404, "message": "Segment not found"})
        return self._stream(ref[1], json_body(request)["elements"])

    def _renew(self, form: dict[str, list[str]]) -> httpx.Response:
        if form["refresh_token"] != [RENEWED["refresh_token"]]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        return httpx.Response(200, json={"access_token": self.token, "expires_in": 5_184_000})

    def _find(self, params: httpx.QueryParams) -> httpx.Response:
        assert params["q"] == "account" and params["account"] == URN
        wanted = {name: params[name] for name in ("sourcePlatform", "sourceSegmentId") if name in params}
        found = [one for one in self.segments.values() if wanted.items() <= one.items()]
        return httpx.Response(200, json={"elements": found, "paging": {"start": 0, "count": 10}})

    def _make(self, body: Any) -> httpx.Response:
        assert body["destinations"] == [{"destination": "LINKEDIN"}] and body["account"] == URN
        if any(one["sourceSegmentId"] == body["sourceSegmentId"] for one in self.segments.values()):
            return httpx.Response(409, json={"status": 409, "message": "exists"})
        number = str(10804 + len(self.segments))
        self.segments[number] = {**body, "id": int(number), "status": "BUILDING"}
        self.users[number], self.waits[number] = {}, self.settling
        return httpx.Response(201, headers={"x-linkedin-id": number})

    def _stream(self, ref: str, elements: list[Any]) -> httpx.Response:
        if len(elements) > 5000:
            return httpx.Response(400, json={"status": 400, "message": "too many"})
        return httpx.Response(200, json={"elements": [self._one(ref, element) for element in elements]})

    def _one(self, ref: str, element: Any) -> dict[str, Any]:
        [named] = element["userIds"]
        key = f"{KINDS[named['idType']]}:{named['idValue']}"
        status, message = self.told.get(key, (400, self.refused[key]) if key in self.refused else (201, ""))
        if status != 201:
            return {"status": status, "error": {"status": status, "message": message}}
        if element["action"] == "ADD":
            self.users[ref][key] = {name: element[name] for name in TAKEN if name in element}
        else:
            self.users[ref].pop(key, None)
        return {"status": 201}


class TestLinkedIn(ThroughTheHub, HttpConnectorContract):
    connector = LinkedIn
    config: ClassVar = CONFIG
    fields: ClassVar = FIELDS

    def make_vendor(self) -> FakeLinkedIn:
        return FakeLinkedIn()


class TestLinkedInWithARefreshToken(HttpConnectorContract):
    connector = LinkedIn
    config: ClassVar = RENEWED

    def make_vendor(self) -> FakeLinkedIn:
        return FakeLinkedIn()


@asynccontextmanager
async def linkedin(
    config: dict[str, Any] | None = None, **vendor: Any
) -> AsyncIterator[tuple[Stage, FakeLinkedIn, Audience]]:
    fake = FakeLinkedIn(**vendor)
    async with staged(LinkedIn, {**CONFIG, **(config or {})}, fake, {}) as stage:
        yield stage, fake, await stage.connector.ensure_audience("vip")


def person(kind: str, value: str, **fields: Any) -> Person:
    return Person("p1", f"{kind}:{value}", fields)


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    return [(r.method, r.url.raw_path.decode(), json_body(r)) for r in stage.wire.requests]


async def test_the_requests_of_a_run() -> None:
    async with linkedin() as (stage, _, audience):
        await stage.connector.check()
        add = [person("email", "a1", firstName="Ann", company="", title=None), person("ad_id", "6d92")]
        assert await stage.connector.apply(audience, Batch(add=add, remove=[person("email", "b2")])) is not None
        whose = "/rest/dmpSegments?q=account&account=urn%3Ali%3AsponsoredAccount%3A507404993"
        assert sent(stage) == [
            ("GET", f"{whose}&sourcePlatform=STREAMING&sourceSegmentId=vip", None),
            ("POST", "/rest/dmpSegments", {
                "name": "vip",
                "sourcePlatform": "STREAMING",
                "sourceSegmentId": "vip",
                "account": URN,
                "type": "USER",
                "destinations": [{"destination": "LINKEDIN"}],
            }),
            ("GET", f"{whose}&count=1", None),
            ("POST", "/rest/dmpSegments/10804/users", {"elements": [
                {"action": "ADD", "userIds": [{"idType": "SHA256_EMAIL", "idValue": "a1"}], "firstName": "Ann"},
                {"action": "ADD", "userIds": [{"idType": "GOOGLE_AID", "idValue": "6d92"}]},
                {"action": "REMOVE", "userIds": [{"idType": "SHA256_EMAIL", "idValue": "b2"}]},
            ]}),
        ]  # fmt: skip


async def test_every_request_is_as_the_vendors_collection_shows_it() -> None:
    async with linkedin({"ad_id_type": "APPLE_IDFA"}) as (stage, _, audience):
        await stage.connector.check()
        await stage.connector.apply(audience, Batch(add=[person("email", "a1"), person("ad_id", "6d92")]))
        shown = {shown_as(request) for request in stage.wire.requests}
    assert shown == {
        "LinkedIn Monitor DMP Segment Status", "LinkedIn Create DMP Segment", "LinkedIn Stream User Data to Segment"
    }  # fmt: skip


# What LinkedIn's pages describe and its collection leaves out.
BESIDES = {"sourceSegmentId", "count", *TAKEN}


def shown_as(request: httpx.Request) -> str:
    """The example of the collection that the request follows; raises where a header, parameter or key is not in it."""
    collection = description("linkedin", "linkedin-marketing-audience.postman_collection.json")
    [name, example] = next(
        (name, one)
        for name, one in examples(collection["item"])
        if one["method"] == request.method and re.fullmatch(pattern_of(one), request.url.path)
    )
    assert {header["key"].lower() for header in example["header"]} <= request.headers.keys() | {"accept"}
    assert {*request.url.params} <= {one["key"] for one in example["url"].get("query", [])} | BESIDES
    raw = (example.get("body") or {}).get("raw", "null")
    unknown = keys_in(json_body(request)) - keys_in(httpx.Response(200, content=raw).json()) - BESIDES
    assert not unknown, f"the collection shows no {unknown}"
    return str(name)


def examples(items: list[Any]) -> list[tuple[str, Any]]:
    return [pair for item in items for pair in examples(item.get("item", []))] + [
        (item["name"], item["request"]) for item in items if "request" in item
    ]


def pattern_of(example: Any) -> str:
    return "/rest/" + "/".join("[^/]+" if part.startswith(":") else part for part in example["url"]["path"])


def keys_in(value: Any) -> set[str]:
    if isinstance(value, list):
        return {key for item in value for key in keys_in(item)}
    return {*value} | {key for item in value.values() for key in keys_in(item)} if isinstance(value, dict) else set()


async def test_each_row_has_an_outcome_of_its_own_in_the_order_that_was_sent() -> None:
    async with linkedin() as (stage, vendor, audience):
        vendor.told = {
            "email:b2": (400, "email:b2 of p1 is not a hash"),
            "email:c3": (429, "later"),
            "ad_id:d4": (409, "busy"),
            "email:e5": (500, "oops"),
            "email:f6": (404, "not there yet"),
        }
        add = [person("email", "a1"), person("email", "b2"), person("email", "c3"), person("ad_id", "d4")]
        remove = [person("email", "e5"), person("email", "f6"), person("email", "g7")]
        result = await stage.connector.apply(audience, Batch(add=add, remove=remove))
        assert {key: outcome.kind for key, outcome in result.outcomes.items()} == {
            "email:b2": OutcomeKind.REJECTED,
            "email:c3": OutcomeKind.RETRY,
            "ad_id:d4": OutcomeKind.RETRY,
            "email:e5": OutcomeKind.RETRY,
            "email:f6": OutcomeKind.RETRY,
        }
        assert result.outcomes["email:b2"] == Outcome(OutcomeKind.REJECTED, "400: … of … is not a hash")
        assert result.rest is OutcomeKind.ACCEPTED and vendor.members(audience) == {"email:a1"}


async def test_answers_that_cannot_be_told_apart_leave_everybody_unknown() -> None:
    async with linkedin() as (stage, _, audience):
        with stage.wire.answering(200, b'{"elements": [{"status": 201}]}'):
            result = await stage.connector.apply(audience, Batch(add=[person("email", "a1"), person("email", "b2")]))
        assert (result.outcomes, result.rest) == ({}, OutcomeKind.UNKNOWN)


async def test_a_new_segment_is_tried_again_until_it_is_ready() -> None:
    async with linkedin(settling=2) as (stage, vendor, audience):
        for _ in range(2):
            with pytest.raises(TransientError, match="not ready") as error:
                await stage.connector.apply(audience, Batch(add=[person("email", "a1")]))
            assert error.value.retry_after == 15
        await stage.connector.apply(audience, Batch(add=[person("email", "a1")]))
        assert vendor.members(audience) == {"email:a1"}


@pytest.mark.parametrize("status", [409, 423])
async def test_a_segment_that_is_being_changed_is_tried_again(status: int) -> None:
    async with linkedin() as (stage, _, audience):
        with stage.wire.answering(status, b"{}"), pytest.raises(TransientError):
            await stage.connector.apply(audience, Batch(add=[person("email", "a1")]))


async def test_of_two_who_make_a_segment_at_once_one_finds_the_others() -> None:
    async with linkedin() as (stage, vendor, _):
        missed = stage.wire.bending(
            lambda request, _: httpx.Response(200, json={"elements": []}) if request.method == "GET" else None
        )
        with missed, pytest.raises(TransientError):
            await stage.connector.ensure_audience("vip")
        assert (await stage.connector.ensure_audience("vip")).ref == "10804" and len(vendor.segments) == 1


async def test_a_segment_that_was_made_without_saying_which_is_found_the_next_time() -> None:
    async with linkedin() as (stage, vendor, _):

        def unsaid(request: httpx.Request, _: int) -> httpx.Response | None:
            response = stage.wire.vendors_own(request)
            response.headers.pop("x-linkedin-id", None)
            return response

        with stage.wire.bending(unsaid), pytest.raises(TransientError):
            await stage.connector.ensure_audience("new")
        assert (await stage.connector.ensure_audience("new")).ref == "10805" and len(vendor.segments) == 2


async def test_a_version_that_was_switched_off_is_for_a_person_to_see_to() -> None:
    async with linkedin() as (stage, _, __):
        old = LinkedIn(LinkedInConfig.model_validate({**CONFIG, "api_version": "202501"}), stage.connector.http)
        with pytest.raises(AuthError, match="switched off"):
            await old.check()


async def test_a_field_that_linkedin_does_not_have_is_refused_before_anything_is_sent() -> None:
    async with linkedin() as (stage, _, audience):
        before = len(stage.wire.requests)
        with pytest.raises(RefusedError, match="no city: it has firstName"):
            await stage.connector.apply(audience, Batch(add=[person("email", "a1", city="x")]))
        assert len(stage.wire.requests) == before


async def test_a_token_that_lapsed_is_renewed_the_next_time() -> None:
    vendor = FakeLinkedIn()
    async with staged(LinkedIn, RENEWED, vendor, {}) as stage:
        await stage.connector.check()
        vendor.token = "AQX-another"
        with pytest.raises(AuthError):
            await stage.connector.check()
        assert (await stage.connector.check()).label == "ad account 507404993"


def test_what_linkedin_allows_a_minute_can_be_configured_and_the_version_is_a_known_one() -> None:
    config = LinkedInConfig.model_validate({**CONFIG, "requests_per_minute": 500})
    assert LinkedIn(config, None).limits().limits == (Window(500, 60.0),)  # type: ignore[arg-type]
    assert config.api_version in [version.name for version in LinkedIn.versions if version.until]


@pytest.mark.parametrize(
    "wrong",
    [
        {"access_token": None},
        {"refresh_token": "x", "client_id": "y", "client_secret": "z"},
        {"access_token": None, "refresh_token": "x"},
        {"account_id": "urn:li:x"},
        {"api_version": "202613"},
        {"source_platform": "lower case"},
    ],
)
def test_half_a_configuration_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LinkedInConfig.model_validate({**CONFIG, **wrong})
