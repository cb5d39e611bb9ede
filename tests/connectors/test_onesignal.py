"""OneSignal against a fake that keeps users, tags and segments, and against the vendor's own description."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, ClassVar
from urllib.parse import unquote

import httpx
import pytest
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

from connectors.onesignal import OneSignal
from hub.sdk import Batch, Outcome, OutcomeKind, Person, TransientError
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, HttpVendor, Stage, json_body
from hub.sdk.testing.corpus import NOT_JSON_OBJECTS
from hub.sdk.testing.stage import staged
from tests.connectors.descriptions import closed, description

APP = "d5d4d1a8-1c9e-42fb-b3f2-56d3a5a9a8b7"
CONFIG = {"app_id": APP, "api_key": "os_v2_app_secret0123456789"}


class FakeOneSignal(HttpVendor):
    """One app: `subscriptions` are its users."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, dict[str, str]] = {}
        self.segments: list[dict[str, Any]] = []

    def members(self, audience: Audience) -> set[str]:
        return {key for key, tags in self.tags.items() if tags.get(audience.ref) == "1"}

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "api.onesignal.com"
        if request.headers["authorization"] != f"Key {CONFIG['api_key']}":
            return httpx.Response(401, json={"errors": ["no"]})
        path = request.url.raw_path.decode().partition("?")[0].removeprefix(f"/apps/{APP}")
        if match := re.fullmatch(r"/users/by/external_id/([^/]+)", path):
            return self._user(request, unquote(match[1]))
        assert path == "/segments"
        return self._list(request) if request.method == "GET" else self._define(json_body(request))

    def _user(self, request: httpx.Request, key: str) -> httpx.Response:
        if key not in self.subscriptions or key in self.refused:
            return httpx.Response(404, json={"errors": [{"title": f"User {key} not found"}]})
        if request.method == "DELETE":
            del self.subscriptions[key]
            self.tags.pop(key, None)
            return httpx.Response(200, json={"identity": {"external_id": key}})
        tags = json_body(request)["properties"]["tags"]
        held = {**self.tags.get(key, {}), **tags}
        self.tags[key] = {name: value for name, value in held.items() if value != ""}
        return httpx.Response(202, json={"properties": {"tags": tags}})

    def _list(self, request: httpx.Request) -> httpx.Response:
        start, limit = int(request.url.params.get("offset", 0)), int(request.url.params["limit"])
        assert limit <= 300
        return httpx.Response(200, json={"segments": self.segments[start : start + limit], "offset": start})

    def _define(self, body: Any) -> httpx.Response:
        if any(segment["name"] == body["name"] for segment in self.segments):
            return httpx.Response(409, json={"errors": ["Segment already exists"]})
        self.segments.append({"id": str(len(self.segments)), **body})
        return httpx.Response(201, json={"success": True, "id": self.segments[-1]["id"]})


class TestOneSignal(HttpConnectorContract):
    connector = OneSignal
    config: ClassVar = CONFIG
    fields: ClassVar = {"first_name": "Annabella-Private", "orders": 12}
    # A change is answered with an object that repeats it, or with an empty one.
    garbage = NOT_JSON_OBJECTS

    def make_vendor(self) -> FakeOneSignal:
        return FakeOneSignal()


