"""A run from end to end over a pretend vendor: what is sent, what is counted, what an admin can do about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.core.records import RunCause, RunStatus, WithheldReason
from hub.errors import ErrorCode, HubError
from hub.services import runs
from tests.services.shop import PATIENCE_S, Shop, shop, standing_still, until, working


@pytest.fixture
async def open_shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(tmp_path) as opened:
        yield opened


async def test_a_run_makes_the_audience_equal_to_the_segment(open_shop: Shop) -> None:
    await open_shop.set_up(25, batch=4)
    async with working(open_shop.hub):
        run = await open_shop.send()
    assert run.status is RunStatus.SUCCEEDED and run.counts.added == 25 and run.counts.balanced
    assert len(open_shop.there) == 25
    assert run.cause is RunCause.MANUAL and run.started_at and run.finished_at


async def test_a_second_run_sends_nothing_to_anyone_who_is_there(open_shop: Shop) -> None:
    await open_shop.set_up(5)
    async with working(open_shop.hub):
        await open_shop.send()
        calls = len(open_shop.account.calls)
        run = await open_shop.send()
    assert run.counts.unchanged == 5 and len(open_shop.account.calls) == calls


async def test_nobody_is_sent_who_has_not_agreed(open_shop: Shop) -> None:
    await open_shop.set_up(3)
    await open_shop.withdraw("p001")
    async with working(open_shop.hub):
        run = await open_shop.send()
    assert open_shop.there == {"p000", "p002"}
    assert run.withheld == {WithheldReason.NO_CONSENT: 1} and run.counts.withheld == 1
    assert run.status is RunStatus.SUCCEEDED


async def test_the_refused_are_named_and_left_alone_until_somebody_retries_them(open_shop: Shop) -> None:
    await open_shop.set_up(4, reject=["p002"])
    async with working(open_shop.hub):
        first = await open_shop.send()
        calls = len(open_shop.account.calls)
        second = await open_shop.send()
        assert len(open_shop.account.calls) == calls
        again = await open_shop.outcome_of(await runs.retry_rejected(open_shop.hub, first.id))
    assert first.status is RunStatus.PARTIAL and first.counts.rejected == 1
    assert second.status is RunStatus.PARTIAL and second.counts.rejected == 1 and second.counts.unchanged == 3
    assert again.counts.rejected == 1 and len(open_shop.account.calls) == calls + 1


async def test_a_transient_failure_is_tried_again_within_the_run(open_shop: Shop) -> None:
    await open_shop.set_up(
        4, failures=[{"call": 1, "kind": "transient"}, {"call": 2, "kind": "throttle", "retry_after": 0.05}]
    )
    async with working(open_shop.hub):
        run = await open_shop.send()
    assert run.status is RunStatus.SUCCEEDED and len(open_shop.there) == 4


async def test_an_unknown_answer_counts_as_pending_and_is_sent_again(open_shop: Shop) -> None:
    await open_shop.set_up(4, failures=[{"call": 1, "kind": "unknown"}])
    async with working(open_shop.hub):
        first = await open_shop.send()
        second = await open_shop.send()
    assert first.status is RunStatus.PARTIAL and first.counts.pending == 4
    assert second.status is RunStatus.SUCCEEDED and second.counts.added == 4


async def test_a_refused_account_pauses_the_destination_and_says_why(open_shop: Shop) -> None:
    await open_shop.set_up(6, batch=2, concurrency=1, failures=[{"call": 2, "kind": "auth"}])
    async with working(open_shop.hub):
        run = await open_shop.send()
        with pytest.raises(HubError) as refusal:
            await runs.start(open_shop.hub, open_shop.sync.key)
    destination = await open_shop.hub.store.destinations.need("vendor")
    assert run.status is RunStatus.FAILED and run.failure and run.failure.code is ErrorCode.DESTINATION_AUTH
    assert run.counts.added == 2 and run.counts.pending == 4
    assert destination.paused and destination.paused_reason == run.failure
    assert refusal.value.code is ErrorCode.CONFLICT


async def test_a_destination_out_of_reach_fails_the_run_and_leaves_everyone_pending(open_shop: Shop) -> None:
    failures = [{"call": call, "kind": "unreachable"} for call in range(1, 9)]
    await open_shop.set_up(4, failures=failures)
    async with working(open_shop.hub):
        run = await open_shop.send()
    assert run.status is RunStatus.FAILED and run.failure and run.failure.code is ErrorCode.DESTINATION_UNREACHABLE
    assert run.counts.pending == 4 and not open_shop.there


async def test_a_batch_refused_for_one_row_is_divided(open_shop: Shop) -> None:
    await open_shop.set_up(4, failures=[{"call": 1, "kind": "refused"}])
    async with working(open_shop.hub):
        run = await open_shop.send()
    assert run.status is RunStatus.SUCCEEDED and run.counts.added == 4 and open_shop.account.started == 3


async def test_the_brake_waits_for_approval_and_then_carries_out_that_plan(open_shop: Shop) -> None:
    await open_shop.set_up(4, share=0.3)
    async with working(open_shop.hub):
        await open_shop.send()
        await open_shop.expel("p000", "p001", "p002")
        held = await open_shop.send()
        assert held.status is RunStatus.WAITING_APPROVAL and held.counts.leavers == 3 and len(open_shop.there) == 4
        with pytest.raises(HubError):
            await runs.approve(open_shop.hub, held.id - 1)
        await runs.approve(open_shop.hub, held.id)
        run = await open_shop.outcome_of(held)
        async with asyncio.timeout(PATIENCE_S):
            while not (run := (await open_shop.hub.store.runs.find(held.id))).status.ended:
                await asyncio.sleep(0.05)
    assert run.status is RunStatus.SUCCEEDED and open_shop.there == {"p003"}


async def test_a_run_that_waits_for_approval_can_be_cancelled(open_shop: Shop) -> None:
    await open_shop.set_up(4, share=0.3)
    async with working(open_shop.hub):
        await open_shop.send()
        await open_shop.expel("p000", "p001", "p002")
        held = await open_shop.send()
        ended = await runs.cancel(open_shop.hub, held.id)
    assert ended.status is RunStatus.CANCELLED and len(open_shop.there) == 4


async def test_starting_while_a_run_is_under_way_queues_one_follow_up(open_shop: Shop) -> None:
    await open_shop.set_up(4)
    first = await runs.start(open_shop.hub, open_shop.sync.key)
    second = await runs.start(open_shop.hub, open_shop.sync.key, as_of=open_shop.clock.now())
    assert first.id == second.id and second.as_of == open_shop.clock.now()


async def test_a_cancelled_run_finishes_what_is_in_flight_and_leaves_the_rest(open_shop: Shop) -> None:
    # To the end it would take twenty seconds, and hears of it much sooner.
    await open_shop.set_up(40, batch=1, concurrency=1, latency_ms=500)
    async with working(open_shop.hub):
        run = await runs.start(open_shop.hub, open_shop.sync.key)
        await until(lambda: bool(open_shop.there))
        await runs.cancel(open_shop.hub, run.id)
        run = await open_shop.outcome_of(run)
    assert run.status is RunStatus.CANCELLED and run.counts.balanced
    assert run.counts.added == len(open_shop.there) < 40 and run.counts.pending == 40 - run.counts.added


async def test_whoever_withdraws_while_a_run_is_under_way_is_not_there_afterwards(
    open_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_shop.set_up(30, batch=1, concurrency=2)
    go_on = standing_still(monkeypatch, open_shop, after=3)
    async with working(open_shop.hub):
        run = await runs.start(open_shop.hub, open_shop.sync.key)
        await until(lambda: len(open_shop.there) == 3)
        gone = sorted(open_shop.there)[0]
        await open_shop.withdraw(gone)
        await open_shop.withdraw("p029")
        go_on.set()
        run = await open_shop.outcome_of(run)
        await until(lambda: gone not in open_shop.there)
    assert run.counts.balanced and run.withheld == {WithheldReason.NO_CONSENT: 1}
    assert not {gone, "p029"} & open_shop.there
    assert not any("p029" in call["add"] for call in open_shop.account.calls)


async def test_progress_ends_when_the_run_ends(open_shop: Shop) -> None:
    await open_shop.set_up(10, batch=1, concurrency=1, latency_ms=20)
    async with working(open_shop.hub):
        run = await runs.start(open_shop.hub, open_shop.sync.key)
        seen = [state async for state in runs.progress(open_shop.hub, run.id)]
    assert seen[-1].status is RunStatus.SUCCEEDED and all(state.counts.balanced for state in seen)


async def test_a_run_that_does_not_exist_is_not_found(open_shop: Shop) -> None:
    for ask in (runs.approve, runs.cancel, runs.retry_rejected):
        with pytest.raises(HubError) as refusal:
            await ask(open_shop.hub, 99)
        assert refusal.value.code is ErrorCode.NOT_FOUND
