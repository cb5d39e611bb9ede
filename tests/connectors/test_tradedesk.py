"""The Trade Desk against a fake that reads signatures and lets memberships lapse; its description is not at hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.tradedesk import TradeDesk, TradeDeskConfig
from connectors.tradedesk.config import SERVERS
from hub.sdk import AuthError, Outcome, OutcomeKind, Person, RefusedError, TransientError
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, HttpVendor, Stage, json_body
from hub.sdk.testing.corpus import GARBAGE
from hub.sdk.testing.stage import staged
from tests.connectors.through_the_hub import ThroughTheHub

SECRET = "ttd-advertiser-secret"
CONFIG = {"advertiser_id": "7abc123", "region": "europe", "secret_key": SECRET}
TOKEN = {
    "advertiser_id": "7abc123",
    "region": "us_east",
    "api_token": "ttd-data-token",
    "identifiers": {"user_id": "UID2", "ad_id": "DAID"},
}
KINDS = {"DAID": "ad_id", "UID2": "user_id"}


class FakeTradeDesk(HttpVendor):
    """One advertiser. It names failures by line, counted from 1, unless it is to leave the numbers out."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: dict[str, dict[str, int]] = {}
        self.code = "MissingUserId"
        self.codes: dict[str, str] = {}
        self.numbered = True

    def members(self, audience: Audience) -> set[str]:
        return {key for key, minutes in self.elements.get(audience.ref, {}).items() if minutes}

    def answer(self, request: httpx.Request) -> httpx.Response:
        body = json_body(request)
        if not shown(request) or body["AdvertiserId"] != CONFIG["advertiser_id"]:
            return httpx.Response(401, text="Unauthorized")
        if not body["Items"]:
            return httpx.Response(400, json={"FailedLines": [{"Message": "Items is missing"}]})
        match request.url.path:
            case "/data/advertiser":
                return self._each(body["Items"], self._keep)
            case "/data/deletion-optout/advertiser":
                assert body["RequestType"] == "Deletion"
                return self._each(body["Items"], self._delete)
        return httpx.Response(404, text="Not Found")

    def _each(self, items: list[dict[str, Any]], do: Any) -> httpx.Response:
        failed = []
        for number, item in enumerate(items, 1):
            [(type_, value)] = [(name, told) for name, told in item.items() if name != "Data"]
            key = f"{KINDS[type_]}:{value}"
            code = self.codes.get(key) or (self.code if key in self.refused else None)
            if code:
                line = {"ErrorCode": code, "Message": f"Invalid {type_} {value} {self.refused.get(key, '')}"}
                failed.append({**line, **({"ItemNumber": str(number)} if self.numbered else {})})
            else:
                do(key, item)
        return httpx.Response(200, json={"FailedLines": failed} if failed else {})

    def _keep(self, key: str, item: dict[str, Any]) -> None:
        [data] = item["Data"]
        self.elements.setdefault(data["Name"], {})[key] = data["TtlInMinutes"]

    def _delete(self, key: str, item: dict[str, Any]) -> None:
        assert "Data" not in item
        for element in self.elements.values():
            element.pop(key, None)


def shown(request: httpx.Request) -> bool:
    if "ttd-auth" in request.headers:
        return request.headers["ttd-auth"] == TOKEN["api_token"]
    signature = base64.b64encode(hmac.new(SECRET.encode(), request.content, hashlib.sha1).digest()).decode()
    return request.headers["ttdsignature"] == signature


class TradeDeskContract(HttpConnectorContract):
    connector = TradeDesk
    config: ClassVar = CONFIG
    # An empty object is all that it says where it took everybody.
    garbage: ClassVar = [body for body in GARBAGE if body != b"{}"]

    def make_vendor(self) -> FakeTradeDesk:
        return FakeTradeDesk()


class TestTradeDesk(TradeDeskContract, ThroughTheHub):
    pass


class TestTradeDeskByToken(TradeDeskContract, ThroughTheHub):
    config: ClassVar = TOKEN


class TestTradeDeskWithoutNumbers(TradeDeskContract, ThroughTheHub):
    def make_vendor(self) -> FakeTradeDesk:
        vendor = FakeTradeDesk()
        vendor.numbered = False
        return vendor


