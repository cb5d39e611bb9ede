"""Directus against a fake that keeps one collection, and against the vendor's own description."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, ClassVar

import httpx
import pytest
from openapi_core import Config, OpenAPI
from pydantic import ValidationError

from connectors.directus import Directus, DirectusConfig
from hub.sdk import AuthError, Batch, Person, RefusedError, TransientError
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, HttpVendor, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.descriptions import Recorded, description
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {"url": "https://cms.example.com", "token": "directus-token-0123"}
ITEMS = "/items/cdp_membership"
COLUMNS = {"id", "person_key", "segment_key", "first_name", "orders"}


class FakeDirectus(HttpVendor):
    """One project with one collection, whose rows stand by their primary key. A request is one transaction."""

    def __init__(self, columns: set[str] | None = None) -> None:
        super().__init__()
        self.columns = COLUMNS if columns is None else columns
        self.rows: dict[str, dict[str, Any]] = {}
        self.longest = 255

    def members(self, audience: Audience) -> set[str]:
        return {row["person_key"] for row in self.rows.values() if row["segment_key"] == audience.ref}

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") != f"Bearer {CONFIG['token']}":
            return fault(401, "INVALID_CREDENTIALS", "Invalid user credentials.")
        if request.url.path == "/users/me":
            return httpx.Response(200, json={"data": {"id": "7", "email": "hub@cms.example.com"}})
        body, method = json_body(request), request.method
        if request.url.path == "/collections":
            return self._make(body)
        assert request.url.path == ITEMS
        if not self.columns or not self._asked(request, body) <= self.columns:
            return fault(403, "FORBIDDEN", 'You don\'t have permission to access collection "cdp_membership".')
        if method == "GET":
            return self._list(request.url.params)
        if method == "SEARCH":
            found = [row for row in self.rows.values() if self._meets(row, body["query"]["filter"])]
            return httpx.Response(200, json={"data": [{"id": row["id"]} for row in found[: body["query"]["limit"]]]})
        return self._delete(body["query"]) if method == "DELETE" else self._write(method, body)

    def _asked(self, request: httpx.Request, body: Any) -> set[str]:
        if request.method == "SEARCH":
            return set(body["query"]["fields"])
        return set(request.url.params.get("fields", "id").split(","))

    def _make(self, body: Any) -> httpx.Response:
        if self.columns:
            return fault(400, "INVALID_PAYLOAD", 'Collection "cdp_membership" already exists.')
        self.columns = {field["field"] for field in body["fields"]}
        return httpx.Response(200, json={"data": {"collection": body["collection"], "meta": body["meta"]}})

    def _meets(self, row: dict[str, Any], wanted: dict[str, Any]) -> bool:
        [(field, condition)] = wanted.items()
        [(operator, value)] = condition.items()
        return row[field] in value if operator == "_in" else row[field] == value

    def _list(self, params: httpx.QueryParams) -> httpx.Response:
        wanted = json.loads(params.get("filter", '{"id": {"_in": []}}'))
        found = [row for _, row in sorted(self.rows.items()) if self._meets(row, wanted)]
        start, limit = int(params.get("offset", 0)), int(params["limit"])
        rows = [{name: row[name] for name in params["fields"].split(",")} for row in found[start : start + limit]]
        counted = {"meta": {"filter_count": len(found)}} if params.get("meta") == "filter_count" else {}
        return httpx.Response(200, json={"data": rows, **counted})

    def _delete(self, query: Any) -> httpx.Response:
        # Without a limit of its own a query finds the first hundred.
        found = [key for key, row in self.rows.items() if self._meets(row, query["filter"])]
        for key in found if query.get("limit") == -1 else found[:100]:
            del self.rows[key]
        return httpx.Response(204)

    def _write(self, method: str, rows: Any) -> httpx.Response:
        written = dict(self.rows)
        for row in rows:
            if error := self._refusal(method, row, written):
                return error
            # An administrator's unknown fields are dropped without a word.
            known = {name: value for name, value in row.items() if name in self.columns}
            written[row["id"]] = {**written.get(row["id"], {}), **known}
        self.rows = written
        return httpx.Response(200, json={"data": [{"id": row["id"]} for row in rows]})

    def _refusal(self, method: str, row: dict[str, Any], rows: dict[str, Any]) -> httpx.Response | None:
        if row["person_key"] in self.refused:
            return fault(400, "FAILED_VALIDATION", self.refused[row["person_key"]])
        if method == "PATCH" and row["id"] not in rows:
            return fault(403, "FORBIDDEN", "You don't have permission to access this.")
        if method == "POST" and row["id"] in rows:
            return fault(400, "RECORD_NOT_UNIQUE", f"Value {row['id']} for field id has to be unique.")
        if any(isinstance(value, str) and len(value) > self.longest for value in row.values()):
            return fault(400, "VALUE_TOO_LONG", f"Value for {row['person_key']} is too long.")
        return None


def fault(status: int, code: str, message: str) -> httpx.Response:
    return httpx.Response(status, json={"errors": [{"message": message, "extensions": {"code": code}}]})


class TestDirectus(ThroughTheHub, HttpConnectorContract):
    connector = Directus
    config: ClassVar = CONFIG
    fields: ClassVar = {"first_name": "Annabella-Private", "orders": 12}

    def make_vendor(self) -> FakeDirectus:
        return FakeDirectus()


class TestDirectusThatKnowsPeopleByAddress(TestDirectus):
    config: ClassVar = {**CONFIG, "person": "email", "batch": 7}


@asynccontextmanager
async def directus(vendor: FakeDirectus | None = None, **config: Any) -> AsyncIterator[tuple[Stage, FakeDirectus]]:
    vendor = vendor or FakeDirectus()
    async with staged(Directus, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor


VIP = Audience("vip", ref="vip")
ANN_IN_VIP_AND_NEW = ["2bac9696-47a2-56bb-8246-2fcaa780fbaa", "56a434a0-2407-5c7d-a980-5ced7fb1a0c1"]


def person(name: str, **fields: Any) -> Person:
    return Person(name, name, fields)


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    return [(r.method, r.url.path, json_body(r)) for r in stage.wire.requests]


async def test_the_requests_of_a_run() -> None:
    async with directus() as (stage, _):
        await stage.connector.apply(VIP, Batch(add=[person("ann", orders=1), person("bob")]))
        await stage.connector.apply(VIP, Batch(add=[person("ann", orders=2, first_name=None)], remove=[person("bob")]))
        ann, bob = [row["id"] for row in sent(stage)[1][2]]
        asked = {"query": {"fields": ["id", "orders"], "filter": {"id": {"_in": [ann, bob]}}, "limit": 2}}
        known = ["id", "first_name", "orders"]
        again = {"query": {"fields": known, "filter": {"id": {"_in": [ann]}}, "limit": 1}}
        row = {"id": ann, "person_key": "ann", "segment_key": "vip"}
        assert sent(stage) == [
            ("SEARCH", ITEMS, asked),
            ("POST", ITEMS, [{**row, "orders": 1}, {"id": bob, "person_key": "bob", "segment_key": "vip"}]),
            ("SEARCH", ITEMS, again),
            ("PATCH", ITEMS, [{**row, "orders": 2, "first_name": None}]),
            ("DELETE", ITEMS, {"query": {"filter": {"id": {"_in": [bob]}}, "limit": -1}}),
        ]


async def test_a_row_is_known_by_its_person_and_audience_for_ever() -> None:
    """These ids are in customers' projects: with others, nobody would be found again."""
    async with directus() as (stage, vendor):
        await stage.connector.apply(VIP, Batch(add=[person("ann")]))
        await stage.connector.apply(Audience("new", ref="new"), Batch(add=[person("ann")]))
        assert sorted(vendor.rows) == ANN_IN_VIP_AND_NEW


