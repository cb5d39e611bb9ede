"""Contentful Personalization against a fake that keeps profiles; it publishes no description to check against."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.contentful import Contentful, ContentfulConfig
from hub.sdk import Audience, AuthError, OutcomeKind, Person, RefusedError, TransientError
from hub.sdk.testing import HttpConnectorContract, HttpVendor, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {"client_id": "4a7e2c9d-0b1f"}
PLACE = "/v2/organizations/4a7e2c9d-0b1f/environments/main"
TIMES = frozenset({"originalTimestamp", "timestamp", "sentAt"})
REQUIRED = {"type", "anonymousId", "channel", "context", "messageId", "traits"} | TIMES


class FakeContentful(HttpVendor):
    """Profiles by id; `aliases` lead from an id to the profile's own. A message is heard once. One that is
    `tongue_tied` does its work and tells of no profile."""

    def __init__(self) -> None:
        super().__init__()
        self.profiles: dict[str, dict[str, Any]] = {}
        self.aliases: dict[str, str] = {}
        self.heard: set[str] = set()
        self.tongue_tied = False

    def members(self, audience: Audience) -> set[str]:
        return {name for name, traits in self.profiles.items() if traits.get(audience.ref) is True}

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "experience.ninetailed.co" and "authorization" not in request.headers
        if not request.url.path.startswith(f"{PLACE}/"):
            return fault(404, "ERR_CONFIG_NOT_FOUND")
        kind, _, ref = request.url.path.removeprefix(f"{PLACE}/").partition("/")
        if (request.method, kind) == ("POST", "events"):
            return self._take(json_body(request)["events"])
        assert kind == "profiles" and request.method in {"GET", "DELETE"}
        if self.aliases.get(ref, ref) not in self.profiles:
            return fault(404, "ERR_PROFILE_NOT_FOUND")
        if request.method == "DELETE":
            del self.profiles[self.aliases.pop(ref, ref)]
        return httpx.Response(200, json={"data": {}, "error": None, "message": "ok"})

    def _take(self, events: list[dict[str, Any]]) -> httpx.Response:
        assert 0 < len(events) <= 50 and all(event.keys() >= REQUIRED for event in events)
        if bad := next((one for one in events if one["anonymousId"] in self.refused and self._adds(one)), None):
            return fault(400, "ERR_INVALID_DATA", f"invalid: {json.dumps(bad)}")
        touched = dict.fromkeys(self._hear(event) for event in events)
        profiles = [{"id": name, "stableId": name, "audiences": [], "traits": self.profiles[name]} for name in touched]
        data = {} if self.tongue_tied else {"profiles": profiles}
        return httpx.Response(200, json={"data": data, "error": None, "message": "ok"})

    def _hear(self, event: dict[str, Any]) -> str:
        name = self.aliases.get(event["anonymousId"], event["anonymousId"])
        traits = self.profiles.setdefault(name, {})
        if event["messageId"] not in self.heard:
            traits.update(event["traits"])
        self.heard.add(event["messageId"])
        return name

    def _adds(self, event: dict[str, Any]) -> bool:
        return any(value is True for name, value in event["traits"].items() if name.startswith("hub_"))


def fault(status: int, code: str, message: str = "") -> httpx.Response:
    return httpx.Response(status, json={"message": message, "data": {}, "error": {"code": code}})


class TestContentful(ThroughTheHub, HttpConnectorContract):
    connector = Contentful
    config: ClassVar = CONFIG
    fields: ClassVar = {"plan": "Gold-Private", "orders": 471_109}
    volatile_fields = TIMES | {"messageId"}
    consent_fields = frozenset({"isConsentGiven"})

    def make_vendor(self) -> FakeContentful:
        return FakeContentful()


@asynccontextmanager
async def contentful(**config: Any) -> AsyncIterator[tuple[Stage, FakeContentful, Audience]]:
    vendor = FakeContentful()
    async with staged(Contentful, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def people(*names: str, **fields: Any) -> list[Person]:
    return [Person(name, name, fields) for name in names]


def sent(stage: Stage) -> list[tuple[str, str]]:
    return [(request.method, request.url.raw_path.decode().removeprefix(PLACE)) for request in stage.wire.requests]


async def test_the_requests_of_a_run() -> None:
    async with contentful(locale="de") as (stage, _, audience):
        await stage.connector.check()
        await stage.connector.add(audience, people("ann", plan="gold", tags=["a", "b"], city=None))
        await stage.connector.remove(audience, people("bob/1"))
        await stage.connector.erase(people("bob/1"))
        assert sent(stage) == [
            ("GET", "/profiles/hub-check"), ("POST", "/events"), ("POST", "/events"), ("DELETE", "/profiles/bob%2F1")
        ]  # fmt: skip
        [added], [removed] = (json_body(request)["events"] for request in stage.wire.requests[1:3])
        assert added["traits"] == {"hub_vip": True, "plan": "gold", "tags": ["a", "b"], "city": None}
        assert removed["traits"] == {"hub_vip": False} and removed["anonymousId"] == "bob/1"
        assert [one["context"]["gdpr"] for one in (added, removed)] == [
            {"isConsentGiven": True}, {"isConsentGiven": False}
        ]  # fmt: skip
        assert (added["type"], added["channel"], added["userId"]) == ("identify", "server", "")
        assert added["context"]["locale"] == "de" and added["context"]["library"]["name"] == "audience-hub"


async def test_who_comes_goes_and_comes_again_is_heard_each_time() -> None:
    async with contentful() as (stage, vendor, audience):
        for _ in range(2):
            await stage.send(audience, add=people("ann"))
            assert vendor.members(audience) == {"ann"}
            await stage.send(audience, remove=people("ann"))
            assert vendor.members(audience) == set()
        assert len(vendor.heard) == 4


async def test_the_asynchronous_endpoint_that_says_yes_to_anything_is_not_used() -> None:
    async with contentful(client_id="somebody-else") as (stage, _, audience):
        for call in (stage.connector.check(), stage.connector.add(audience, people("ann"))):
            with pytest.raises(AuthError, match="no such client_id, or no such environment"):
                await call
        with pytest.raises(AuthError, match="no such client_id"):
            await stage.connector.erase(people("ann"))


async def test_a_profile_under_an_alias_is_believed_where_all_are_accounted_for() -> None:
    async with contentful() as (stage, vendor, audience):
        vendor.aliases = {"ann": "f00d-1", "bob": "f00d-2"}
        outcomes = await stage.send(audience, add=people("ann", "bob", "cem"))
        assert {outcome.kind for outcome in outcomes.values()} == {OutcomeKind.ACCEPTED}
        assert vendor.members(audience) == {"f00d-1", "f00d-2", "cem"}


async def test_two_people_of_one_profile_are_unknown_and_the_others_are_in() -> None:
    async with contentful() as (stage, vendor, audience):
        vendor.aliases = {"ann": "f00d", "bob": "f00d"}
        outcomes = await stage.send(audience, add=people("ann", "bob", "cem"))
        kinds = {key: outcome.kind for key, outcome in outcomes.items()}
        assert kinds == {"ann": OutcomeKind.UNKNOWN, "bob": OutcomeKind.UNKNOWN, "cem": OutcomeKind.ACCEPTED}


async def test_nobody_counts_as_done_of_whom_nothing_is_said() -> None:
    async with contentful() as (stage, vendor, audience):
        vendor.tongue_tied = True
        outcomes = await stage.send(audience, add=people("ann", "bob"))
        assert {outcome.kind for outcome in outcomes.values()} == {OutcomeKind.UNKNOWN}


async def test_an_answer_about_more_profiles_than_were_sent_is_believed_only_of_those_that_it_names() -> None:
    async with contentful() as (stage, _, audience):
        held = [{"id": name, "traits": {"hub_vip": name != "bob"}} for name in ("ann", "bob", "stranger")]
        with stage.wire.answering(200, json.dumps({"data": {"profiles": held}, "error": None}).encode()):
            result = await stage.connector.add(audience, people("ann", "bob"))
        assert {key: outcome.kind for key, outcome in result.outcomes.items()} == {"bob": OutcomeKind.UNKNOWN}


async def test_a_trait_that_is_not_as_it_was_sent_is_not_done() -> None:
    async with contentful() as (stage, _, audience):
        held = [{"id": "ann", "traits": {"hub_vip": True}}, {"id": "bob", "traits": {"hub_vip": False}}]
        said = {"data": {"profiles": held}, "error": None, "message": "ok"}
        with stage.wire.answering(200, json.dumps(said).encode()):
            result = await stage.connector.remove(audience, people("ann", "bob"))
        assert {key: outcome.kind for key, outcome in result.outcomes.items()} == {"ann": OutcomeKind.UNKNOWN}


async def test_a_success_with_an_error_in_it_is_none() -> None:
    async with contentful() as (stage, _, audience):
        said = {"data": {"profiles": []}, "error": {"code": "ERR_INTERNAL_SERVER_ERROR"}, "message": "no"}
        calls = (stage.connector.add(audience, people("ann")), stage.connector.check())
        with stage.wire.answering(200, json.dumps(said).encode()):
            for call in (*calls, stage.connector.erase(people("ann"))):
                with pytest.raises(TransientError):
                    await call


async def test_a_profile_that_is_asked_too_much_is_asked_again_later() -> None:
    async with contentful() as (stage, _, audience):
        overload = fault(429, "ERR_PROFILE_OVERLOAD")
        with stage.wire.bending(lambda _, __: overload), pytest.raises(TransientError) as throttled:
            await stage.connector.add(audience, people("ann"))
        assert throttled.value.retry_after is None


async def test_traits_of_others_stay_and_each_audience_has_its_own() -> None:
    async with contentful() as (stage, vendor, vip):
        vendor.profiles["ann"] = {"plan": "gold", "hub_other": True}
        await stage.send(vip, add=people("ann"))
        await stage.send(await stage.connector.ensure_audience("new"), add=people("ann"))
        await stage.send(vip, remove=people("ann"))
        assert vendor.profiles == {"ann": {"plan": "gold", "hub_other": True, "hub_vip": False, "hub_new": True}}


async def test_whoever_has_no_profile_is_erased_already() -> None:
    async with contentful() as (stage, vendor, audience):
        await stage.send(audience, add=people("ann", "bob"))
        result = await stage.connector.erase(people("ann", "never-there"))
        assert {key: outcome.kind for key, outcome in result.outcomes.items()} == {"never-there": OutcomeKind.NOOP}
        assert set(vendor.profiles) == {"bob"}


async def test_an_id_that_is_anothers_profile_is_refused_for_that_person_alone_and_cannot_be_erased_here() -> None:
    """Ids are one namespace for all of Contentful's customers."""
    said = json.dumps({"message": "no", "data": {}, "error": {"code": "ERR_NAMESPACE_MISMATCH"}}).encode()
    async with contentful() as (stage, _, audience):
        with stage.wire.answering(404, said):
            with pytest.raises(RefusedError, match="another organization") as refused:
                await stage.connector.add(audience, people("ann", "bob"))
            assert refused.value.divisible
            assert (await stage.connector.erase(people("ann"))).outcomes["ann"].kind is OutcomeKind.NOOP
            await stage.connector.check()