@asynccontextmanager
async def onesignal(**config: Any) -> AsyncIterator[tuple[Stage, FakeOneSignal, Audience]]:
    vendor = FakeOneSignal()
    async with staged(OneSignal, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(name: str, **fields: Any) -> Person:
    return Person(name, name, fields)


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    return [(r.method, r.url.raw_path.decode(), json_body(r)) for r in stage.wire.requests]


async def test_the_requests_of_a_run() -> None:
    async with onesignal() as (stage, vendor, audience):
        vendor.know("a/b ä")
        added = Batch(add=[person("a/b ä", city="Köln", vip=True, orders=3, tags=["x", "y"], gone=None)])
        await stage.connector.apply(audience, added)
        await stage.connector.apply(audience, Batch(remove=[person("a/b ä")]))
        user = f"/apps/{APP}/users/by/external_id/a%2Fb%20%C3%A4"
        filters = [{"field": "tag", "key": "seg_vip", "relation": "=", "value": "1"}]
        tags = {"city": "Köln", "vip": "true", "orders": "3", "tags": "x,y", "gone": "", "seg_vip": "1"}
        assert sent(stage) == [
            ("GET", f"/apps/{APP}/segments?limit=300&offset=0", None),
            ("POST", f"/apps/{APP}/segments", {"name": "vip", "filters": filters}),
            ("PATCH", user, {"properties": {"tags": tags}}),
            ("PATCH", user, {"properties": {"tags": {"seg_vip": ""}}}),
        ]


async def test_an_unknown_user_is_rejected_on_adding_and_already_gone_on_removing() -> None:
    async with onesignal() as (stage, _, audience):
        added = await stage.connector.apply(audience, Batch(add=[person("x")]))
        removed = await stage.connector.apply(audience, Batch(remove=[person("x")]))
        assert added.outcomes == {"x": Outcome(OutcomeKind.REJECTED, "no such user in this app")}
        assert removed.outcomes == {"x": Outcome(OutcomeKind.NOOP)}


async def test_a_user_changed_elsewhere_is_tried_again() -> None:
    async with onesignal() as (stage, _, audience):
        with stage.wire.answering(409), pytest.raises(TransientError):
            await stage.connector.apply(audience, Batch(add=[person("x")]))


async def test_an_acceptance_with_errors_is_unknown() -> None:
    async with onesignal() as (stage, _, audience):
        with stage.wire.answering(202, b'{"errors": ["tag limit"]}'):
            result = await stage.connector.apply(audience, Batch(add=[person("x")]))
        assert result.outcomes["x"].kind is OutcomeKind.UNKNOWN


async def test_an_erasure_with_errors_is_unknown() -> None:
    async with onesignal() as (stage, _, _audience):
        with stage.wire.answering(200, b'{"errors": ["busy"]}'):
            result = await stage.connector.erase([person("x")])
        assert result.outcomes["x"].kind is OutcomeKind.UNKNOWN


@pytest.mark.parametrize("body", [b"", b"{}", b'{"success": false}', b"<html>sign in</html>"])
async def test_a_segment_that_was_not_defined_is_no_audience(body: bytes) -> None:
    async with onesignal() as (stage, _, _audience):

        def bend(request: httpx.Request, _: int) -> httpx.Response | None:
            return httpx.Response(201, content=body) if request.method == "POST" else None

        with stage.wire.bending(bend), pytest.raises(TransientError):
            await stage.connector.ensure_audience("another")


async def test_a_segment_that_somebody_else_defines_meanwhile_is_adopted() -> None:
    async with onesignal() as (stage, vendor, audience):
        vendor.segments.clear()
        real = vendor._define

        def first_somebody_else(body: Any) -> httpx.Response:
            real(body)
            return real(body)

        vendor._define = first_somebody_else  # type: ignore[method-assign]
        assert await stage.connector.ensure_audience("vip") == audience


async def test_segments_are_found_page_by_page_and_need_not_be_defined() -> None:
    async with onesignal() as (stage, vendor, _):
        vendor.segments = [{"id": str(number), "name": f"s{number}"} for number in range(700)]
        await stage.connector.ensure_audience("s650")
        assert len(vendor.segments) == 700
    async with onesignal(define_segments=False) as (stage, vendor, audience):
        assert audience.ref == "seg_vip" and not stage.wire.requests


async def test_the_old_kind_of_key_is_sent_as_basic() -> None:
    async with onesignal(auth_scheme="Basic", define_segments=False) as (stage, _, _audience):
        with stage.wire.answering(200, b'{"segments": []}'):
            await stage.connector.check()
        assert stage.wire.requests[-1].headers["authorization"] == f"Basic {CONFIG['api_key']}"


class Recorded:
    """A recorded request in openapi-core's own terms."""

    def __init__(self, request: httpx.Request) -> None:
        self.host_url = f"{request.url.scheme}://{request.url.host}"
        self.path = request.url.raw_path.decode().partition("?")[0]
        self.method = request.method.lower()
        self.body = request.content or None
        self.content_type = request.headers.get("content-type", "")
        query = ImmutableMultiDict(request.url.params.multi_items())
        self.parameters = RequestParameters(query=query, header=Headers(dict(request.headers)), cookie={}, path={})


@cache
def api() -> OpenAPI:
    spec = description("onesignal", "openapi.yaml")
    for path in spec["paths"].values():
        for operation in path.values():
            # The key travels as `Authorization: Key …`, which the description calls http bearer.
            operation.pop("security", None)
    # Closed, because its filters and operators are alternatives that any open object satisfies both of.
    schemas = {name: closed(schema) for name, schema in spec["components"]["schemas"].items()}
    spec["components"]["schemas"] = schemas
    return OpenAPI.from_dict(spec, config=Config(spec_validator_cls=None))  # type: ignore[arg-type]


async def test_every_request_is_as_the_vendor_describes_it() -> None:
    described = api()
    async with onesignal() as (stage, vendor, audience):
        vendor.know("ann")
        await stage.connector.check()
        await stage.connector.apply(audience, Batch(add=[person("ann", city="Bonn")]))
        await stage.connector.apply(audience, Batch(remove=[person("ann")]))
        await stage.connector.erase([person("ann")])
        requests = list(stage.wire.requests)
    for request in requests:
        described.validate_request(Recorded(request))  # type: ignore[arg-type]
    assert {request.method for request in requests} == {"GET", "POST", "PATCH", "DELETE"}
