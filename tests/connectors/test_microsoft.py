"""Microsoft Advertising against a fake that names failures by their place, and against the vendor's own WSDL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import ValidationError

from connectors.microsoft import Microsoft, MicrosoftConfig
from connectors.microsoft.connector import SUBTYPES
from hub.sdk import AuthError, Outcome, OutcomeKind, Person, RefusedError, TransientError
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, HttpVendor, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.through_the_hub import ThroughTheHub
from tests.connectors.wsdl import Wsdl

CONFIG = {
    "developer_token": "BBD37VB98",
    "customer_id": "251",
    "account_id": "180",
    "client_id": "app-1",
    "client_secret": "ms-app-secret",
    "refresh_token": "M.R3-refresh-0",
}
EVERYTHING = {**CONFIG, "identifiers": ["email", "phone", "user_id"], "accept_terms": True}
BASE = "/CampaignManagement/v13"
KINDS = {subtype: kind for kind, subtype in SUBTYPES.items()}


class FakeMicrosoft(HttpVendor):
    """One ad account. Refresh tokens rotate, and older ones stay good; `codes` are said of keys, beside refusals."""

    def __init__(self) -> None:
        super().__init__()
        self.exchanged: list[str] = []
        self.token = "ms-access-1"
        self.lists: dict[int, str] = {}
        self.held: dict[str, set[str]] = {}
        self.codes: dict[str, int] = {}
        self.terms = True

    def members(self, audience: Audience) -> set[str]:
        return set(self.held[audience.ref])

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "login.microsoftonline.com":
            return self._exchange(parse_qs(request.content.decode()))
        told = {name: request.headers[name] for name in ("developertoken", "customerid", "customeraccountid")}
        assert told == {"developertoken": "BBD37VB98", "customerid": "251", "customeraccountid": "180"}
        if request.headers["authorization"] != f"Bearer {self.token}":
            return fault(109, status=401)
        body = json_body(request)
        match request.method, request.url.path.removeprefix(BASE):
            case "POST", "/Audiences/QueryByIds":
                assert body == {"Type": "CustomerList"}
                found = [{"Id": str(id), "Name": name, "Type": "CustomerList"} for id, name in self.lists.items()]
                return httpx.Response(200, json={"Audiences": found, "PartialErrors": []})
            case "POST", "/Audiences":
                [wanted] = body["Audiences"]
                return httpx.Response(
                    200, json={"AudienceIds": [str(self.make(wanted["Name"]))], "PartialErrors": None}
                )
            case "POST", "/CustomerListUserData/Apply":
                return self._apply(body["CustomerListUserData"])
        return httpx.Response(404, json={"Message": "no such resource"})

    def make(self, name: str) -> int:
        number = 810_000_000 + len(self.lists)
        self.lists[number], self.held[str(number)] = name, set()
        return number

    def _exchange(self, form: dict[str, list[str]]) -> httpx.Response:
        assert form["scope"] == ["https://ads.microsoft.com/msads.manage offline_access"]
        if form["client_secret"] != [CONFIG["client_secret"]] or not form["refresh_token"][0].startswith("M.R3-"):
            return httpx.Response(400, json={"error": "invalid_grant"})
        self.exchanged += form["refresh_token"]
        rotated = f"M.R3-refresh-{len(self.exchanged)}"
        return httpx.Response(200, json={"access_token": self.token, "expires_in": 3600, "refresh_token": rotated})

    def _apply(self, data: Any) -> httpx.Response:
        if not self.terms and not data.get("AcceptCustomerMatchTerm"):
            return fault(8003)
        held = self.held[data["AudienceId"]]
        failed = []
        for place, item in enumerate(data["CustomerListItems"]):
            key = f"{KINDS[data['CustomerListItemSubType']]}:{item}"
            code = self.codes.get(key, 8006 if key in self.refused else None)
            if code is not None:
                text = f"{item} {self.refused.get(key, '')}"
                failed.append({"Index": place, "Code": code, "ErrorCode": text, "Message": text, "Details": text})
            elif data["ActionType"] == "Add":
                held.add(key)
            else:
                held.discard(key)
        return httpx.Response(200, json={"PartialErrors": failed})


def fault(code: int, status: int = 400, of: str = "Errors") -> httpx.Response:
    told = {"Code": code, "ErrorCode": "ann@example.com", "Message": "about ann@example.com", "Detail": None}
    return httpx.Response(status, json={of: [told], "TrackingId": "8a1f", "Type": "AdApiFaultDetail"})


class TestMicrosoft(ThroughTheHub, HttpConnectorContract):
    connector = Microsoft
    config: ClassVar = CONFIG

    def make_vendor(self) -> FakeMicrosoft:
        return FakeMicrosoft()


class TestMicrosoftWithEveryIdentifier(ThroughTheHub, HttpConnectorContract):
    connector = Microsoft
    config: ClassVar = EVERYTHING

    def make_vendor(self) -> FakeMicrosoft:
        return FakeMicrosoft()


@asynccontextmanager
async def microsoft(**config: Any) -> AsyncIterator[tuple[Stage, FakeMicrosoft, Audience]]:
    vendor = FakeMicrosoft()
    async with staged(Microsoft, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(kind: str, value: str) -> Person:
    return Person("p1", f"{kind}:{value}")


def sent(stage: Stage) -> list[tuple[str, Any]]:
    asked = [one for one in stage.wire.requests if one.url.host == "campaign.api.bingads.microsoft.com"]
    return [(request.url.path.removeprefix(BASE), json_body(request)) for request in asked]


def applied(ref: str, action: str, subtype: str, *items: str) -> tuple[str, Any]:
    data = {"AudienceId": ref, "ActionType": action, "CustomerListItemSubType": subtype, "CustomerListItems": [*items]}
    return "/CustomerListUserData/Apply", {"CustomerListUserData": {**data, "AcceptCustomerMatchTerm": True}}


async def test_the_requests_of_a_run_hold_one_kind_of_identifier_each() -> None:
    async with microsoft(**EVERYTHING) as (stage, vendor, audience):
        await stage.connector.check()
        mixed = [person("user_id", "c-17"), person("email", "a1"), person("phone", "b2"), person("email", "c3")]
        await stage.connector.add(audience, mixed)
        await stage.connector.remove(audience, [person("email", "c3")])
        assert sent(stage) == [
            ("/Audiences/QueryByIds", {"Type": "CustomerList"}),
            ("/Audiences", {"Audiences": [{"Name": "vip", "Type": "CustomerList"}]}),
            ("/Audiences/QueryByIds", {"Type": "CustomerList"}),
            applied(audience.ref, "Add", "Email", "a1", "c3"),
            applied(audience.ref, "Add", "Phone", "b2"),
            applied(audience.ref, "Add", "CRM", "c-17"),
            applied(audience.ref, "Remove", "Email", "c3"),
        ]
        assert vendor.members(audience) == {"email:a1", "phone:b2", "user_id:c-17"}


async def test_every_request_is_as_the_vendor_describes_it() -> None:
    wsdl = Wsdl("microsoft-ads", "campaignmanagement_service.wsdl.xml")
    operations = {
        "/Audiences/QueryByIds": "GetAudiencesByIdsRequest",
        "/Audiences": "AddAudiencesRequest",
        "/CustomerListUserData/Apply": "ApplyCustomerListUserDataRequest",
    }
    for config in (EVERYTHING, CONFIG):
        async with microsoft(**config) as (stage, _, audience):
            await stage.connector.add(audience, [person(kind, "a1") for kind in SUBTYPES])
            await stage.connector.remove(audience, [person(kind, "a1") for kind in SUBTYPES])
            for path, body in sent(stage):
                wsdl.validate(operations[path], body)
            assert {path for path, _ in sent(stage)} == set(operations)
    for wrong in (
        {"CustomerListUserData": {"AudienceId": "1"}},
        {"CustomerListUserData": {**applied("1", "Put", "Email")[1]["CustomerListUserData"]}},
        {"CustomerListUserData": {**applied("x", "Add", "Email")[1]["CustomerListUserData"]}},
        {"CustomerListUserdata": {}},
    ):
        with pytest.raises(AssertionError):
            wsdl.validate("ApplyCustomerListUserDataRequest", wrong)


async def test_a_failure_is_told_by_its_place_in_the_request_and_by_its_code_alone() -> None:
    async with microsoft(identifiers=["email", "phone"]) as (stage, vendor, audience):
        vendor.refuse("phone:b2", "b2 of p1 is no number")
        vendor.codes = {"email:c3": 117, "email:d4": 0}
        people = [person("phone", "a1"), *(person("email", v) for v in ("a1", "c3", "d4")), person("phone", "b2")]
        result = await stage.connector.add(audience, people)
        assert result.outcomes == {
            "phone:b2": Outcome(OutcomeKind.REJECTED, "Microsoft says code 8006 of it"),
            "email:c3": Outcome(OutcomeKind.RETRY, "Microsoft says code 117 of it"),
            "email:d4": Outcome(OutcomeKind.RETRY, "Microsoft says code 0 of it"),
        }
        assert result.rest is OutcomeKind.ACCEPTED and vendor.members(audience) == {"email:a1", "phone:a1"}


@pytest.mark.parametrize("place", [None, -1, 2, 7])
async def test_a_failure_without_a_place_may_be_anybodys(place: int | None) -> None:
    async with microsoft() as (stage, _, audience):
        await stage.connector.check()
        body = json.dumps({"PartialErrors": [{"Index": 1, "Code": 8006}, {"Index": place, "Code": 8006}]}).encode()
        with stage.wire.answering(200, body):
            result = await stage.connector.add(audience, [person("email", "a1"), person("email", "b2")])
        assert (set(result.outcomes), result.rest) == ({"email:b2"}, OutcomeKind.UNKNOWN)


@pytest.mark.parametrize("of", ["Errors", "OperationErrors", "BatchErrors"])
@pytest.mark.parametrize(
    ("code", "status", "becomes", "check"),
    [
        (105, 400, AuthError, lambda e: "token" in e.reason),
        (109, 500, AuthError, lambda e: "lapsed" in e.reason),
        (106, 200, AuthError, lambda e: "may not" in e.reason),
        (8003, 400, AuthError, lambda e: "accept_terms" in e.reason),
        (117, 400, TransientError, lambda e: e.retry_after == 60),
        (207, 429, TransientError, lambda e: e.retry_after == 60),
        (0, 400, TransientError, lambda e: e.retry_after is None),
        (8001, 500, TransientError, lambda e: True),
        (8001, 401, AuthError, lambda e: True),
        (8001, 400, RefusedError, lambda e: e.divisible and "8001" in e.reason),
        (8001, 200, RefusedError, lambda e: e.divisible and "8001" in e.reason),
    ],
)
async def test_a_fault_is_told_by_its_code_and_its_text_is_never_repeated(
    of: str, code: int, status: int, becomes: Any, check: Any
) -> None:
    async with microsoft() as (stage, _, audience):
        await stage.connector.check()
        with stage.wire.bending(lambda *_: fault(code, status, of)), pytest.raises(becomes) as error:
            await stage.connector.add(audience, [person("email", "a1")])
        assert check(error.value) and "ann@" not in error.value.reason


async def test_terms_that_are_not_accepted_pause_the_destination_or_are_accepted_with_each_upload() -> None:
    async with microsoft() as (stage, vendor, audience):
        vendor.terms = False
        with pytest.raises(AuthError, match="8003"):
            await stage.connector.add(audience, [person("email", "a1")])
        vendor.terms, vendor.codes = True, {"email:a1": 8003}
        with pytest.raises(AuthError, match="8003"):
            await stage.connector.add(audience, [person("email", "a1")])
    async with microsoft(accept_terms=True) as (stage, vendor, audience):
        vendor.terms = False
        await stage.connector.add(audience, [person("email", "a1")])
        assert vendor.members(audience) == {"email:a1"}


async def test_the_newest_refresh_token_is_used_also_by_the_next_process() -> None:
    async with microsoft() as (stage, vendor, _):
        for number in (2, 3):
            vendor.token = f"ms-access-{number}"
            with pytest.raises(AuthError):
                await stage.connector.check()
            await stage.connector.check()
        stage.restart()
        await stage.connector.check()
        assert vendor.exchanged == ["M.R3-refresh-0", "M.R3-refresh-1", "M.R3-refresh-2", "M.R3-refresh-3"]


async def test_the_oldest_list_of_a_name_is_ours_and_one_that_was_not_made_is_no_audience() -> None:
    async with microsoft() as (stage, vendor, audience):
        vendor.make("vip")
        assert await stage.connector.ensure_audience("vip") == audience
        for code, error in ((8003, AuthError), (8001, RefusedError), (117, TransientError)):
            refusal = {"AudienceIds": [None], "PartialErrors": [{"Index": 0, "Code": code}]}
            with stage.wire.bending(at("/Audiences", refusal)), pytest.raises(error):
                await stage.connector.ensure_audience("new")
        nothing = at("/Audiences", {"AudienceIds": [None], "PartialErrors": []})
        with stage.wire.bending(nothing), pytest.raises(TransientError):
            await stage.connector.ensure_audience("new")


async def test_how_long_a_throttle_rests_is_configured() -> None:
    async with microsoft(throttle_rest_s=90) as (stage, _, audience):
        throttle = httpx.Response(400, json={"Errors": [{"Code": 117}]})
        with stage.wire.bending(lambda *_: throttle), pytest.raises(TransientError) as throttled:
            await stage.connector.add(audience, [person("email", "a1")])
        assert throttled.value.retry_after == 90


def at(path: str, body: Any) -> Any:
    return lambda request, _: httpx.Response(200, json=body) if request.url.path == BASE + path else None


def test_what_is_sent_and_how_it_is_spelled_can_be_configured() -> None:
    def limits(**config: Any) -> Any:
        return Microsoft(MicrosoftConfig.model_validate({**CONFIG, **config}), None).limits()  # type: ignore[arg-type]

    assert limits().identifiers == ("email",) and limits().spellings["email"] == "microsoft.email"
    able = limits(identifiers=["email", "user_id"], email_spelling="bare", batch=5000)
    assert (able.identifiers, able.batch, able.spellings["email"]) == (("email", "user_id"), 5000, "bare.email")


@pytest.mark.parametrize(
    "wrong",
    [
        {"identifiers": []},
        {"identifiers": ["email", "email"]},
        {"identifiers": ["ad_id"]},
        {"account_id": "x"},
        {"batch": 0},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MicrosoftConfig.model_validate({**CONFIG, **wrong})
