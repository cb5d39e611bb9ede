"""Vendors at the door: no token, nothing to learn for a stranger, and what is believed is durable before the answer."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from connectors.webhook import Webhook
from hub.errors import StoreError
from hub.logs import ALLOWED_FIELDS
from hub.plugins import Registry
from hub.sdk.webhooks import signed
from hub.services import destinations
from hub.web import feedback
from tests.web.served import Served

SECRET = f"whsec_{base64.b64encode(b'0123456789abcdef0123456789abcdef').decode()}"
THEIRS = f"whsec_{base64.b64encode(b'fedcba9876543210fedcba9876543210').decode()}"
TOLD = {"type": "unsubscribed", "email": "ann@example.com", "at": "2026-04-30T10:00:00Z"}


@pytest.fixture
async def shop(peopled: Served, clock: Any) -> Served:
    """A hub with a destination whose receiver tells it things, and without a token."""
    from datetime import UTC, datetime

    # Signatures are made by the real clock.
    clock.at = datetime.now(UTC)
    peopled.hub.registry = Registry({**peopled.hub.registry.connectors, "webhook": Webhook}, {})
    config = {"url": "https://93.184.216.34/x", "secret": SECRET}
    await destinations.create(peopled.hub, "shop", "Shop", "webhook", {**config, "feedback_secret": THEIRS})
    await destinations.create(peopled.hub, "deaf", "Deaf", "webhook", config)
    await destinations.create(peopled.hub, "box", "Box", "sandbox", {})
    peopled.client.headers.pop("authorization")
    return peopled


async def tell(web: Served, body: Any = TOLD, path: str = "/hooks/shop", secret: str = THEIRS) -> httpx.Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await web.client.post(path, content=raw, headers=signed(secret, "msg-1", raw))


@pytest.mark.parametrize("path", ["/hooks/shop", "/hooks/shop/", "/hooks/shop/mailings/7?list=1"])
async def test_what_the_vendor_tells_is_in_the_ledger_when_it_is_answered(shop: Served, path: str) -> None:
    answer = await tell(shop, path=path)
    assert (answer.status_code, answer.json()) == (200, {"accepted": 1})
    assert await shop.hub.store.ledger.head() == 1


async def test_a_replay_is_accepted_and_changes_nothing(shop: Served) -> None:
    for _ in range(3):
        assert (await tell(shop)).json() == {"accepted": 1}
    assert await shop.hub.store.ledger.head() == 1


async def test_a_forged_request_is_told_nothing_and_changes_nothing(shop: Served) -> None:
    answer = await tell(shop, secret=SECRET)
    assert answer.status_code == 401
    [error] = answer.json()["errors"]
    assert (error["code"], error["message"]) == ("FORBIDDEN", "This request cannot be shown to come from the vendor.")
    assert await shop.hub.store.ledger.head() == 0


async def test_where_nobody_listens_there_is_nothing_whatever_the_reason(shop: Served) -> None:
    answers = [await tell(shop, path=f"/hooks/{key}/x") for key in ("nowhere", "deaf", "box", "%00")]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert (await shop.client.get("/nothing")).content == answers[0].content


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_address_may_be_tried_without_telling_anything(shop: Served, method: str) -> None:
    answer = await shop.client.request(method, "/hooks/shop/x", headers=signed(THEIRS, "msg-1", b""))
    assert answer.status_code == 200
    assert (await shop.client.request(method, "/hooks/shop/x")).status_code == 401
    assert (await shop.client.put("/hooks/shop")).status_code == 405


async def test_more_than_five_mebibytes_are_not_taken(shop: Served) -> None:
    answer = await tell(shop, b" " * (feedback.LARGEST + 1))
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["code"] == "LIMIT"


async def test_a_paused_destination_still_hears(shop: Served) -> None:
    await destinations.pause(shop.hub, "shop")
    assert (await tell(shop)).json() == {"accepted": 1}


async def test_while_a_store_is_away_the_vendor_is_to_try_again(shop: Served, monkeypatch: Any) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StoreError("no answer")

    monkeypatch.setattr("hub.store.ledger.Ledger.append", away)
    answer = await tell(shop)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    monkeypatch.undo()
    assert (await tell(shop)).json() == {"accepted": 1}


async def test_while_its_connector_is_gone_the_vendor_is_to_try_again(shop: Served) -> None:
    shop.hub.registry = Registry({}, {"webhook": "ImportError"})
    answer = await tell(shop)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_what_takes_too_long_is_to_be_told_again(shop: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "PATIENCE_S", 0.0)
    assert (await tell(shop)).status_code == 503


async def test_the_counts_are_told_by_destination_and_the_log_shows_nobody(
    shop: Served,
) -> None:
    with capture_logs() as lines:
        await tell(shop, {"type": "bounced", "email": "ann@example.com", "phone": "0171"})
        await tell(shop, secret=SECRET)
    metrics = (await shop.client.get("/metrics", headers={"Authorization": f"Bearer {shop.token}"})).text
    for outcome in ("accepted", "unusable", "refused"):
        assert f'hub_feedback_total{{destination="shop",outcome="{outcome}"}}' in metrics
    assert [line["event"] for line in lines] == ["feedback heard", "feedback is not believed"]
    assert (lines[0]["accepted"], lines[0]["rejected"]) == (1, 1)
    assert {name for line in lines for name in line} <= ALLOWED_FIELDS | {"log_level"}
    assert "ann@" not in f"{lines}{metrics}" and "0171" not in str(lines)


async def test_where_to_tell_and_what_is_withdrawn_is_shown_and_set(shop: Served) -> None:
    shop.client.headers["authorization"] = f"Bearer {shop.token}"
    shown = "{ destinations { key feedbackUrl feedbackPurposes } }"
    assert (await shop.ask(shown))["destinations"] == [
        {"key": "shop", "feedbackUrl": "/hooks/shop", "feedbackPurposes": []},
        {"key": "deaf", "feedbackUrl": "/hooks/deaf", "feedbackPurposes": []},
        {"key": "box", "feedbackUrl": None, "feedbackPurposes": []},
    ]
    change = (
        'mutation($in: DestinationUpdateInput!) { destinationUpdate(key: "shop", input: $in) '
        "{ destination { feedbackPurposes } errors { code path } } }"
    )
    changed = await shop.ask(change, **{"in": {"feedbackPurposes": ["news"]}})
    assert changed["destinationUpdate"] == {"destination": {"feedbackPurposes": ["news"]}, "errors": []}
    refused = await shop.ask(change, **{"in": {"feedbackPurposes": ["nws"]}})
    assert refused["destinationUpdate"]["errors"] == [{"code": "NOT_FOUND", "path": ["input", "feedbackPurposes", "0"]}]
    cleared = await shop.ask(change, **{"in": {"feedbackPurposes": None}})
    assert cleared["destinationUpdate"]["destination"] == {"feedbackPurposes": []}
