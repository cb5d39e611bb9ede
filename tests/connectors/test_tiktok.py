"""TikTok against a fake that answers 200 whatever happens, and against the vendor's own description."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import httpx
import pytest
from openapi_core import Config, OpenAPI
from pydantic import ValidationError

from connectors.tiktok import TikTok, TikTokConfig, _by_code
from hub.sdk import AuthError, Batch, DailyBudget, OutcomeKind, Person, RefusedError, Response, TransientError, Window
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, HttpVendor, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.descriptions import Recorded, description
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {"access_token": "long-term-token-1", "advertiser_id": "7178918106775994370"}
BASE = "/open_api/v1.3"
KINDS = {
    "EMAIL_SHA256": "email", "PHONE_SHA256": "phone", "AAID_SHA256": "ad_id", "IDFA_SHA256": "ad_id"
}  # fmt: skip


class FakeTikTok(HttpVendor):
    """One advertiser, with audiences of its own and some that others share."""

    def __init__(self) -> None:
        super().__init__()
        self.audiences: dict[str, dict[str, Any]] = {}
        self.mapped: dict[str, set[str]] = {}

    def members(self, audience: Audience) -> set[str]:
        return set(self.mapped[audience.ref])

    def make(self, name: str, *, shared: bool = False) -> str:
        number = str(167290896 + len(self.audiences))
        self.audiences[number] = {
            "audience_id": number, "name": name, "is_creator": not shared, "audience_type": "Customer File"
        }  # fmt: skip
        self.mapped[number] = set()
        return number

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.headers["access-token"] != CONFIG["access_token"]:
            return said(40105, "Access token is incorrect or has been revoked.")
        match request.method, request.url.path.removeprefix(BASE):
            case "GET", "/dmp/custom_audience/list/":
                return self._list(request.url.params)
            case "POST", "/segment/audience/":
                body = json_body(request)
                assert body["action"] == "create" and body["advertiser_id"] == CONFIG["advertiser_id"]
                return said(0, "OK", {"audience_id": self.make(body["custom_audience_name"])})
            case "POST", "/segment/mapping/":
                return self._map(json_body(request))
        return said(40002, "no such path")

    def _list(self, params: httpx.QueryParams) -> httpx.Response:
        size, page = int(params["page_size"]), int(params["page"])
        if size > 100 or page < 1 or params["advertiser_id"] != CONFIG["advertiser_id"]:
            return said(40002, "invalid")
        newest = list(self.audiences.values())[::-1]
        pages = -(-len(newest) // size)
        shown = newest[(page - 1) * size : page * size]
        info = {"page": page, "page_size": size, "total_page": pages, "total_number": len(newest)}
        return said(0, "OK", {"list": shown, "page_info": info})

    def _map(self, body: Any) -> httpx.Response:
        assert body["advertiser_ids"] == [CONFIG["advertiser_id"]] and body["action"] in {"add", "delete"}
        if len(body["batch_data"]) > 10_000:
            return said(40002, "too many")
        refused = False
        for row in body["batch_data"]:
            for column, cell in zip(body["id_schema"], row, strict=True):
                key = f"{KINDS[column]}:{cell['id']}" if cell else ""
                refused = refused or key in self.refused
                for number in cell.get("audience_ids", []) if key not in self.refused else []:
                    held = self.mapped[number]
                    self.mapped[number] = held | {key} if body["action"] == "add" else held - {key}
        return said(20001, "Partial success") if refused else said(0, "OK", {})


def said(code: int, message: str = "about ann@example.com", data: Any = None) -> httpx.Response:
    return httpx.Response(200, json={"code": code, "message": message, "request_id": "2026", "data": data or {}})


class TestTikTok(ThroughTheHub, HttpConnectorContract):
    connector = TikTok
    config: ClassVar = CONFIG
    refuses_people = False

    def make_vendor(self) -> FakeTikTok:
        return FakeTikTok()


@asynccontextmanager
async def tiktok(**config: Any) -> AsyncIterator[tuple[Stage, FakeTikTok, Audience]]:
    vendor = FakeTikTok()
    async with staged(TikTok, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(kind: str, value: str) -> Person:
    return Person("p1", f"{kind}:{value}")


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    return [(r.method, r.url.raw_path.decode(), json_body(r)) for r in stage.wire.requests]


async def test_the_requests_of_a_run() -> None:
    async with tiktok(ad_id_type="IDFA") as (stage, _, audience):
        await stage.connector.check()
        add = [person("ad_id", "d4"), person("email", "a1")]
        await stage.connector.apply(audience, Batch(add=add, remove=[person("phone", "b2")]))
        lists, advertiser = f"{BASE}/dmp/custom_audience/list/", CONFIG["advertiser_id"]
        assert sent(stage) == [
            ("GET", f"{lists}?advertiser_id={advertiser}&page=1&page_size=100", None),
            ("POST", f"{BASE}/segment/audience/",
             {"custom_audience_name": "vip", "advertiser_id": advertiser, "action": "create"}),
            ("GET", f"{lists}?advertiser_id={advertiser}&page=1&page_size=1", None),
            ("POST", f"{BASE}/segment/mapping/", {
                "advertiser_ids": [advertiser],
                "action": "add",
                "id_schema": ["EMAIL_SHA256", "IDFA_SHA256"],
                "batch_data": [
                    [{}, {"id": "d4", "audience_ids": [audience.ref]}],
                    [{"id": "a1", "audience_ids": [audience.ref]}, {}],
                ],
            }),
            ("POST", f"{BASE}/segment/mapping/", {
                "advertiser_ids": [advertiser],
                "action": "delete",
                "id_schema": ["PHONE_SHA256"],
                "batch_data": [[{"id": "b2", "audience_ids": [audience.ref]}]],
            }),
        ]  # fmt: skip
        assert {request.headers["access-token"] for request in stage.wire.requests} == {CONFIG["access_token"]}


async def test_the_listing_is_as_the_vendor_describes_it() -> None:
    """Nothing else is described: the vendor publishes the way by files, and streaming only on its pages."""
    described = copy.deepcopy(description("tiktok", "dmp_custom_audience_list.yml"))
    described["servers"] = [{"url": f"https://business-api.tiktok.com{BASE}"}]
    parameters = described["paths"]["/dmp/custom_audience/list/"]["get"]["parameters"]
    # The vendor's own client sends the token as a header.
    next(parameter for parameter in parameters if parameter["name"] == "Access-Token")["in"] = "header"
    api = OpenAPI.from_dict(described, config=Config(spec_validator_cls=None))  # type: ignore[arg-type]
    async with tiktok() as (stage, _, __):
        await stage.connector.check()
        listings = [request for request in stage.wire.requests if request.method == "GET"]
    for request in listings:
        api.validate_request(Recorded(request))  # type: ignore[arg-type]
        assert set(request.url.params) <= {parameter["name"] for parameter in parameters}
    assert len(listings) == 2


async def test_success_in_part_leaves_everybody_unknown_since_nobody_is_named() -> None:
    async with tiktok() as (stage, vendor, audience):
        vendor.refuse("email:b2", "no")
        result = await stage.connector.add(audience, [person("email", "a1"), person("email", "b2")])
        assert (result.outcomes, result.rest) == ({}, OutcomeKind.UNKNOWN)
        assert vendor.members(audience) == {"email:a1"}


@pytest.mark.parametrize(
    ("code", "becomes", "check"),
    [
        (40100, TransientError, lambda e: e.retry_after == 300),
        (40016, TransientError, lambda e: e.retry_after == 300),
        (40133, TransientError, lambda e: e.retry_after == 300),
        (40202, TransientError, lambda e: e.retry_after is None),
        (40201, TransientError, lambda e: True),
        (50000, TransientError, lambda e: True),
        (50002, TransientError, lambda e: True),
        (60001, TransientError, lambda e: True),
        (40001, AuthError, lambda e: "advertiser" in e.reason),
        (40102, AuthError, lambda e: "lapsed" in e.reason),
        (40105, AuthError, lambda e: "token" in e.reason),
        (40118, AuthError, lambda e: "representative" in e.reason),
        (40002, RefusedError, lambda e: e.divisible),
        (40300, RefusedError, lambda e: not e.divisible),
        (41234, RefusedError, lambda e: not e.divisible),
    ],
)
async def test_the_code_in_the_body_tells_what_became_of_a_request(code: int, becomes: Any, check: Any) -> None:
    async with tiktok() as (stage, _, audience):
        with stage.wire.bending(lambda *_: said(code)), pytest.raises(becomes) as error:
            await stage.connector.add(audience, [person("email", "a1")])
        assert check(error.value) and f"code {code}" in error.value.reason and "ann@" not in error.value.reason


@pytest.mark.parametrize("message", ["Daily limit reached", "QPD exceeded", "too many requests per day"])
def test_a_days_allowance_that_is_spent_is_waited_for_until_the_day_ends_in_utc(message: str) -> None:
    body = json.dumps({"code": 40100, "message": message}).encode()
    evening = Response(200, body=body, received_at=datetime(2026, 11, 22, 21, 30, tzinfo=UTC))
    error = _by_code(evening)
    assert isinstance(error, TransientError) and error.retry_after == 9000
    soon = _by_code(replace(evening, body=json.dumps({"code": 40100, "message": "QPM exceeded"}).encode()))
    assert isinstance(soon, TransientError) and soon.retry_after == 300


async def test_an_ok_in_the_body_does_not_make_up_for_the_status() -> None:
    async with tiktok() as (stage, _, audience):
        with stage.wire.answering(502, b'{"code": 0, "message": "OK"}'), pytest.raises(TransientError):
            await stage.connector.add(audience, [person("email", "a1")])


async def test_the_oldest_audience_of_a_name_that_is_our_own_is_found_on_any_page() -> None:
    async with tiktok() as (stage, vendor, audience):
        for number in range(230):
            vendor.make(f"other {number}")
        vendor.make("vip")
        assert await stage.connector.ensure_audience("vip") == audience
        shared = vendor.make("theirs", shared=True)
        assert (await stage.connector.ensure_audience("theirs")).ref != shared


def test_the_size_of_a_request_and_the_apps_tier_can_be_configured() -> None:
    able = TikTok(TikTokConfig.model_validate({**CONFIG, "batch": 5000, "requests_per_second": 20}), None).limits()  # type: ignore[arg-type]
    assert able.batch == 5000
    assert able.limits == (Window(20, 1.0), Window(1200, 60.0), DailyBudget(1_728_000))
    assert TikTok(TikTokConfig.model_validate(CONFIG), None).limits() == TikTok.capabilities  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"advertiser_id": "a/b"}, {"batch": 0}, {"batch": 10_001}, {"api_version": "2"}])
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TikTokConfig.model_validate({**CONFIG, **wrong})
