"""Unleash against a fake that keeps segments; tests/real holds it against a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.unleash import SEGMENTS, Unleash, UnleashConfig
from hub.sdk import Audience, AuthError, Batch, Outcome, OutcomeKind, Person, RefusedError, TransientError
from hub.sdk.testing import HttpConnectorContract, HttpVendor, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {"url": "https://flags.example.com/", "token": "user:0123456789abcdef"}
NOBODY = "nobody (kept by the audience hub)"


class FakeUnleash(HttpVendor):
    """Segments by their numbers, as 8.2 keeps them. `most` is what all constraints of one may list together."""

    def __init__(self, most: int = 5000) -> None:
        super().__init__()
        self.segments: dict[int, dict[str, Any]] = {}
        self.most = most
        self.hidden: set[str] = set()

    def members(self, audience: Audience) -> set[str]:
        return set(self.segments[int(audience.ref)]["constraints"][0]["values"]) - {NOBODY}

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") != CONFIG["token"]:
            return problem(401, "You must log in to use Unleash.")
        if request.url.path == "/api/admin/ui-config":
            return httpx.Response(200, json={"version": "8.2.0", "resourceLimits": {"segmentValues": self.most}})
        method, ref = request.method, request.url.path.removeprefix(SEGMENTS).removeprefix("/")
        if not ref:
            return self._make(json_body(request)) if method == "POST" else self._list()
        if int(ref) not in self.segments:
            return problem(404, f'No segment exists with ID "{ref}"')
        if method == "GET":
            return httpx.Response(200, json=self.segments[int(ref)])
        return self._update(self.segments[int(ref)], json_body(request))

    def segment(self, name: str, *constraints: dict[str, Any], **more: Any) -> int:
        number = len(self.segments) + 1
        self.segments[number] = {"id": number, "name": name, "constraints": list(constraints), **more}
        return number

    def _list(self) -> httpx.Response:
        seen = [{**one, "usedInFeatures": 0} for one in self.segments.values() if one["name"] not in self.hidden]
        return httpx.Response(200, json={"segments": seen})

    def _make(self, wanted: dict[str, Any]) -> httpx.Response:
        if any(one["name"] == wanted["name"] for one in self.segments.values()):
            return problem(409, "Segment name already exists")
        if refusal := self._refusal(wanted):
            return refusal
        more = {name: value for name, value in wanted.items() if name not in {"name", "constraints"}}
        return httpx.Response(201, json=self.segments[self.segment(wanted["name"], *wanted["constraints"], **more)])

    def _update(self, segment: dict[str, Any], wanted: dict[str, Any]) -> httpx.Response:
        if refusal := self._refusal(wanted):
            return refusal
        # What an update does not name is no more.
        segment.update({"project": None, **wanted})
        return httpx.Response(204)

    def _refusal(self, wanted: dict[str, Any]) -> httpx.Response | None:
        values = [value for one in wanted["constraints"] for value in one["values"]]
        if any(not one["values"] for one in wanted["constraints"]):
            return problem(400, '"value" must contain at least 1 items. You provided [].')
        if bad := next((value for value in values if len(value) > 100 or value in self.refused), None):
            return problem(400, f'"constraints[0].values[0]" is not taken. You provided "{bad}".')
        if len(values) > self.most:
            return problem(400, f"Segments may not have more than {self.most} values")
        return None


def problem(status: int, message: str) -> httpx.Response:
    return httpx.Response(status, json={"name": "BadDataError", "message": message, "details": [{"message": message}]})


def constraint(*values: str, context: str = "userId", **more: Any) -> dict[str, Any]:
    return {"contextName": context, "operator": "IN", "values": list(values), **more}


class TestUnleash(ThroughTheHub, HttpConnectorContract):
    connector = Unleash
    # More than the kit's crowd.
    config: ClassVar = {**CONFIG, "values_limit": 5000}

    def make_vendor(self) -> FakeUnleash:
        return FakeUnleash()


@asynccontextmanager
async def unleash(most: int = 1000, **config: Any) -> AsyncIterator[tuple[Stage, FakeUnleash]]:
    vendor = FakeUnleash(most)
    async with staged(Unleash, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor


def people(*names: str, **fields: Any) -> list[Person]:
    return [Person(name, name, fields) for name in names]


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    return [(r.method, str(r.url).removeprefix("https://flags.example.com"), json_body(r)) for r in stage.wire.requests]


def test_a_segment_is_read_changed_and_written_by_one_call_at_a_time() -> None:
    assert Unleash.capabilities.concurrency == 1


async def test_the_requests_of_a_run() -> None:
    async with unleash(project="web") as (stage, _):
        await stage.connector.check()
        audience = await stage.connector.ensure_audience("vip")
        await stage.connector.apply(audience, Batch(add=people("ann", "bob"), remove=people("cem")))
        await stage.connector.members_page(audience)
        whole = {"name": "vip", "description": "An audience of the hub", "project": "web"}
        assert sent(stage) == [
            ("GET", "/api/admin/ui-config", None),
            ("GET", SEGMENTS, None),
            ("POST", SEGMENTS, {**whole, "constraints": [constraint(NOBODY)]}),
            ("GET", f"{SEGMENTS}/1", None),
            ("PUT", f"{SEGMENTS}/1", {**whole, "constraints": [constraint("ann", "bob")]}),
            ("GET", f"{SEGMENTS}/1", None),
        ]
        assert {request.headers["authorization"] for request in stage.wire.requests} == {CONFIG["token"]}


async def test_a_segment_that_loses_its_last_member_lists_nobody_and_is_not_everybody() -> None:
    async with unleash() as (stage, vendor):
        audience = await stage.connector.ensure_audience("vip")
        await stage.connector.apply(audience, Batch(add=people("ann")))
        await stage.connector.apply(audience, Batch(remove=people("ann")))
        assert vendor.segments[1]["constraints"] == [constraint(NOBODY)]
        assert (await stage.connector.members_page(audience)).members == []
        await stage.connector.apply(audience, Batch(add=people("bob")))
        assert vendor.segments[1]["constraints"] == [constraint("bob")]


async def test_what_an_admin_has_added_to_a_segment_stays() -> None:
    async with unleash() as (stage, vendor):
        narrower = {"contextName": "country", "operator": "IN", "values": ["DE"], "inverted": True, "tomorrow": 1}
        told = {"description": "of the shop", "project": "web", "createdBy": "ann"}
        vendor.segment("vip", narrower, constraint("old", caseInsensitive=False), **told)
        audience = await stage.connector.ensure_audience("vip")
        await stage.connector.apply(audience, Batch(add=people("ann")))
        listed = constraint("old", "ann", caseInsensitive=False)
        assert vendor.segments[1] == {"id": 1, "name": "vip", **told, "constraints": [narrower, listed]}


async def test_nothing_is_written_where_nothing_changes() -> None:
    async with unleash() as (stage, _):
        audience = await stage.connector.ensure_audience("vip")
        for batch in (Batch(add=people("ann")), Batch(add=people("ann")), Batch(remove=people("never-there"))):
            await stage.connector.apply(audience, batch)
        assert [method for method, _, _ in sent(stage)].count("PUT") == 1


async def test_whoever_finds_the_segment_full_is_refused_and_whoever_leaves_makes_room() -> None:
    async with unleash(values_limit=4) as (stage, vendor):
        vendor.segment("vip", constraint("DE", context="country"), constraint("ann", "bob"))
        audience = await stage.connector.ensure_audience("vip")
        batch = Batch(add=people("cem", "dan", "eve"), remove=people("ann"))
        result = await stage.connector.apply(audience, batch)
        full = Outcome(OutcomeKind.REJECTED, "the segment is full: Unleash takes 4 values, see values_limit")
        assert result.outcomes == {"eve": full}
        assert (await stage.connector.members_page(audience)).members == ["bob", "cem", "dan"]


async def test_a_server_that_takes_fewer_says_so_and_as_many_as_fit_go_in() -> None:
    async with unleash(most=3) as (stage, vendor):
        audience = await stage.connector.ensure_audience("vip")
        outcomes = await stage.send(audience, add=people("ann", "bob", "cem", "dan", "eve"))
        refused = {outcome.reason for outcome in outcomes.values() if outcome.kind is OutcomeKind.REJECTED}
        assert refused == {"flags.example.com takes 3 values per segment, see values_limit"}
        assert len(vendor.members(audience)) == 3
        with pytest.raises(AuthError, match="takes 3 values per segment: values_limit says 1000"):
            await stage.connector.check()


async def test_a_value_that_is_too_long_keeps_nobody_else_out() -> None:
    async with unleash() as (stage, vendor):
        audience = await stage.connector.ensure_audience("vip")
        outcomes = await stage.send(audience, add=people("ann", "x" * 101, "bob"))
        assert [one.kind for one in outcomes.values()].count(OutcomeKind.REJECTED) == 1
        assert vendor.members(audience) == {"ann", "bob"} and "xxx" not in str(outcomes["x" * 101])


@pytest.mark.parametrize(
    "constraints",
    [
        [],
        [constraint("ann", inverted=True)],
        [constraint("ann", context="email")],
        [{**constraint("ann"), "operator": "NOT_IN"}],
        [constraint("ann"), constraint("bob")],
    ],
)
async def test_a_segment_that_says_something_else_is_not_written_to(constraints: list[dict[str, Any]]) -> None:
    async with unleash() as (stage, vendor):
        vendor.segment("vip", *constraints)
        with pytest.raises(AuthError, match="one constraint `userId IN` that is not inverted"):
            await stage.connector.ensure_audience("vip")
        with pytest.raises(AuthError):
            await stage.connector.apply(Audience("vip", "1"), Batch(remove=people("ann")))
        assert vendor.segments[1]["constraints"] == constraints


async def test_a_segment_of_another_project_or_out_of_sight_is_not_ours() -> None:
    async with unleash(project="web") as (stage, vendor):
        vendor.segment("vip", constraint("ann"), project="shop")
        with pytest.raises(AuthError, match="not in the configured project"):
            await stage.connector.ensure_audience("vip")
        vendor.hidden = {"vip"}
        with pytest.raises(AuthError, match="may not see"):
            await stage.connector.ensure_audience("vip")


async def test_a_segment_that_was_deleted_pauses_the_destination() -> None:
    async with unleash() as (stage, _):
        with pytest.raises(AuthError, match="the segment is gone"):
            await stage.connector.apply(Audience("vip", "7"), Batch(add=people("ann")))


async def test_fields_are_refused_before_anything_is_sent() -> None:
    async with unleash() as (stage, _):
        with pytest.raises(RefusedError, match="map no fields") as refusal:
            await stage.connector.apply(Audience("vip", "1"), Batch(add=people("ann", city="Bonn")))
        assert not refusal.value.divisible and not stage.wire.requests


async def test_an_update_confirmed_otherwise_is_no_success() -> None:
    async with unleash() as (stage, _):
        audience = await stage.connector.ensure_audience("vip")

        def otherwise(request: httpx.Request, _: int) -> httpx.Response | None:
            return httpx.Response(200, json={"id": 1}) if request.method == "PUT" else None

        with stage.wire.bending(otherwise), pytest.raises(TransientError, match="not 204"):
            await stage.connector.apply(audience, Batch(add=people("ann")))


async def test_an_older_server_that_does_not_tell_its_limit_is_believed_the_setting() -> None:
    async with unleash() as (stage, _):
        with stage.wire.answering(200, b'{"version": "5.0.0"}'):
            assert (await stage.connector.check()).label == "flags.example.com, Unleash 5.0.0"


async def test_what_names_a_person_is_configured() -> None:
    async with unleash(person="email", context_field="mail") as (stage, vendor):
        assert stage.connector.limits().key == "email"
        await stage.connector.ensure_audience("vip")
        assert vendor.segments[1]["constraints"] == [constraint(NOBODY, context="mail")]
    for wrong in ({"values_limit": 0}, {"nobody": ""}, {"context_field": "user id"}, {"token": "short"}):
        with pytest.raises(ValidationError):
            UnleashConfig.model_validate({**CONFIG, **wrong})