async def test_somebody_who_was_added_meanwhile_is_found_in_the_halves() -> None:
    async with directus() as (stage, vendor):

        def as_if_nobody_were_there(request: httpx.Request, number: int) -> httpx.Response | None:
            return httpx.Response(200, json={"data": []}) if number == 2 else None

        with stage.wire.bending(as_if_nobody_were_there):
            await stage.connector.apply(VIP, Batch(add=[person("ann")]))
            outcomes = await stage.send(VIP, add=[person("ann", orders=2), person("bob")])
        assert {outcome.kind.value for outcome in outcomes.values()} == {"accepted"}
        assert vendor.members(VIP) == {"ann", "bob"}


@pytest.mark.parametrize("code", ["VALUE_TOO_LONG", "INVALID_FOREIGN_KEY", "CONTENT_TOO_LARGE"])
async def test_what_is_said_of_a_row_is_worth_halving_the_batch_for(code: str) -> None:
    async with directus() as (stage, _):
        said = fault(413 if code == "CONTENT_TOO_LARGE" else 400, code, "Value ann is bad")
        with stage.wire.answering(said.status_code, said.content), pytest.raises(RefusedError) as refusal:
            await stage.connector.apply(VIP, Batch(add=[person("ann")]))
        assert refusal.value.divisible and refusal.value.reason == f"cms.example.com answered {code}"


async def test_a_token_that_lapsed_pauses_the_destination_whatever_the_status() -> None:
    async with directus() as (stage, _):
        said = fault(400, "INVALID_TOKEN", "no")
        with stage.wire.answering(400, said.content), pytest.raises(AuthError):
            await stage.connector.check()