@asynccontextmanager
async def tradedesk(config: dict[str, Any] = CONFIG) -> AsyncIterator[tuple[Stage, FakeTradeDesk, Audience]]:
    vendor = FakeTradeDesk()
    async with staged(TradeDesk, config, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("VIP, Europe")


def person(kind: str, value: str) -> Person:
    return Person("p1", f"{kind}:{value}")


def sent(stage: Stage) -> list[tuple[str, Any]]:
    return [(f"{request.url.host}{request.url.path}", json_body(request)) for request in stage.wire.requests]


async def test_the_requests_of_a_run() -> None:
    async with tradedesk({**TOKEN, "membership_days": 30}) as (stage, vendor, audience):
        await stage.connector.check()
        await stage.connector.add(audience, [person("ad_id", "d4"), person("user_id", "48MjlfI/jCLAXUY=")])
        await stage.connector.remove(audience, [person("ad_id", "d4")])
        await stage.connector.erase([person("user_id", "48MjlfI/jCLAXUY=")])
        data, advertiser = "use-data.adsrvr.org/data", {"AdvertiserId": "7abc123"}

        def kept(minutes: int) -> Any:
            return {"Data": [{"Name": "VIP, Europe", "TtlInMinutes": minutes}]}

        items = [{"DAID": "d4", **kept(43_200)}, {"UID2": "48MjlfI/jCLAXUY=", **kept(43_200)}]
        assert sent(stage) == [
            (f"{data}/advertiser", {**advertiser, "Items": []}),
            (f"{data}/advertiser", {**advertiser, "Items": items}),
            (f"{data}/advertiser", {**advertiser, "Items": [{"DAID": "d4", **kept(0)}]}),
            (f"{data}/deletion-optout/advertiser",
             {**advertiser, "RequestType": "Deletion", "Items": [{"UID2": "48MjlfI/jCLAXUY="}]}),
        ]  # fmt: skip
        assert vendor.elements == {"VIP, Europe": {"ad_id:d4": 0}}


async def test_a_signature_is_of_the_very_bytes_that_are_sent() -> None:
    async with tradedesk() as (stage, _, audience):
        await stage.connector.add(audience, [person("ad_id", "d4")])
        [request] = stage.wire.requests
        assert request.url.host == "euw-data.adsrvr.org" and "ttd-auth" not in request.headers
        # As it was worked out with openssl over these bytes.
        assert request.content == (
            b'{"AdvertiserId":"7abc123","Items":[{"DAID":"d4","Data":[{"Name":"VIP, Europe","TtlInMinutes":259200}]}]}'
        )
        assert request.headers["ttdsignature"] == "ZmlrIkFibs8Ux/yV/gTiCL0SmUA="
    async with tradedesk({**CONFIG, "secret_key": "another"}) as (stage, _, audience):
        for call in (stage.connector.check(), stage.connector.add(audience, [person("ad_id", "d4")])):
            with pytest.raises(AuthError):
                await call


async def test_lines_that_failed_are_told_by_their_number_and_code_alone() -> None:
    async with tradedesk() as (stage, vendor, audience):
        vendor.codes = {"ad_id:b2": "UserNotMapped", "ad_id:c3": "Unknown", "ad_id:d4": "ann@example.com"}
        result = await stage.connector.add(audience, [person("ad_id", value) for value in ("a1", "b2", "c3", "d4")])
        assert result.outcomes == {
            "ad_id:b2": Outcome(OutcomeKind.REJECTED, "The Trade Desk says UserNotMapped of it"),
            "ad_id:c3": Outcome(OutcomeKind.RETRY, "The Trade Desk did not take it, and does not say why"),
            "ad_id:d4": Outcome(OutcomeKind.REJECTED, "The Trade Desk says a code that is not known here of it"),
        }
        assert result.rest is OutcomeKind.ACCEPTED and vendor.members(audience) == {"ad_id:a1"}


async def test_what_it_takes_for_no_id_is_no_member_when_added_and_was_none_when_removed() -> None:
    async with tradedesk() as (stage, vendor, audience):
        vendor.codes = {"ad_id:b2": "InvalidUserId"}
        for call, kind in ((stage.connector.add, OutcomeKind.REJECTED), (stage.connector.remove, OutcomeKind.NOOP)):
            result = await call(audience, [person("ad_id", "a1"), person("ad_id", "b2")])
            assert {key: outcome.kind for key, outcome in result.outcomes.items()} == {"ad_id:b2": kind}


@pytest.mark.parametrize("number", ["0", "3", "-1", "99"])
async def test_a_number_that_was_not_sent_may_be_anybodys(number: str) -> None:
    async with tradedesk() as (stage, _, audience):
        lines = [{"ErrorCode": "MissingUserId", "ItemNumber": one} for one in ("1", number)]
        with stage.wire.answering(200, json.dumps({"FailedLines": lines}).encode()):
            result = await stage.connector.add(audience, [person("ad_id", "a1"), person("ad_id", "b2")])
        assert (set(result.outcomes), result.rest) == ({"ad_id:a1"}, OutcomeKind.UNKNOWN)


@pytest.mark.parametrize(
    ("status", "code", "becomes", "check"),
    [
        (200, "TargetingDataCountLimitExceeded", AuthError, lambda e: "CountLimit" in e.reason),
        (200, "TargetingDataDisabled", AuthError, lambda e: True),
        (400, "InvalidDataOwnerId", AuthError, lambda e: True),
        (200, "DataNameTooLong", RefusedError, lambda e: not e.divisible and "DataNameTooLong" in e.reason),
        (200, "InvalidTtlInMinutes", RefusedError, lambda e: not e.divisible),
        (400, "MissingUserId", RefusedError, lambda e: e.divisible and "MissingUserId" in e.reason),
        (400, "ann@example.com", RefusedError, lambda e: e.divisible),
        (403, "MissingUserId", AuthError, lambda e: True),
        (413, "MissingUserId", RefusedError, lambda e: e.divisible),
        (429, "Unknown", TransientError, lambda e: e.retry_after == 9),
        (503, "Unknown", TransientError, lambda e: True),
    ],
)
async def test_what_is_wrong_with_everybody_is_told_as_such(status: int, code: str, becomes: Any, check: Any) -> None:
    async with tradedesk() as (stage, _, audience):
        body = json.dumps({"FailedLines": [{"ErrorCode": code, "ItemNumber": "1", "Message": "ann@example.com"}]})
        with stage.wire.answering(status, body.encode(), Retry_After="9"), pytest.raises(becomes) as error:
            await stage.connector.add(audience, [person("ad_id", "a1")])
        assert check(error.value) and "ann@" not in error.value.reason


async def test_failures_without_number_and_code_are_tried_again() -> None:
    async with tradedesk() as (stage, _, audience):
        for line, error in (({"Message": "oops"}, TransientError), ({"ErrorCode": "UserNotMapped"}, RefusedError)):
            with stage.wire.answering(200, json.dumps({"FailedLines": [line]}).encode()), pytest.raises(error):
                await stage.connector.add(audience, [person("ad_id", "a1")])


@pytest.mark.parametrize("body", [b"[]", b'{"Message": "ok"}', b'{"FailedLines": {}}', b'{"FailedLines": [7]}', b""])
async def test_only_an_object_with_nothing_but_failed_lines_is_an_answer(body: bytes) -> None:
    async with tradedesk() as (stage, _, audience):
        with stage.wire.answering(200, body):
            for call in (stage.connector.check(), stage.connector.add(audience, [person("ad_id", "a1")])):
                with pytest.raises(TransientError):
                    await call


async def test_whoever_is_taken_for_no_id_is_erased_already_and_many_are_erased_in_parts() -> None:
    async with tradedesk({**CONFIG, "batch": 2}) as (stage, vendor, audience):
        people = [person("ad_id", value) for value in ("a1", "b2", "c3")]
        await stage.connector.add(audience, people)
        vendor.codes = {"ad_id:b2": "InvalidUserId"}
        result = await stage.connector.erase(people)
        assert {key: outcome.kind for key, outcome in result.outcomes.items()} == {"ad_id:b2": OutcomeKind.NOOP}
        assert result.rest is OutcomeKind.ACCEPTED and vendor.elements == {"VIP, Europe": {"ad_id:b2": 259_200}}
        assert [len(body["Items"]) for url, body in sent(stage) if "deletion" in url] == [2, 1]


async def test_an_id_whose_type_is_configured_no_more_is_told_and_not_guessed() -> None:
    async with tradedesk() as (stage, vendor, audience):
        result = await stage.connector.remove(audience, [person("user_id", "x"), person("ad_id", "a1")])
        assert result.outcomes["user_id:x"].kind is OutcomeKind.REJECTED and set(result.outcomes) == {"user_id:x"}
        asked = len(stage.wire.requests)
        assert set((await stage.connector.erase([person("user_id", "x")])).outcomes) == {"user_id:x"}
        assert len(stage.wire.requests) == asked and vendor.elements == {"VIP, Europe": {"ad_id:a1": 0}}


def test_what_people_are_sent_by_and_where_to_can_be_configured() -> None:
    def made(**config: Any) -> TradeDesk:
        return TradeDesk(TradeDeskConfig.model_validate({**CONFIG, **config}), None)  # type: ignore[arg-type]

    assert made().limits().identifiers == ("ad_id",)
    able = made(identifiers={"user_id": "EUID", "device_id": "TDID"}, batch=10_000).limits()
    assert (able.identifiers, able.batch) == (("user_id", "device_id"), 10_000)
    assert {made(region=region).config.base for region in SERVERS} == set(SERVERS.values())
    assert made(api_url="https://data-cn2.adsrvr.cn/").config.base == "https://data-cn2.adsrvr.cn"


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret_key": None},
        {"api_token": "both"},
        {"identifiers": {}},
        {"identifiers": {"email": "UID2"}},
        {"identifiers": {"ad_id": "HashedEmail"}},
        {"identifiers": {"ad_id": "DAID", "device_id": "DAID"}},
        {"membership_days": 181},
        {"region": "mars"},
        {"advertiser_id": "a/b"},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TradeDeskConfig.model_validate({**CONFIG, **wrong})
