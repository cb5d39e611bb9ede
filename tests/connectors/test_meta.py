"""Meta against a fake that keeps audiences, hashes and sessions, and against the vendor's own description."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.meta import Meta, MetaConfig
from hub.sdk import AuthError, Batch, OutcomeKind, Person, RefusedError, TransientError
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, HttpVendor, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.descriptions import description
from tests.connectors.through_the_hub import ThroughTheHub
from tests.core.limits.test_limiter import sender

CONFIG = {"access_token": "EAAB-system-user-token", "ad_account_id": "act_1234567890"}
ACCOUNT = "/v25.0/act_1234567890"
KINDS = {"EMAIL": "email", "PHONE": "phone", "MADID": "ad_id"}
FIELDS = {"FN": "Annabella", "CT": "Berlin"}
ANN, BOB = (hashlib.sha256(f"{name}@example.com".encode()).hexdigest() for name in ("ann", "bob"))


class FakeMeta(HttpVendor):
    """One ad account. Names need not be unique, lists come 25 at a time, and who is invalid is not said."""

    def __init__(self) -> None:
        super().__init__()
        self.audiences: dict[str, dict[str, Any]] = {}
        self.closed: set[tuple[str, str, int]] = set()
        self.rows: list[dict[str, Any]] = []
        self.secret = ""

    def members(self, audience: Audience) -> set[str]:
        return set(self.audiences[audience.ref]["members"])

    def make(self, name: str, subtype: str = "CUSTOM") -> str:
        number = str(23850000000000000 + len(self.audiences))
        self.audiences[number] = {"id": number, "name": name, "subtype": subtype, "members": set()}
        return number

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.headers["authorization"] != f"Bearer {CONFIG['access_token']}":
            return graph(401, 190)
        if request.url.params.get("appsecret_proof", "") != self._proof():
            return graph(400, 100)
        match request.method, request.url.path.removeprefix(ACCOUNT):
            case "GET", "":
                return httpx.Response(200, json={"id": "act_1234567890", "name": "Shop"})
            case "GET", "/customaudiences":
                return self._list(request)
            case "POST", "/customaudiences":
                return httpx.Response(200, json={"id": self.make(json_body(request)["name"])})
            case "DELETE", "/usersofanyaudience":
                return self._erase(json_body(request))
        ref = re.fullmatch(r"/v25\.0/(\d+)/users", request.url.path)
        if not ref or ref[1] not in self.audiences:
            return graph(400, 100, 33)
        return self._change(request.method, self.audiences[ref[1]], json_body(request))

    def _proof(self) -> str:
        token = str(CONFIG["access_token"]).encode()
        return hmac.new(self.secret.encode(), token, hashlib.sha256).hexdigest() if self.secret else ""

    def _list(self, request: httpx.Request) -> httpx.Response:
        start, everyone = int(request.url.params.get("after", 0)), list(self.audiences.values())[::-1]
        shown = [{name: one[name] for name in ("id", "name", "subtype")} for one in everyone[start : start + 25]]
        paging: dict[str, Any] = {"cursors": {"before": str(start), "after": str(start + 25)}}
        if start + 25 < len(everyone):
            paging["next"] = f"https://graph.facebook.com/next?access_token={CONFIG['access_token']}"
        return httpx.Response(200, json={"data": shown, "paging": paging})

    def _change(self, method: str, audience: dict[str, Any], body: Any) -> httpx.Response:
        session = body["session"]
        assert 0 < session["session_id"] < 2**63 and session["last_batch_flag"] and session["batch_seq"] == 1
        rows = list(self._read(body["payload"]))
        if len(rows) > 10_000:
            return graph(400, 100)
        keys = [key for key in rows if key not in self.refused]
        audience["members"] = audience["members"] | {*keys} if method == "POST" else audience["members"] - {*keys}
        return httpx.Response(
            200,
            json={
                "audience_id": audience["id"],
                "session_id": str(session["session_id"]),
                "num_received": len(rows),
                "num_invalid_entries": len(rows) - len(keys),
                "invalid_entry_samples": {},
            },
        )

    def _read(self, payload: Any) -> Any:
        schema = payload["schema"]
        for cells in payload["data"]:
            row = dict(zip(schema, cells, strict=True))
            self.rows.append(row)
            for column in KINDS.keys() & row.keys():
                if row[column]:
                    yield f"{KINDS[column]}:{row[column]}"

    def _erase(self, body: Any) -> httpx.Response:
        keys = set(self._read(body["payload"]))
        for audience in self.audiences.values():
            audience["members"] = audience["members"] - keys
        return httpx.Response(200, json={"success": True})


def graph(status: int, code: int, subcode: int = 0, **more: Any) -> httpx.Response:
    fault = {"message": "said of ann@example.com", "type": "OAuthException", "code": code, "error_subcode": subcode}
    return httpx.Response(status, json={"error": {**fault, "fbtrace_id": "A1", **more}})


class TestMeta(ThroughTheHub, HttpConnectorContract):
    connector = Meta
    config: ClassVar = CONFIG
    fields: ClassVar = FIELDS
    refuses_people = False

    def make_vendor(self) -> FakeMeta:
        return FakeMeta()


@asynccontextmanager
async def meta(**config: Any) -> AsyncIterator[tuple[Stage, FakeMeta, Audience]]:
    vendor = FakeMeta()
    vendor.secret = config.get("app_secret", "")
    async with staged(Meta, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(kind: str, value: str, signals: dict[str, bool] | None = None, **fields: Any) -> Person:
    return Person("p1", f"{kind}:{value}", fields, signals or {})


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    return [(r.method, r.url.raw_path.decode(), json_body(r)) for r in stage.wire.requests]


async def test_the_requests_of_a_run() -> None:
    async with meta() as (stage, _, audience):
        await stage.connector.check()
        add = [person("email", ANN, FN="f1", CT=""), person("phone", "9f86", FN=None), person("ad_id", "6d92-e7dc")]
        result = await stage.connector.apply(audience, Batch(add=add, remove=[person("email", BOB)], run="r1"))
        assert (result.outcomes, result.rest, result.invalid) == ({}, OutcomeKind.ACCEPTED, 0)
        requests = sent(stage)
        for _, _, body in requests[-2:]:
            assert isinstance(body["session"].pop("session_id"), int)
        assert requests == [
            ("GET", f"{ACCOUNT}/customaudiences?fields=id%2Cname%2Csubtype&limit=200", None),
            ("POST", f"{ACCOUNT}/customaudiences",
             {"name": "vip", "subtype": "CUSTOM", "customer_file_source": "USER_PROVIDED_ONLY"}),
            ("GET", f"{ACCOUNT}?fields=id%2Cname", None),
            ("POST", "/v25.0/23850000000000000/users", {
                "payload": {
                    "schema": ["EMAIL", "PHONE", "MADID", "FN", "CT"],
                    "data": [[ANN, "", "", "f1", ""], ["", "9f86", "", "", ""], ["", "", "6d92-e7dc", "", ""]],
                },
                "session": {"batch_seq": 1, "last_batch_flag": True, "estimated_num_total": 3},
            }),
            ("DELETE", "/v25.0/23850000000000000/users", {
                "payload": {"schema": ["EMAIL"], "data": [[BOB]]},
                "session": {"batch_seq": 1, "last_batch_flag": True, "estimated_num_total": 1},
            }),
        ]  # fmt: skip


async def test_every_request_is_as_the_vendor_describes_it() -> None:
    async with meta(app_secret="app-secret-1", customer_consent=True) as (stage, _, audience):
        await stage.connector.check()
        await stage.connector.apply(audience, Batch(add=[person("email", ANN)], remove=[person("email", BOB)], run="r"))
        await stage.connector.erase([person("email", ANN)])
        described = {described_as(request) for request in stage.wire.requests}
    assert described == {
        ("AdAccount", "GET", "#get"),
        ("AdAccount", "GET", "customaudiences"),
        ("AdAccount", "POST", "customaudiences"),
        ("AdAccount", "DELETE", "usersofanyaudience"),
        ("CustomAudience", "POST", "users"),
        ("CustomAudience", "DELETE", "users"),
    }


# What the SDK's description leaves out: paging and proof go with every edge, and the guide shows customer_consent.
EVERYWHERE = {"fields", "limit", "after", "appsecret_proof", "customer_consent"}


def described_as(request: httpx.Request) -> tuple[str, str, str]:
    """The node, method and edge in Meta's own SDK; raises where a parameter is not among the edge's."""
    _, _, node, *edge = request.url.path.split("/")
    file = "AdAccount" if node.startswith("act_") else "CustomAudience"
    wanted = edge[0] if edge else "#get"
    [api] = [
        api
        for api in description("meta", f"{file}.json")["apis"]
        if api["method"] == request.method and wanted in (api.get("endpoint"), api.get("name"))
    ]
    kinds = {param["name"]: param["type"] for param in api["params"]}
    body = json_body(request) or {}
    assert {*request.url.params, *body} <= kinds.keys() | EVERYWHERE
    for name in body.keys() & kinds.keys():
        assert isinstance(body[name], dict if kinds[name] == "Object" else str), f"{name} is no {kinds[name]}"
    assert {param["name"] for param in api["params"] if param.get("required")} <= body.keys()
    return file, request.method, wanted


async def test_who_has_not_agreed_to_more_is_sent_for_limited_data_use() -> None:
    async with meta() as (stage, vendor, audience):
        told = [
            person("email", "a", {"data_processing": True}),
            person("email", "b", {"data_processing": False}),
            person("email", "c"),
        ]
        await stage.connector.apply(audience, Batch(add=told, run="r"))
        assert {row["EMAIL"]: row["DATA_PROCESSING_OPTIONS"] for row in vendor.rows} == {
            "a": [], "b": ["LDU"], "c": ["LDU"]
        }  # fmt: skip


async def test_without_the_signal_nothing_is_said_of_data_processing() -> None:
    async with meta() as (stage, vendor, audience):
        await stage.connector.apply(audience, Batch(add=[person("email", ANN)], run="r"))
        assert vendor.rows == [{"EMAIL": ANN}]


async def test_invalid_rows_are_counted_and_never_guessed_onto_people() -> None:
    async with meta() as (stage, vendor, audience):
        vendor.refuse(f"email:{BOB}", "invalid")
        result = await stage.connector.apply(audience, Batch(add=[person("email", ANN), person("email", BOB)], run="r"))
        assert (result.outcomes, result.rest, result.invalid) == ({}, OutcomeKind.ACCEPTED, 1)


async def test_fewer_rows_than_were_sent_leave_everybody_unknown() -> None:
    answer = {"audience_id": "1", "num_received": 1, "num_invalid_entries": 0}
    async with meta() as (stage, _, audience):
        with stage.wire.answering(200, json.dumps(answer).encode()):
            batch = Batch(add=[person("email", ANN), person("email", BOB)], run="r")
            assert (await stage.connector.apply(audience, batch)).rest is OutcomeKind.UNKNOWN


async def test_the_same_batch_keeps_its_session_and_another_run_has_another() -> None:
    async with meta() as (stage, _, audience):
        for run in ("r1", "r1", "r2"):
            await stage.connector.apply(audience, Batch(add=[person("email", ANN)], run=run))
        first, again, other = [body["session"]["session_id"] for _, _, body in sent(stage)[-3:]]
        assert first == again != other


async def test_a_column_that_meta_does_not_have_is_refused_before_anything_is_sent() -> None:
    async with meta() as (stage, _, audience):
        before = len(stage.wire.requests)
        with pytest.raises(RefusedError, match=r"FIRSTNAME.*it has FN") as refusal:
            await stage.connector.apply(audience, Batch(add=[person("email", ANN, FIRSTNAME="x")], run="r"))
        assert not refusal.value.divisible and len(stage.wire.requests) == before


async def test_an_audience_is_found_on_any_page_and_the_oldest_of_a_name_is_ours() -> None:
    async with meta() as (stage, vendor, audience):
        for number in range(60):
            vendor.make(f"other {number}")
        vendor.make("vip"), vendor.make("vip", subtype="LOOKALIKE")
        assert await stage.connector.ensure_audience("vip") == audience
        assert not [r for r in stage.wire.requests if CONFIG["access_token"] in str(r.url)], "no page by its address"


async def test_a_name_that_only_another_kind_of_audience_has_is_made_anew() -> None:
    async with meta() as (stage, vendor, _):
        lookalike = vendor.make("lovers", subtype="LOOKALIKE")
        assert (await stage.connector.ensure_audience("lovers")).ref != lookalike


async def test_the_proof_of_the_apps_secret_goes_along_and_the_secret_does_not() -> None:
    async with meta(app_secret="app-secret-1") as (stage, _, audience):
        await stage.connector.check()
        await stage.connector.apply(audience, Batch(add=[person("email", ANN)], run="r"))
        assert all("appsecret_proof" in r.url.params for r in stage.wire.requests)
        assert not [r for r in stage.wire.requests if "app-secret-1" in f"{r.url} {r.headers} {r.content!r}"]


async def test_erasing_takes_people_out_of_every_audience_of_the_account() -> None:
    async with meta() as (stage, vendor, audience):
        other = Audience("other", vendor.make("other"))
        for one in (audience, other):
            await stage.connector.apply(one, Batch(add=[person("email", ANN), person("email", BOB)], run="r"))
        await stage.connector.erase([person("email", ANN)])
        assert vendor.members(audience) == vendor.members(other) == {f"email:{BOB}"}


@pytest.mark.parametrize(
    ("status", "code", "subcode", "becomes", "check"),
    [
        (400, 17, 2446079, TransientError, lambda e: e.retry_after == 300),
        (403, 4, 0, TransientError, lambda e: e.retry_after == 300),
        (400, 80003, 2446079, TransientError, lambda e: e.retry_after == 300),
        (400, 613, 0, TransientError, lambda e: e.retry_after == 300),
        (500, 2, 0, TransientError, lambda e: e.retry_after is None),
        (400, 1, 99, TransientError, lambda e: True),
        (200, 2, 0, TransientError, lambda e: True),
        (400, 190, 463, AuthError, lambda e: "token" in e.reason),
        (400, 200, 0, AuthError, lambda e: "permission" in e.reason),
        (400, 2663, 0, AuthError, lambda e: "terms" in e.reason),
        (400, 100, 33, AuthError, lambda e: "gone" in e.reason),
        (400, 100, 1713230, AuthError, lambda e: "blocked" in e.reason),
        (400, 2650, 1487366, AuthError, lambda e: "deleted" in e.reason),
        (400, 100, 0, RefusedError, lambda e: e.divisible),
        (400, 2650, 0, RefusedError, lambda e: e.divisible),
        (403, 987654, 0, AuthError, lambda e: True),
        (200, 987654, 0, TransientError, lambda e: True),
    ],
)
async def test_an_error_is_told_by_its_code_and_not_by_its_status(
    status: int, code: int, subcode: int, becomes: type[Exception], check: Callable[[Any], bool]
) -> None:
    async with meta() as (stage, _, audience):
        with stage.wire.bending(lambda *_: graph(status, code, subcode)), pytest.raises(becomes) as error:
            await stage.connector.apply(audience, Batch(add=[person("email", ANN)], run="r"))
        assert check(error.value) and "ann@" not in str(error.value)


async def test_what_meta_calls_transient_is_tried_again_whatever_its_code() -> None:
    async with meta() as (stage, _, audience):
        with stage.wire.bending(lambda *_: graph(400, 99999, is_transient=True)), pytest.raises(TransientError):
            await stage.connector.apply(audience, Batch(add=[person("email", ANN)], run="r"))


def test_every_field_meta_takes_has_its_spelling_and_the_versions_hold_the_default() -> None:
    spellings = Meta.capabilities.spellings
    assert {*Meta.capabilities.identifiers} < {*spellings} and all(
        name.startswith("meta.") for name in spellings.values()
    )
    default = MetaConfig.model_validate(CONFIG).api_version
    assert default in [version.name for version in Meta.versions]


@pytest.mark.parametrize("account", ["", "act_", "12/34", "act_12?x=1", "abc"])
def test_an_ad_account_is_a_number(account: str) -> None:
    with pytest.raises(ValidationError):
        MetaConfig.model_validate({**CONFIG, "ad_account_id": account})
    assert MetaConfig.model_validate({**CONFIG, "ad_account_id": "77"}).account == "act_77"


def test_the_hub_rests_for_as_long_as_meta_says_when_the_allowance_is_nearly_used() -> None:
    told = {"type": "custom_audience", "call_count": 97, "estimated_time_to_regain_access": 12}
    one = sender(*Meta.capabilities.limits)
    one.hear(x_business_use_case_usage=json.dumps({"1234567890": [told]}))
    assert one.send() == pytest.approx(720, abs=1)
