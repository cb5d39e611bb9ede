"""Firebase Cloud Messaging against a fake that keeps topics, and against Google's discovery document."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.fcm import Fcm, FcmConfig
from hub.sdk import AuthError, Batch, OutcomeKind, PerSecond, Person, TransientError
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, HttpVendor, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.discovery import Discovery
from tests.connectors.fake_google import key_file
from tests.connectors.through_the_hub import ThroughTheHub

KEY_FILE = json.dumps({**json.loads(key_file()), "project_id": "shop-1"})
CONFIG = {"service_account": KEY_FILE}
# As the description of a topic's name says.
TOPIC = r"/topics/[a-zA-Z0-9-_.~%]{1,900}"


class FakeFcm(HttpVendor):
    """One project: `subscriptions` are the devices on which the app is installed."""

    def __init__(self) -> None:
        super().__init__()
        self.topics: dict[str, set[str]] = {}
        self.said: dict[str, str] = {}

    def token(self, key: str) -> str:
        return key.removeprefix("push_token:")

    def members(self, audience: Audience) -> set[str]:
        held = self.topics.get(audience.ref, set())
        return {key for key in self.subscriptions if self.token(key) in held}

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "oauth2.googleapis.com":
            return httpx.Response(200, json={"access_token": "ya29.a-token", "expires_in": 3599})
        if request.headers.get("authorization") != "Bearer ya29.a-token":
            return httpx.Response(401, json={"error": {"status": "UNAUTHENTICATED"}})
        body = json_body(request)
        if request.url.host == "fcm.googleapis.com":
            assert request.url.path == "/v1/projects/shop-1/messages:send" and body["validateOnly"] is True
            return httpx.Response(200, json={"name": "projects/shop-1/messages/fake_message_id"})
        assert request.url.host == "iid.googleapis.com" and request.headers["access_token_auth"] == "true"
        assert re.fullmatch(TOPIC, body["to"]) and len(body["registration_tokens"]) <= 1000
        change = {"/iid/v1:batchAdd": self._add, "/iid/v1:batchRemove": self._remove}[request.url.path]
        topic = self.topics.setdefault(body["to"].removeprefix("/topics/"), set())
        return httpx.Response(200, json={"results": [change(topic, token) for token in body["registration_tokens"]]})

    def _known(self, token: str) -> bool:
        return token in map(self.token, self.subscriptions)

    def _add(self, topic: set[str], token: str) -> dict[str, str]:
        if error := self.said.get(token) or ("TOO_MANY_TOPICS" if token in map(self.token, self.refused) else None):
            return {"error": error}
        if not self._known(token):
            return {"error": "NOT_FOUND"}
        topic.add(token)
        return {}

    def _remove(self, topic: set[str], token: str) -> dict[str, str]:
        if token in self.said or not self._known(token):
            return {"error": self.said.get(token, "NOT_FOUND")}
        topic.discard(token)
        return {}


class TestFcm(ThroughTheHub, HttpConnectorContract):
    connector = Fcm
    config: ClassVar = CONFIG

    def make_vendor(self) -> FakeFcm:
        return FakeFcm()


class TestFcmOnAllDevices(TestFcm):
    config: ClassVar = {**CONFIG, "devices": "all"}


@asynccontextmanager
async def fcm(**config: Any) -> AsyncIterator[tuple[Stage, FakeFcm, Audience]]:
    vendor = FakeFcm()
    async with staged(Fcm, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def device(token: str) -> Person:
    return Person(f"id-{token}", token, {})


def sent(stage: Stage) -> list[tuple[str, Any]]:
    return [(str(r.url), json_body(r)) for r in stage.wire.requests if r.url.host != "oauth2.googleapis.com"]


async def test_the_requests_of_a_run() -> None:
    async with fcm() as (stage, vendor, audience):
        vendor.know("t1")
        await stage.connector.check()
        await stage.connector.apply(audience, Batch(add=[device("t1")], remove=[device("t2")]))
        topic = {"to": "/topics/vip"}
        assert sent(stage) == [
            ("https://fcm.googleapis.com/v1/projects/shop-1/messages:send",
             {"validateOnly": True, "message": {"topic": "check"}}),
            ("https://iid.googleapis.com/iid/v1:batchAdd", {**topic, "registration_tokens": ["t1"]}),
            ("https://iid.googleapis.com/iid/v1:batchRemove", {**topic, "registration_tokens": ["t2"]}),
        ]  # fmt: skip
        tokens = [request for request in stage.wire.requests if request.url.host == "oauth2.googleapis.com"]
        assert len(tokens) == 1


async def test_every_device_of_a_person_is_a_row_of_its_own_if_all_are_wanted() -> None:
    async with fcm(devices="all") as (stage, vendor, audience):
        assert stage.connector.limits().identifiers == ("push_token",)
        for token in ("t1:APA91b", "t2"):
            vendor.know(f"push_token:{token}")
        rows = [Person("ann", f"push_token:{token}", {}) for token in ("t1:APA91b", "t2", "t3")]
        result = await stage.connector.apply(audience, Batch(add=rows))
        assert sent(stage)[-1][1]["registration_tokens"] == ["t1:APA91b", "t2", "t3"]
        assert {key: one.kind for key, one in result.outcomes.items()} == {"push_token:t3": OutcomeKind.REJECTED}


@pytest.mark.parametrize(
    ("error", "adding", "removing"),
    [
        ("NOT_FOUND", OutcomeKind.REJECTED, OutcomeKind.NOOP),
        ("INVALID_ARGUMENT", OutcomeKind.REJECTED, OutcomeKind.NOOP),
        ("TOO_MANY_TOPICS", OutcomeKind.REJECTED, OutcomeKind.REJECTED),
        ("INTERNAL", OutcomeKind.RETRY, OutcomeKind.RETRY),
        ("RESOURCE_EXHAUSTED", OutcomeKind.RETRY, OutcomeKind.RETRY),
        ("SOMETHING_NEW about t1", OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN),
    ],
)
async def test_what_google_says_of_a_device_is_understood(
    error: str, adding: OutcomeKind, removing: OutcomeKind
) -> None:
    async with fcm() as (stage, vendor, audience):
        for token in ("t0", "t1", "t2"):
            vendor.know(token)
        vendor.said = {"t1": error}
        people = [device(token) for token in ("t0", "t1", "t2")]
        added = await stage.connector.apply(audience, Batch(add=people))
        removed = await stage.connector.apply(audience, Batch(remove=people))
        assert [(key, one.kind) for key, one in added.outcomes.items()] == [("t1", adding)]
        assert [(key, one.kind) for key, one in removed.outcomes.items()] == [("t1", removing)]
        assert "t1" not in added.outcomes["t1"].reason


@pytest.mark.parametrize("results", [[], [{}, {}]])
async def test_a_word_too_few_or_too_many_is_nobodys(results: list[Any]) -> None:
    async with fcm() as (stage, _, audience):

        def bend(request: httpx.Request, _: int) -> httpx.Response | None:
            mine = request.url.host == "iid.googleapis.com"
            return httpx.Response(200, json={"results": results}) if mine else None

        with stage.wire.bending(bend), pytest.raises(TransientError):
            await stage.connector.apply(audience, Batch(add=[device("t1")]))


async def test_a_token_that_google_takes_no_more_is_asked_for_anew() -> None:
    async with fcm() as (stage, vendor, audience):
        vendor.know("t1")

        def bend(request: httpx.Request, number: int) -> httpx.Response | None:
            return httpx.Response(401) if request.url.host == "iid.googleapis.com" else None

        with stage.wire.bending(bend), pytest.raises(AuthError):
            await stage.connector.apply(audience, Batch(add=[device("t1")]))
        await stage.connector.apply(audience, Batch(add=[device("t1")]))
        assert len([r for r in stage.wire.requests if r.url.host == "oauth2.googleapis.com"]) == 2


async def test_a_topic_is_called_as_the_audience_or_by_a_hash_that_keeps_two_apart() -> None:
    async with fcm(topic_prefix="hub.") as (stage, _, _audience):
        names = ["vip", "VIP", "v i p", "v_i_p", "größte", "a%b", "x" * 2000, "x" * 2001]
        refs = [(await stage.connector.ensure_audience(name)).ref for name in names]
        assert refs[:2] == ["hub.vip", "hub.VIP"] and len(set(refs)) == len(names)
        assert all(re.fullmatch(TOPIC, f"/topics/{ref}") for ref in refs)


async def test_how_much_a_second_is_the_admins_to_say() -> None:
    async with fcm(calls_per_second=20) as (stage, _, _audience):
        assert stage.connector.limits().limits == (PerSecond(20, burst=20),)


async def test_the_check_is_as_google_describes_it_and_sends_no_message() -> None:
    google = Discovery("fcm.v1.json")
    topic = google.api["schemas"]["TopicSubscription"]["properties"]["topicName"]["description"]
    assert TOPIC.removeprefix("/topics/") in topic
    async with fcm() as (stage, _, _audience):
        await stage.connector.check()
        [(_, body)] = sent(stage)
        assert google.validate(stage.wire.requests[-1]) == "fcm.projects.messages.send"
    assert body["validateOnly"] is True


def test_the_key_file_must_be_whole() -> None:
    for key in ("{}", "no JSON", key_file()):
        with pytest.raises(ValidationError):
            FcmConfig.model_validate({"service_account": key})
