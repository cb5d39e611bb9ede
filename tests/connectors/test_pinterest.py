"""Pinterest against a fake that makes no list without people; its published description is not at hand."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import ValidationError

from connectors.pinterest import Pinterest, PinterestConfig
from hub.sdk import AuthError, Batch, DailyBudget, OutcomeKind, Person, RefusedError, TransientError, Window
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, HttpVendor, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {
    "ad_account_id": "549755885175",
    "client_id": "1478",
    "client_secret": "pin-app-secret",
    "refresh_token": "pinr.refresh-0",
}
BASE = "/v5/ad_accounts/549755885175"


class FakePinterest(HttpVendor):
    """One ad account; `page` lists a page. It makes no audience of lists that are not `ready`."""

    def __init__(self, page: int = 250) -> None:
        super().__init__()
        self.page = page
        self.ready = True
        self.token = "pina-access-1"
        self.exchanged: list[str] = []
        self.lists: list[dict[str, Any]] = []
        self.records: dict[str, set[str]] = {}
        self.audiences: list[dict[str, Any]] = []
        self.exceptions: dict[str, Any] | None = None

    def members(self, audience: Audience) -> set[str]:
        """A record does not say of which kind it is: those whom the kit knows tell."""
        held = next((self.records[one["id"]] for one in self.lists if one["name"] == audience.ref), set())
        kinds = {value: kind for kind, _, value in (key.partition(":") for key in self.subscriptions)}
        return {f"{kinds.get(record, 'unknown')}:{record}" for record in held}

    def make(self, name: str, records: str = "x") -> str:
        number = str(643 + len(self.lists))
        self.lists.append({"id": number, "name": name, "status": "PROCESSING", "type": "customerlist"})
        self.records[number] = set(records.split(","))
        return number

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v5/oauth/token":
            return self._exchange(request)
        if request.headers["authorization"] != f"Bearer {self.token}":
            return said(401, "Authentication failed.")
        path = request.url.path.removeprefix(BASE)
        match request.method, path:
            case "GET", "":
                return httpx.Response(200, json={"id": CONFIG["ad_account_id"], "name": "The shop", "currency": "EUR"})
            case "GET", "/customer_lists":
                return self._page(self.lists, request.url.params)
            case "GET", "/audiences":
                return self._page(self.audiences, request.url.params)
            case "POST", "/audiences":
                return self._target(json_body(request))
        return self._write(request.method, path, json_body(request))

    def _write(self, method: str, path: str, body: Any) -> httpx.Response:
        if (method, path) == ("POST", "/customer_lists"):
            if not body["records"] or body.keys() != {"name", "records", "list_type"}:
                return said(400, "Customer list records are required.")
            self.make(body["name"], body["records"])
            return httpx.Response(200, json={**self.lists[-1], "exceptions": self.exceptions})
        known = next((one for one in self.lists if (method, path) == ("PATCH", f"/customer_lists/{one['id']}")), None)
        return self._change(known, body) if known else said(404, "Customer list not found.")

    def _exchange(self, request: httpx.Request) -> httpx.Response:
        form = parse_qs(request.content.decode())
        basic = base64.b64encode(f"{CONFIG['client_id']}:{CONFIG['client_secret']}".encode()).decode()
        assert form.keys() == {"grant_type", "refresh_token"} and request.headers["authorization"] == f"Basic {basic}"
        self.exchanged += form["refresh_token"]
        told = {"access_token": self.token, "expires_in": 2_592_000, "response_type": "refresh_token"}
        return httpx.Response(200, json={**told, "refresh_token": f"pinr.refresh-{len(self.exchanged)}"})

    def _page(self, items: list[dict[str, Any]], params: httpx.QueryParams) -> httpx.Response:
        assert int(params["page_size"]) <= 250 and params["order"] == "ASCENDING"
        start = int(params.get("bookmark", 0))
        after = start + self.page
        return httpx.Response(
            200, json={"items": items[start:after], "bookmark": str(after) if after < len(items) else None}
        )

    def _change(self, known: dict[str, Any], body: Any) -> httpx.Response:
        assert body.keys() == {"operation_type", "records"} and body["records"]
        held, told = self.records[known["id"]], set(body["records"].split(","))
        self.records[known["id"]] = held | told if body["operation_type"] == "ADD" else held - told
        return httpx.Response(200, json={**known, "exceptions": self.exceptions})

    def _target(self, body: Any) -> httpx.Response:
        if not self.ready:
            return said(400, "Customer list is too small.")
        assert body["audience_type"] == "CUSTOMER_LIST"
        self.audiences.append({"id": f"25{len(self.audiences)}", **body})
        return httpx.Response(200, json=self.audiences[-1])


def said(status: int, message: str) -> httpx.Response:
    return httpx.Response(status, json={"code": status, "message": f"{message} ann@example.com"})


class TestPinterest(ThroughTheHub, HttpConnectorContract):
    connector = Pinterest
    config: ClassVar = CONFIG
    refuses_people = False

    def make_vendor(self) -> FakePinterest:
        return FakePinterest()


@asynccontextmanager
async def pinterest(**config: Any) -> AsyncIterator[tuple[Stage, FakePinterest, Audience]]:
    vendor = FakePinterest()
    async with staged(Pinterest, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(kind: str, value: str) -> Person:
    return Person("p1", f"{kind}:{value}")


def sent(stage: Stage, since: int = 0) -> list[tuple[str, str, Any]]:
    asked = [request for request in stage.wire.requests[since:] if request.url.path.startswith(BASE)]
    return [(r.method, r.url.raw_path.decode().removeprefix(BASE), json_body(r)) for r in asked]


PAGED = "page_size=250&order=ASCENDING"


async def test_the_requests_of_the_first_run_make_the_list_of_its_first_people() -> None:
    async with pinterest(list_type="MAID") as (stage, vendor, audience):
        await stage.connector.check()
        assert not vendor.lists
        await stage.connector.add(audience, [person("email", "a1"), person("ad_id", "d4")])
        await stage.connector.apply(audience, Batch(add=[person("email", "b2")], remove=[person("email", "a1")]))
        await stage.connector.finish(audience, "run-1")
        await stage.connector.finish(audience, "run-1")
        assert sent(stage) == [
            ("GET", f"/customer_lists?{PAGED}", None),
            ("GET", "", None),
            ("GET", f"/customer_lists?{PAGED}", None),
            ("POST", "/customer_lists", {"name": "vip", "records": "a1,d4", "list_type": "MAID"}),
            ("PATCH", "/customer_lists/643", {"operation_type": "ADD", "records": "b2"}),
            ("PATCH", "/customer_lists/643", {"operation_type": "REMOVE", "records": "a1"}),
            ("GET", f"/audiences?{PAGED}", None),
            ("POST", "/audiences",
             {"name": "vip", "audience_type": "CUSTOMER_LIST", "rule": {"customer_list_id": "643"}}),
        ]  # fmt: skip
        assert vendor.records == {"643": {"b2", "d4"}}


def test_two_calls_that_find_no_list_would_make_two_so_there_is_one_at_a_time() -> None:
    assert Pinterest.capabilities.concurrency == 1


async def test_nobody_can_be_removed_from_a_list_that_is_not_there_yet() -> None:
    async with pinterest() as (stage, vendor, audience):
        result = await stage.connector.remove(audience, [person("email", "a1")])
        assert result.outcomes["email:a1"].kind is OutcomeKind.NOOP
        await stage.connector.finish(audience, "run-1")
        assert not vendor.lists and not vendor.audiences


async def test_a_list_whose_making_went_unanswered_is_found_and_not_made_twice() -> None:
    async with pinterest() as (stage, vendor, audience):

        def unanswered(request: httpx.Request, _: int) -> httpx.Response | None:
            if request.method == "POST" and request.url.path.endswith("/customer_lists"):
                stage.wire.vendors_own(request)
                raise httpx.ReadTimeout("cut", request=request)
            return None

        with stage.wire.bending(unanswered), pytest.raises(TransientError):
            await stage.connector.add(audience, [person("email", "a1")])
        await stage.connector.add(audience, [person("email", "a1"), person("email", "b2")])
        assert vendor.records == {"643": {"a1", "b2"}}


async def test_a_list_that_is_too_small_is_made_an_audience_by_a_later_run() -> None:
    async with pinterest() as (stage, vendor, audience):
        vendor.ready = False
        await stage.connector.add(audience, [person("email", "a1")])
        await stage.connector.finish(audience, "run-1")
        assert not vendor.audiences
        vendor.ready = True
        stage.restart()
        for run in ("run-2", "run-3"):
            await stage.connector.finish(audience, run)
            stage.restart()
        assert [one["rule"] for one in vendor.audiences] == [{"customer_list_id": "643"}]


async def test_no_audience_is_made_where_the_admin_wants_none() -> None:
    async with pinterest(make_audience=False) as (stage, vendor, audience):
        await stage.connector.add(audience, [person("email", "a1")])
        asked = len(stage.wire.requests)
        await stage.connector.finish(audience, "run-1")
        assert not vendor.audiences and len(stage.wire.requests) == asked


async def test_an_audience_that_cannot_be_asked_for_is_no_quiet_success() -> None:
    async with pinterest() as (stage, vendor, audience):
        await stage.connector.add(audience, [person("email", "a1")])
        for status, error in ((401, AuthError), (503, TransientError)):
            with stage.wire.answering(status), pytest.raises(error):
                await stage.connector.finish(audience, "run-1")
        assert not vendor.audiences


async def test_the_oldest_list_of_a_name_is_found_on_any_page() -> None:
    async with pinterest() as (stage, vendor, _):
        vendor.page = 50
        for number in range(120):
            vendor.make(f"other {number}")
        oldest = vendor.make("news")
        vendor.make("news")
        news = await stage.connector.ensure_audience("news")
        await stage.connector.add(news, [person("email", "a1")])
        assert (news.ref, vendor.records[oldest]) == ("news", {"x", "a1"})


async def test_pages_that_lead_in_a_circle_make_no_second_list() -> None:
    async with pinterest() as (stage, vendor, audience):
        page = httpx.Response(200, json={"items": [], "bookmark": "again"})
        bent = stage.wire.bending(lambda request, _: page if request.method == "GET" else None)
        with bent, pytest.raises(TransientError):
            await stage.connector.add(audience, [person("email", "a1")])
        assert not vendor.lists


async def test_errors_that_name_nobody_leave_everybody_unknown() -> None:
    async with pinterest() as (stage, vendor, audience):
        vendor.exceptions = {"code": 2, "message": "some records were no good"}
        for people in ([person("email", "a1")], [person("email", "b2")]):
            result = await stage.connector.add(audience, people)
            assert (result.outcomes, result.rest) == ({}, OutcomeKind.UNKNOWN)


async def test_a_list_that_is_gone_is_for_a_person_to_see_to_and_is_made_anew_afterwards() -> None:
    async with pinterest() as (stage, vendor, audience):
        await stage.connector.add(audience, [person("email", "a1")])
        vendor.lists.clear()
        with pytest.raises(AuthError, match="is gone"):
            await stage.connector.add(audience, [person("email", "b2")])
        await stage.connector.add(audience, [person("email", "b2")])
        assert [one["name"] for one in vendor.lists] == ["vip"] and {"b2"} in vendor.records.values()


@pytest.mark.parametrize(
    "body",
    [
        {"id": "644", "name": "vip"},
        {"id": "643"},
        {"id": "", "name": "vip"},
        {"code": 0, "message": "ok"},
    ],
)
async def test_an_answer_about_anything_else_is_no_success(body: Any) -> None:
    async with pinterest() as (stage, _, audience):
        await stage.connector.add(audience, [person("email", "a1")])
        with stage.wire.answering(200, json.dumps(body).encode()), pytest.raises(TransientError):
            await stage.connector.remove(audience, [person("email", "a1")])


async def test_a_request_that_is_refused_is_halved_and_its_words_are_not_repeated() -> None:
    async with pinterest() as (stage, _, audience):
        await stage.connector.add(audience, [person("email", "a1")])
        with stage.wire.bending(lambda *_: said(400, "no")), pytest.raises(RefusedError) as error:
            await stage.connector.add(audience, [person("email", "b2")])
        assert error.value.divisible and "ann@" not in error.value.reason


async def test_the_newest_refresh_token_is_used_also_by_the_next_process() -> None:
    async with pinterest() as (stage, vendor, _):
        vendor.token = "pina-access-2"
        with pytest.raises(AuthError):
            await stage.connector.check()
        await stage.connector.check()
        stage.restart()
        await stage.connector.check()
        assert vendor.exchanged == ["pinr.refresh-0", "pinr.refresh-1", "pinr.refresh-2"]


def test_what_pinterest_allows_can_be_configured() -> None:
    config = {**CONFIG, "batch": 50_000, "requests_per_minute": 300, "requests_per_day": 1000}
    able = Pinterest(PinterestConfig.model_validate(config), None).limits()  # type: ignore[arg-type]
    assert (able.batch, able.limits) == (50_000, (Window(100, 1.0), Window(300, 60.0), DailyBudget(1000)))
    assert Pinterest(PinterestConfig.model_validate(CONFIG), None).limits() == Pinterest.capabilities  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [{"ad_account_id": "act_1"}, {"batch": 100_001}, {"list_type": "PHONE"}, {"requests_per_day": 0}]
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PinterestConfig.model_validate({**CONFIG, **wrong})