async def test_a_mapped_field_that_is_no_column_is_told_to_the_admin() -> None:
    async with directus() as (stage, vendor):
        with pytest.raises(AuthError, match="a mapped field is not there"):
            await stage.connector.apply(VIP, Batch(add=[person("ann", unheard_of=1)]))
        assert vendor.rows == {}


async def test_no_mapped_field_takes_the_place_of_the_hubs_own() -> None:
    async with directus() as (stage, vendor):
        await stage.connector.apply(VIP, Batch(add=[person("ann", id="x", person_key="x", segment_key="x")]))
        [(key, row)] = vendor.rows.items()
        assert row == {"id": key, "person_key": "ann", "segment_key": "vip"} and key != "x"


async def test_without_the_collection_the_admin_is_told_unless_it_may_be_made() -> None:
    async with directus(FakeDirectus(columns=set())) as (stage, vendor):
        with pytest.raises(AuthError, match="cdp_membership"):
            await stage.connector.ensure_audience("vip")
        assert not vendor.columns
    async with directus(FakeDirectus(columns=set()), create_collection=True) as (stage, vendor):
        audience = await stage.connector.ensure_audience("vip")
        await stage.send(audience, add=[person("ann")])
        assert vendor.columns == {"id", "person_key", "segment_key"} and vendor.members(audience) == {"ann"}
        assert await stage.connector.ensure_audience("vip") == audience


async def test_what_was_made_keeps_no_history_of_anybody() -> None:
    """Directus writes every change into its activity log unless told otherwise: an erasure would not reach it."""
    made = DirectusConfig.model_validate(CONFIG).definition()
    assert made["meta"]["accountability"] is None


async def test_names_of_the_collection_and_its_fields_are_the_admins() -> None:
    names = {"collection": "kreis", "id_field": "nr", "person_field": "wer", "segment_field": "was"}
    async with directus(**names) as (stage, _):

        def bend(request: httpx.Request, _: int) -> httpx.Response:
            if request.method == "DELETE":
                return httpx.Response(204)
            rows = json_body(request) if request.method == "POST" else []
            return httpx.Response(200, json={"data": [{"nr": row["nr"]} for row in rows]})

        with stage.wire.bending(bend):
            await stage.connector.apply(VIP, Batch(add=[person("ann")], remove=[person("bob")]))
            await stage.connector.erase([person("cem")])
        [_, posted, removed, erased] = sent(stage)
        assert posted[1] == "/items/kreis" and {**posted[2][0], "nr": ""} == {"nr": "", "wer": "ann", "was": "vip"}
        assert removed[2]["query"]["filter"].keys() == {"nr"}
        assert erased[2] == {"query": {"filter": {"wer": {"_in": ["cem"]}}, "limit": -1}}
    with pytest.raises(ValidationError):
        DirectusConfig.model_validate({**CONFIG, "person_field": "id"})


async def test_a_write_that_names_fewer_rows_than_were_sent_is_no_success() -> None:
    async with directus() as (stage, _):
        with stage.wire.answering(200, b'{"data": []}'), pytest.raises(TransientError):
            await stage.connector.apply(VIP, Batch(add=[person("ann")]))


@cache
def api() -> OpenAPI:
    spec = description("directus", "openapi-oas.json")
    spec["servers"] = [{"url": CONFIG["url"]}]
    # The bodies are described with their rows under `data`; Directus takes the bare array, as its own client sends it.
    rows = {"type": "array", "items": {"type": "object"}}
    for method in ("post", "patch"):
        spec["paths"]["/items/{collection}"][method]["requestBody"]["content"]["application/json"]["schema"] = rows
    return OpenAPI.from_dict(spec, config=Config(spec_validator_cls=None))  # type: ignore[arg-type]


async def test_every_request_is_as_the_vendor_describes_it() -> None:
    described = api()
    async with directus(FakeDirectus(columns=set()), create_collection=True) as (stage, vendor):
        await stage.connector.check()
        audience = await stage.connector.ensure_audience("vip")
        vendor.columns = COLUMNS
        await stage.send(audience, add=[person("ann", orders=1)])
        await stage.send(audience, add=[person("ann", orders=2)], remove=[person("bob")])
        assert [key async for key in stage.connector.members(audience)] == ["ann"]
        await stage.connector.erase([person("ann")])
        requests = list(stage.wire.requests)
    # OpenAPI 3.0 cannot describe SEARCH.
    described_ones = [request for request in requests if request.method != "SEARCH"]
    for request in described_ones:
        described.validate_request(Recorded(request))  # type: ignore[arg-type]
    assert {request.method for request in described_ones} == {"GET", "POST", "PATCH", "DELETE"}
