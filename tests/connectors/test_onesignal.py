"""OneSignal against a fake that keeps users, tags and segments, and against the vendor's own description."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import httpx
import pytest

from connectors.onesignal import OneSignal
from hub.sdk import Batch, Feedback, Notice, Outcome, OutcomeKind, Person, TransientError, Unverified
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, Stage, json_body
from hub.sdk.testing.corpus import NOT_JSON_OBJECTS
from hub.sdk.testing.stage import staged
from tests.connectors.descriptions import OpenApi3
from tests.connectors.fake_onesignal import APP, KEY, SECRET, FakeOneSignal
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {"app_id": APP, "api_key": KEY, "webhook_secret": SECRET}


class TestOneSignal(ThroughTheHub, HttpConnectorContract):
    connector = OneSignal
    config: ClassVar = CONFIG
    fields: ClassVar = {"first_name": "Annabella-Private", "orders": 12}
    # A change is answered with an object that repeats it, or with an empty one.
    garbage = NOT_JSON_OBJECTS
    signs_body = signs_time = False

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


@pytest.mark.parametrize(
    ("kind", "notice"),
    [
        ("message.push.unsubscribed", Notice.UNSUBSCRIBED),
        ("message.email.unsubscribed", Notice.UNSUBSCRIBED),
        ("message.sms.unsubscribed", Notice.UNSUBSCRIBED),
        ("message.email.bounced", Notice.BOUNCED),
        ("message.email.hardbounced", Notice.BOUNCED),
        ("message.email.reported_as_spam", Notice.COMPLAINED),
        ("message.email.failed", None),
        ("message.email.suppressed", None),
        ("message.push.clicked", None),
        ("message.live_activity.unsubscribed", None),
        ("", None),
    ],
)
async def test_only_what_takes_a_permission_away_is_heard(kind: str, notice: Notice | None) -> None:
    async with onesignal() as (stage, vendor, _):
        heard = stage.connector.feedback(vendor.tells_of(kind, "ann", event_id="evt-1", event_timestamp="1795341600"))
        at = datetime(2026, 11, 22, 10, tzinfo=UTC)
        assert heard == ([Feedback(notice, "external_id", "ann", "evt-1", at)] if notice else [])


@pytest.mark.parametrize(
    ("channel", "token", "named"),
    [
        ("email", "ann@example.com", [("external_id", "ann"), ("email", "ann@example.com")]),
        ("sms", "+4915112345678", [("external_id", "ann"), ("phone", "+4915112345678")]),
        ("push", "fcm-token-of-a-device", [("external_id", "ann")]),
    ],
)
async def test_an_event_names_the_user_and_the_address_but_not_the_device(
    channel: str, token: str, named: list[tuple[str, str]]
) -> None:
    told = {"user_subscription_subscription_token": token}
    async with onesignal() as (stage, vendor, _):
        heard = stage.connector.feedback(vendor.tells_of(f"message.{channel}.unsubscribed", "ann", **told))
        assert [(one.kind, one.value) for one in heard] == named
        without = stage.connector.feedback(vendor.tells_of(f"message.{channel}.unsubscribed", "", **told))
        assert [(one.kind, one.value) for one in without] == named[1:]


async def test_external_ids_that_are_not_the_hubs_name_nobody() -> None:
    told = {"user_subscription_subscription_token": "ann@example.com"}
    async with onesignal(alias="customer") as (stage, vendor, _):
        heard = stage.connector.feedback(vendor.tells_of("message.email.bounced", "4711", **told))
        assert [(one.kind, one.value) for one in heard] == [("email", "ann@example.com")]
        assert not stage.connector.feedback(vendor.tells_of("message.push.unsubscribed", "4711"))


@pytest.mark.parametrize("at", ["", "yesterday", "1795341600000"])
async def test_a_no_whose_time_makes_no_sense_is_heard_all_the_same(at: str) -> None:
    async with onesignal() as (stage, vendor, _):
        told = vendor.tells_of("message.push.unsubscribed", "ann", event_timestamp=at)
        assert [one.at for one in stage.connector.feedback(told)] == [None]


async def test_a_body_that_is_not_the_template_is_refused_so_that_the_admin_sees_it() -> None:
    async with onesignal() as (stage, vendor, _):
        for body in (b"", b'{"kind": "message.push.unsubscribed", "external_id": "a"b"}', b'{"event.kind": "x"}'):
            with pytest.raises(Unverified, match="template"):
                stage.connector.feedback(vendor.telling(body))


async def test_the_secret_may_stand_in_the_address_or_in_a_header() -> None:
    async with onesignal() as (stage, vendor, _):
        request = vendor.tells(Notice.UNSUBSCRIBED, "ann")
        assert len(stage.connector.feedback(replace(request, headers={}, path=SECRET))) == 1
    async with onesignal(webhook_secret=None) as (stage, _, _):
        with pytest.raises(Unverified):
            stage.connector.feedback(request)


async def test_every_request_is_as_the_vendor_describes_it() -> None:
    described = OpenApi3("onesignal", "openapi.yaml", secured=False)
    async with onesignal() as (stage, vendor, audience):
        vendor.know("ann")
        await stage.connector.check()
        await stage.connector.apply(audience, Batch(add=[person("ann", city="Bonn")]))
        await stage.connector.apply(audience, Batch(remove=[person("ann")]))
        await stage.connector.erase([person("ann")])
        asked = {(request.method, described.validate(request)) for request in stage.wire.requests}
    assert asked == {
        ("GET", "/apps/{app_id}/segments"),
        ("POST", "/apps/{app_id}/segments"),
        ("PATCH", "/apps/{app_id}/users/by/{alias_label}/{alias_id}"),
        ("DELETE", "/apps/{app_id}/users/by/{alias_label}/{alias_id}"),
    }
