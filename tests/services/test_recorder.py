"""What is remembered of a run's requests: bounded, in bulk, without anybody's data, and over restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.mailchimp import Mailchimp
from connectors.tiktok import TikTok
from connectors.webhook import Webhook
from hub.core.history import Kept, MomentKind, Traffic
from hub.sdk.answers import Response
from hub.sdk.contract import Outcome, OutcomeKind, Result
from hub.sdk.egress import Endpoint
from hub.sdk.errors import TransientError
from hub.sdk.exchanges import Exchange, listener
from hub.services import runs
from hub.services.recorder import MOST_FAILED, MOST_FIRST, MOST_LAST, Recorder, answered, attempting
from hub.services.vocabulary import vocabulary_of
from hub.store.history import KEPT_RUNS
from hub.store.runs import Claim, LeaseLost
from tests.services.shop import Shop, shop, working


@pytest.fixture
async def open_shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(tmp_path) as opened:
        yield opened


async def claimed(shop: Shop) -> Claim:
    await shop.set_up(1)
    await runs.start(shop.hub, shop.sync.key)
    claim = await shop.hub.store.runs.claim("me", shop.clock.now(), 20.0)
    assert claim
    return claim


def exchange(body: Any = None, *, path: str = "/3.0/lists/8a1/members/0cc175b9", error: str | None = None) -> Exchange:
    endpoint = Endpoint("https", "us1.api.mailchimp.com", 443, path, listed=False)
    answer = Response(429 if error else 200, {}, orjson.dumps({"members": [], "ann@example.com": 1}))
    return Exchange("POST", endpoint, body, 10, 0.02, answer, error)


def recorder_of(shop: Shop, claim: Claim, traffic: Traffic | None = None) -> Recorder:
    return Recorder(shop.hub, claim, vocabulary_of(Mailchimp).with_keys(["FNAME"]), traffic or Traffic())


async def test_a_request_is_remembered_by_its_template_and_shapes(open_shop: Shop) -> None:
    claim = await claimed(open_shop)
    recorder = recorder_of(open_shop, claim)
    people = [{"email_address": "ann@example.com", "merge_fields": {"FNAME": "Ann", "SECRET": "x"}}] * 3
    with recorder.listening():
        attempting(2, 3)
        heard = listener.get()
        assert heard
        heard(exchange({"members": people, "update_existing": True}))
        answered(Result({"ann@example.com": Outcome(OutcomeKind.RETRY)}), 3)
    await recorder.save(last=True)
    [kept] = await open_shop.hub.store.history.requests(claim.run.id, 10)
    assert kept.url == "us1.api.mailchimp.com/3.0/lists/{…}/members/{…}"
    assert kept.sent == (
        '{"members":[3 × {"email_address":"string","merge_fields":{"FNAME":"string",1 × {…}}}],'
        '"update_existing":"boolean"}'
    )
    assert kept.received == '{"members":[],1 × {…}}'
    assert (kept.attempt, kept.people, kept.status, kept.error, kept.kept) == (2, 3, 200, None, Kept.FIRST)
    traffic = await open_shop.hub.store.history.traffic(claim.run.id)
    assert (traffic.requests, traffic.retries, traffic.people, traffic.failed) == (1, 1, 2, 0)
    assert listener.get() is None


async def test_a_run_of_thousands_of_requests_keeps_some_and_counts_all(open_shop: Shop) -> None:
    claim = await claimed(open_shop)
    recorder = recorder_of(open_shop, claim)
    for number in range(3_000):
        recorder.hear(exchange(error="TransientError" if number % 3 == 0 else None))
        if number % 500 == 0:
            await recorder.save()
    await recorder.save(last=True)
    history = open_shop.hub.store.history
    kept = [await history.requests(claim.run.id, 100, after) for after in (None, 100, 250, 2_900)]
    by_reason = dict.fromkeys(Kept, 0)
    for request in {request.number: request for page in kept for request in page}.values():
        by_reason[request.kept] += 1
    assert await history.count_requests(claim.run.id) <= MOST_FIRST + MOST_FAILED + MOST_LAST
    assert kept[0][0].number == 1 and kept[-1][-1].number == 3_000 and min(by_reason.values()) > 20
    assert (await history.traffic(claim.run.id)).requests == 3_000


async def test_the_next_process_goes_on_where_the_last_one_left_off(open_shop: Shop) -> None:
    claim = await claimed(open_shop)
    for _ in range(2):
        traffic = await open_shop.hub.store.history.traffic(claim.run.id)
        recorder = recorder_of(open_shop, claim, traffic)
        for _ in range(150):
            recorder.hear(exchange())
        await recorder.save(last=True)
    history = open_shop.hub.store.history
    assert (await history.traffic(claim.run.id)).requests == 300
    assert [(await history.requests(claim.run.id, 1, after))[0].number for after in (None, 100)] == [1, 201]


async def test_who_lost_the_lease_writes_nothing_and_forgets_nothing(open_shop: Shop) -> None:
    claim = await claimed(open_shop)
    recorder = recorder_of(open_shop, claim)
    recorder.hear(exchange())
    await open_shop.hub.store.runs.release(claim)
    assert await open_shop.hub.store.runs.claim("other", open_shop.clock.now(), 20.0)
    for _ in range(2):
        with pytest.raises(LeaseLost):
            await recorder.save()
    assert await open_shop.hub.store.history.count_requests(claim.run.id) == 0


async def test_a_vendor_that_throttles_all_the_time_is_noted_now_and_then(open_shop: Shop) -> None:
    claim = await claimed(open_shop)
    recorder = recorder_of(open_shop, claim)
    with recorder.listening():
        for _ in range(600):
            answered(TransientError("later", 7.0), 40)
            open_shop.clock.pass_by(seconds=20)
    await recorder.save()
    found = await open_shop.hub.store.history.timeline(claim.run.id)
    throttled = [moment for moment in found if moment.kind is MomentKind.THROTTLED]
    assert len(throttled) == 50 and (throttled[0].people, throttled[0].seconds) == (40, 7.0)


async def test_requests_go_with_their_time_and_with_newer_runs(open_shop: Shop) -> None:
    claim = await claimed(open_shop)
    recorder = recorder_of(open_shop, claim)
    recorder.hear(exchange())
    await recorder.save(last=True)
    history = open_shop.hub.store.history
    open_shop.clock.pass_by(days=31)
    await history.prune(open_shop.sync.id, open_shop.clock.now())
    assert await history.count_requests(claim.run.id) == 0
    recorder.hear(exchange())
    await recorder.save()
    await open_shop.hub.store.runs.release(claim)
    async with working(open_shop.hub):
        for _ in range(KEPT_RUNS):
            await open_shop.send()
    assert await history.count_requests(claim.run.id) == 0


async def test_a_run_tells_its_course(open_shop: Shop) -> None:
    await open_shop.set_up(4, failures=[{"call": 1, "kind": "throttle", "retry_after": 0.05}])
    async with working(open_shop.hub):
        run = await open_shop.send()
    found = [(moment.kind.value, moment.people) for moment in await open_shop.hub.store.history.timeline(run.id)]
    assert sorted(found, key=str) == sorted(
        [
            ("QUEUED", None),
            ("CLAIMED", None),
            ("PLANNED", 4),
            ("DELIVERING", None),
            ("THROTTLED", 4),
            ("SETTLED", None),
            ("ENDED", None),
        ],
        key=str,
    )
    traffic = await open_shop.hub.store.history.traffic(run.id)
    assert traffic.people == 4 and traffic.requests == 0 and traffic.seconds > 0


async def test_a_run_over_a_restart_tells_both_lives(open_shop: Shop) -> None:
    await open_shop.set_up(40, batch=1, concurrency=1, latency_ms=30)
    async with working(open_shop.hub):
        run = await runs.start(open_shop.hub, open_shop.sync.key)
        while not open_shop.there:
            await asyncio.sleep(0.02)
    async with working(open_shop.hub):
        run = await open_shop.outcome_of(run)
    kinds = [moment.kind for moment in await open_shop.hub.store.history.timeline(run.id)]
    assert {MomentKind.DRAINED, MomentKind.TAKEN_OVER, MomentKind.RESUMED, MomentKind.ENDED} <= set(kinds)
    assert (await open_shop.hub.store.history.traffic(run.id)).people == 40


def test_the_words_of_a_connector_are_those_of_its_code() -> None:
    known = vocabulary_of(Mailchimp)
    assert "mapping" in vocabulary_of(TikTok).segments and "mapping" not in vocabulary_of(Webhook).segments
    assert {"3.0", "lists", "members", "segments"} <= known.segments
    assert {"email_address", "members_to_add", "merge_fields", "update_existing"} <= known.keys
    assert {"add", "remove", "fields", "id", "rejected"} <= vocabulary_of(Webhook).keys
