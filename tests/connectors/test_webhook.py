"""The webhook's wire format, as interfaces.md fixes it, and Standard Webhooks as its own library verifies it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

import httpx
import pytest
import respx
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook as Verifier

from connectors.webhook import Webhook, WebhookConfig
from hub.sdk import (
    AuthError,
    Batch,
    ConnectorError,
    EgressDenied,
    Feedback,
    Http,
    Inbound,
    Notice,
    OutcomeKind,
    Person,
    RefusedError,
    Result,
    Unverified,
)
from hub.sdk.contract import Audience
from hub.sdk.egress import EgressPolicy
from hub.sdk.testing import HttpConnectorContract, HttpVendor, json_body
from hub.sdk.testing.corpus import NOT_JSON_OBJECTS
from hub.sdk.webhooks import signed
from tests.connectors.through_the_hub import ThroughTheHub

SECRET = f"whsec_{base64.b64encode(b'0123456789abcdef0123456789abcdef').decode()}"
THEIRS = f"whsec_{base64.b64encode(b'fedcba9876543210fedcba9876543210').decode()}"
URL = "https://shop.example/hooks/audience"
VIP = Audience("vip", "vip")


class Receiver(HttpVendor):
    """A shop that keeps its audiences as told, and verifies every request with the reference library."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, dict[str, Any]] = {}

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "HEAD":
            return httpx.Response(405)
        Verifier(SECRET).verify(request.content, dict(request.headers))
        change = json_body(request)
        held = self.held.setdefault(change["audience"], {})
        added = {person["id"]: person["fields"] for person in change["add"]}
        rejected = [{"id": key, "reason": self.refused[key]} for key in added if key in self.refused]
        held.update({key: fields for key, fields in added.items() if key not in self.refused})
        for person in change["remove"]:
            held.pop(person["id"], None)
        return httpx.Response(200, json={"rejected": rejected}) if rejected else httpx.Response(204)

    def members(self, audience: Audience) -> set[str]:
        return set(self.held.get(audience.ref, {}))

    def tells(self, notice: Notice, key: str) -> Inbound:
        now = datetime.now(UTC)
        body = json.dumps({"type": notice.value, "id": key, "at": now.isoformat()})
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp()))}
        headers["webhook-signature"] = Verifier(THEIRS).sign("msg_1", now, body)
        return Inbound("POST", headers=headers, body=body.encode())

    def telling(self, body: bytes) -> Inbound:
        # The reference library signs text only.
        return Inbound("POST", headers=signed(THEIRS, "msg_1", body), body=body)


class TestWebhook(ThroughTheHub, HttpConnectorContract):
    connector = Webhook
    config: ClassVar = {
        "url": URL,
        "secret": SECRET,
        "feedback_secret": THEIRS,
        "headers": {"X-Gateway": "gateway-key-1234"},
    }
    fields: ClassVar = {"email": "someone.private@kit.example", "plan": "gold-plan"}
    volatile_headers = frozenset({"webhook-timestamp", "webhook-signature"})
    # An empty body and any JSON object mean success in this wire format.
    garbage = NOT_JSON_OBJECTS

    def make_vendor(self) -> Receiver:
        return Receiver()

    async def test_garbage_is_never_success(self) -> None:
        """As inherited, but for answers cut short: most of this receiver's are empty, which means success."""
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            for garbage in self.garbage:
                await self._garbage_is_no_success(stage, audience, stage.one_batch(), 0, garbage)


@asynccontextmanager
async def answering(response: httpx.Response) -> AsyncIterator[tuple[Webhook, respx.MockRouter]]:
    with respx.mock() as mock:
        mock.post(URL).mock(return_value=response)
        async with Http(EgressPolicy()) as http:
            yield Webhook(WebhookConfig(url=URL, secret=SECRET), http), mock  # type: ignore[arg-type]


def person(name: str, **fields: Any) -> Person:
    return Person(name, name, fields)


async def result_of(response: httpx.Response) -> Result:
    async with answering(response) as (webhook, _):
        return await webhook.apply(VIP, Batch(add=[person("p1", email="a@example.com"), person("p2")], run="9"))


async def test_the_body_is_as_the_interface_fixes_it() -> None:
    async with answering(httpx.Response(200)) as (webhook, mock):
        added = [person("p3", tags=["x", "y"], age=30, vip=True, city=None), person("p1", email="a@example.com")]
        await webhook.apply(VIP, Batch(add=added, remove=[person("p2")], sync="vip-to-shop", run="42"))
        sent = mock.calls.last.request
    assert json.loads(sent.content) == {
        "type": "audience.changed",
        "audience": "vip",
        "sync": "vip-to-shop",
        "run": "42",
        "add": [
            {"id": "p1", "fields": {"email": "a@example.com"}},
            {"id": "p3", "fields": {"tags": ["x", "y"], "age": 30, "vip": True, "city": None}},
        ],
        "remove": [{"id": "p2"}],
    }
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["webhook-signature"].startswith("v1,")
    Verifier(SECRET).verify(sent.content, dict(sent.headers))


async def sent_ids(*batches: Batch) -> list[str]:
    async with answering(httpx.Response(200)) as (webhook, mock):
        for batch in batches:
            await webhook.apply(VIP, batch)
        return [call.request.headers["webhook-id"] for call in mock.calls]