async def test_whoever_was_erased_before_a_throttle_is_not_asked_for_again() -> None:
    async with contentful() as (stage, vendor, audience):
        await stage.send(audience, add=people("ann", "bob"))
        with stage.wire.bending(lambda _, number: httpx.Response(429) if number == 1 else None):
            result = await stage.connector.erase(people("ann", "bob"))
        assert {key: outcome.kind for key, outcome in result.outcomes.items()} == {"bob": OutcomeKind.RETRY}
        assert set(vendor.profiles) == {"bob"}


async def test_a_field_called_like_the_audiences_trait_is_refused_before_anything_is_sent() -> None:
    async with contentful() as (stage, _, audience):
        with pytest.raises(RefusedError, match="hub_vip: the hub sets that trait itself") as refusal:
            await stage.connector.add(audience, people("ann", hub_vip="yes"))
        assert not refusal.value.divisible and not stage.wire.requests


async def test_what_is_public_there_is_not_keyed_by_what_can_be_guessed() -> None:
    async with contentful(person="device_id", environment="preview", trait_prefix="") as (stage, _, audience):
        assert stage.connector.limits().key == "device_id" and audience.ref == "vip"
    for wrong in ({"person": "email"}, {"client_id": "a/b"}, {"environment": "../x"}, {"trait_prefix": "a.b"}):
        with pytest.raises(ValidationError):
            ContentfulConfig.model_validate({**CONFIG, **wrong})