async def test_the_id_is_a_function_of_the_body() -> None:
    ann, bob = person("ann", a="1", b="2"), person("bob")
    same = [Batch(add=[ann, bob], run="1"), Batch(add=[bob, person("ann", b="2", a="1")], run="1")]
    other = [
        Batch(add=[ann], run="1"),
        Batch(add=[person("ann", a="1", b="3"), bob], run="1"),
        Batch(add=[ann], remove=[bob], run="1"),
        Batch(add=[ann, bob], run="2"),
    ]
    ids = await sent_ids(*same, *other)
    assert ids[0] == ids[1] and len(set(ids)) == 1 + len(other)


@pytest.mark.parametrize("body", [b"", b" ", b"{}", b'{"ok": true}', b'{"rejected": []}', b'{"rejected": null}'])
@pytest.mark.parametrize("content_type", ["application/json", "text/html", "text/plain"])
async def test_an_empty_answer_or_an_object_accepts_everyone(body: bytes, content_type: str) -> None:
    result = await result_of(httpx.Response(202, content=body, headers={"content-type": content_type}))
    assert result == Result()


async def test_the_named_are_rejected_and_strangers_ignored() -> None:
    rejected = [{"id": "p1", "reason": "p1 (a@example.com) is on a list"}, {"id": "p9", "reason": "who?"}, {"id": "p2"}]
    result = await result_of(httpx.Response(200, json={"rejected": rejected}))
    assert result.rest is OutcomeKind.ACCEPTED and set(result.outcomes) == {"p1", "p2"}
    assert result.outcomes["p1"].reason == "… (…) is on a list"
    assert result.outcomes["p2"].reason == "no reason given"


@pytest.mark.parametrize(
    "body", [b"[]", b"OK", b"<html>", b'{"rejected": "p1"}', b'{"rejected": ["p1"]}', b'{"rejected": {}']
)
async def test_any_other_answer_leaves_everyone_unknown(body: bytes) -> None:
    assert await result_of(httpx.Response(200, content=body)) == Result(rest=OutcomeKind.UNKNOWN)


@pytest.mark.parametrize(
    ("status", "error"), [(410, AuthError), (404, AuthError), (405, AuthError), (308, AuthError), (400, RefusedError)]
)
async def test_a_receiver_that_is_gone_pauses_the_destination(status: int, error: type[ConnectorError]) -> None:
    with pytest.raises(error):
        await result_of(httpx.Response(status))


async def test_an_address_that_is_not_allowed_is_denied_at_check_and_at_send() -> None:
    async with Http(EgressPolicy()) as http:
        webhook = Webhook(WebhookConfig(url="https://169.254.169.254/latest", secret=SECRET), http)  # type: ignore[arg-type]
        for call in (webhook.check(), webhook.apply(VIP, Batch(add=[person("p1")]))):
            with pytest.raises(EgressDenied):
                await call


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "whsec_dG9vIHNob3J0"},
        {"secret": "no-prefix-0123456789abcdef0123456789abcdef"},
        {"secret": "whsec_***"},
        {"batch": 1001},
        {"batch": 0},
        {"concurrency": 9},
        {"headers": {"Webhook-Id": "x"}},
        {"headers": {"Content-Type": "x"}},
        {"headers": {"X Y": "x"}},
        {"headers": {"X-Y": "a\r\nb: c"}},
        {"url": None},
    ],
)
def test_a_wrong_configuration_is_refused_without_repeating_it(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        WebhookConfig.model_validate({"url": URL, "secret": SECRET, **wrong})
    assert "0123456789abcdef" not in str(refused.value)


def listener(**config: Any) -> Webhook:
    return Webhook(WebhookConfig(url=URL, secret=SECRET, **config), None)  # type: ignore[arg-type]


def heard(body: dict[str, Any], **config: Any) -> list[Feedback]:
    raw = json.dumps(body).encode()
    return list(listener(**config).feedback(Inbound("POST", headers=signed(THEIRS, "msg_7", raw), body=raw)))


def test_a_receiver_tells_of_one_person_in_every_way_it_knows_them() -> None:
    about = {"id": "p1", "email": "a@example.com", "purpose": "news"}
    at = datetime(2026, 5, 1, 10, tzinfo=UTC)
    told = heard({"type": "bounced", "at": "2026-05-01T12:00:00+02:00", **about}, feedback_secret=THEIRS)
    assert sorted(told, key=lambda one: one.kind) == [
        Feedback(Notice.BOUNCED, "email", "a@example.com", "msg_7", at, "news"),
        Feedback(Notice.BOUNCED, "external_id", "p1", "msg_7", at, "news"),
    ]


@pytest.mark.parametrize(
    "told",
    [
        {"type": "subscribed", "id": "p1"},
        {"type": "unsubscribed"},
        {"type": "unsubscribed", "id": 7},
        {"type": "unsubscribed", "id": "p1", "at": "2026-05-01T12:00:00"},
    ],
)
def test_what_is_no_notice_about_anybody_is_left_out(told: dict[str, Any]) -> None:
    assert heard(told, feedback_secret=THEIRS) == []


def test_the_secret_that_signs_our_requests_signs_nothing_that_comes_in() -> None:
    for config in ({}, {"feedback_secret": SECRET}):
        with pytest.raises(Unverified):
            heard({"type": "unsubscribed", "id": "p1"}, **config)


def test_it_listens_only_where_a_secret_is_configured() -> None:
    assert listener(feedback_secret=THEIRS).limits().feedback
    assert not listener().limits().feedback
    with pytest.raises(ValidationError, match="feedback_secret"):
        listener(feedback_secret="whsec_short")
