"""Limits at work: what one run is told holds for all runs of the destination, and for nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox import Sandbox, forget, pretend_account
from hub.core.records import Destination, RunStatus
from hub.sdk import Capabilities, DailyBudget, Gauge, Limit, Response, TransientError, Window
from hub.services import runs
from hub.services.limiters import Limiter
from hub.services.vendors import Vendors
from tests.services.shop import PATIENCE_S, Shop, shop, until, working


class Time:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class Frozen(Time):
    """A clock that only the test moves on."""

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            await asyncio.sleep(0.01)


def limiter(time: Time, *limits: Limit, concurrency: int = 4) -> Limiter:
    one = Limiter(time.clock, time.sleep)
    one.obey(Capabilities(concurrency=concurrency, limits=limits))
    return one


async def waited(one: Limiter, time: Time) -> float:
    """How long a call had to wait, which then ends at once."""
    began = time.now
    assert await one.enter(unless=asyncio.Event())
    one.leave()
    return time.now - began


async def test_calls_enter_as_the_vendor_allows() -> None:
    time = Time()
    one = limiter(time, Window(2, 10.0))
    assert [round(await waited(one, time)) for _ in range(5)] == [0, 0, 10, 0, 10]


async def test_no_more_calls_are_under_way_than_there_are_places_whoever_makes_them() -> None:
    one = limiter(Time(), concurrency=2)
    assert one.enter_at_once() and one.enter_at_once() and not one.enter_at_once()
    third = asyncio.create_task(one.enter(unless=asyncio.Event()))
    await asyncio.sleep(0.01)
    assert not third.done()
    one.leave()
    assert await third


async def test_calls_enter_in_the_order_of_coming() -> None:
    one, entered = limiter(Time(), concurrency=1), list[int]()

    async def call(number: int) -> None:
        await one.enter(unless=asyncio.Event())
        entered.append(number)
        await asyncio.sleep(0)
        one.leave()

    await asyncio.gather(*map(call, range(9)))
    assert entered == list(range(9))


async def test_what_is_urgent_waits_neither_for_tomorrows_budget_nor_behind_those_who_do() -> None:
    time = Time()
    one = limiter(time, DailyBudget(1), Window(2, 10.0), concurrency=2)
    one._sleep = lambda seconds: asyncio.sleep(3600 if seconds > 10 else 0)  # type: ignore[assignment]
    assert await waited(one, time) == 0
    bulk = asyncio.create_task(one.enter(unless=asyncio.Event()))
    await asyncio.sleep(0.01)
    async with asyncio.timeout(PATIENCE_S):
        assert await one.enter(unless=asyncio.Event(), urgent=True)
    assert not bulk.done() and not one.enter_at_once() and not one.enter_at_once(urgent=True), "two in ten seconds"
    bulk.cancel()


async def test_what_is_urgent_waits_where_the_vendor_itself_asks_for_it() -> None:
    time = Time()
    one = limiter(time, DailyBudget(1))
    one.hear(TransientError("throttled", retry_after=30.0))
    assert one.enter_at_once(urgent=True) is False
    began = time.now
    assert await one.enter(unless=asyncio.Event(), urgent=True) and time.now - began >= 30


async def test_whoever_gives_up_waiting_leaves_the_line_and_takes_no_place() -> None:
    one, gone = limiter(Time(), concurrency=1), asyncio.Event()
    assert one.enter_at_once()
    first, second = (asyncio.create_task(one.enter(unless=event)) for event in (gone, asyncio.Event()))
    await asyncio.sleep(0.01)
    gone.set()
    assert await first is False
    one.leave()
    assert await second
    one.leave()
    assert one.enter_at_once()


async def test_whoever_is_cancelled_while_waiting_takes_no_place() -> None:
    one = limiter(Time(), concurrency=1)
    assert one.enter_at_once()
    waiting = asyncio.create_task(one.enter(unless=asyncio.Event()))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    one.leave()
    assert one.enter_at_once()


async def test_a_call_of_several_requests_is_paid_for_by_the_next() -> None:
    time = Time()
    one = limiter(time, Window(4, 10.0))
    assert await one.enter(unless=asyncio.Event())
    for _ in range(4):
        one.asked()
    one.leave()
    assert round(await waited(one, time)) == 10


async def test_a_call_that_made_no_request_has_not_paid_for_anothers() -> None:
    time = Time()
    one = limiter(time, Window(2, 10.0))
    await waited(one, time)
    one.asked()
    assert round(await waited(one, time)) == 10


async def test_answers_are_heard_whatever_the_connector_makes_of_them() -> None:
    for response in (
        Response(429, {"retry-after": "30"}),
        Response(503, {"retry-after": "30"}),
        Response(429, {"x-ratelimit-reset": "30"}),
        Response(200, {"x-used": "95"}),
    ):
        time = Time()
        one = limiter(time, Gauge("x-used", most=0.9, rest_s=30.0))
        one.answered(response)
        assert round(await waited(one, time)) == 30, response.status


async def test_a_success_that_names_a_wait_holds_nobody_up() -> None:
    time = Time()
    one = limiter(time)
    one.answered(Response(200, {"retry-after": "30"}))
    assert await waited(one, time) == 0


async def test_what_was_used_outlives_a_change_of_the_configuration_but_not_of_the_limits() -> None:
    time = Time()
    one = limiter(time, DailyBudget(1))
    await waited(one, time)
    one.obey(Capabilities(concurrency=1, limits=(DailyBudget(1),)))
    assert not one.enter_at_once()
    one.obey(Capabilities(limits=(DailyBudget(9),)))
    assert one.enter_at_once()


# In the hub.


@pytest.fixture
async def open_shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(tmp_path) as opened:
        await opened.set_up(3)
        yield opened


async def another_destination(opened: Shop, name: str, **config: Any) -> Destination:
    forget(name)
    return await opened.hub.store.destinations.create(
        key=name, name=name, connector="sandbox", secrets={}, config={"account": name, **config}
    )


async def another_sync(opened: Shop, destination: Destination, audience: str = "vip") -> str:
    segment, key = await opened.hub.store.segments.need("all"), f"{destination.key}-{audience}"
    await opened.hub.store.syncs.create(
        key=key,
        segment_id=segment.id,
        destination_id=destination.id,
        audience=audience,
        purposes=["news"],
        schedule="manual",
        max_removal_share=1.0,
    )
    return key


async def test_twenty_destinations_beside_one_that_hangs_are_done_unhindered(
    open_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(one: Sandbox) -> None:
        await asyncio.sleep(3600 if one.config.account == "hangs" else 0)

    monkeypatch.setattr(Sandbox, "_take_its_time", hang)
    monkeypatch.setattr("hub.services.worker.DRAIN_S", 0.1)
    hangs = await another_destination(open_shop, "hangs")
    names = [f"quick{number}" for number in range(20)]
    keys = [await another_sync(open_shop, await another_destination(open_shop, name)) for name in names]
    async with working(open_shop.hub):
        stuck = [await runs.start(open_shop.hub, await another_sync(open_shop, hangs, a)) for a in ("a", "b", "c")]
        await until(lambda: pretend_account("hangs").started == 3)
        ended = await asyncio.gather(*[_run(open_shop, key) for key in keys])
        assert [run.status for run in ended] == [RunStatus.SUCCEEDED] * 20
        assert all(len(pretend_account(name).members("vip")) == 3 for name in names)
        still = [await open_shop.hub.store.runs.find(run.id) for run in stuck]
        assert [run.status for run in still if run] == [RunStatus.RUNNING] * 3


async def _run(opened: Shop, key: str) -> Any:
    return await opened.outcome_of(await runs.start(opened.hub, key))


async def test_a_throttled_answer_slows_every_run_of_the_destination_and_no_other(open_shop: Shop) -> None:
    throttle = {"call": 1, "kind": "throttle", "retry_after": 3600.0}
    slow = await another_destination(open_shop, "slow", failures=[throttle])
    async with working(open_shop.hub):
        first = await runs.start(open_shop.hub, await another_sync(open_shop, slow, "a"))
        await until(lambda: pretend_account("slow").started == 1)
        second = await runs.start(open_shop.hub, await another_sync(open_shop, slow, "b"))
        elsewhere = await open_shop.send()
        await asyncio.sleep(0.3)
        assert elsewhere.status is RunStatus.SUCCEEDED
        assert pretend_account("slow").started == 1
        for run in (first, second):
            await runs.cancel(open_shop.hub, run.id)
        ended = [await open_shop.outcome_of(run) for run in (first, second)]
    assert [run.status for run in ended] == [RunStatus.CANCELLED] * 2
    assert [run.counts.pending for run in ended] == [3, 3]


async def test_consent_is_read_after_the_destinations_wait_not_before(open_shop: Shop) -> None:
    """Law L3, with a limiter in between: who withdraws while a run waits for its turn is not sent."""
    throttle = {"call": 1, "kind": "throttle", "retry_after": 3600.0}
    slow, time = await another_destination(open_shop, "slow", failures=[throttle]), Frozen()
    async with working(open_shop.hub, limiter=partial(Limiter, time.clock, time.sleep)):
        await runs.start(open_shop.hub, await another_sync(open_shop, slow, "a"))
        await until(lambda: pretend_account("slow").started == 1)
        second = await runs.start(open_shop.hub, await another_sync(open_shop, slow, "b"))
        await until(lambda: _is_running(open_shop, second.id))
        await open_shop.withdraw("p001")
        time.now += 3600.0
        await open_shop.outcome_of(second)
    sent = {key for call in pretend_account("slow").calls if call["audience"] == "b" for key in call["add"]}
    assert sent == {"p000", "p002"}


async def _is_running(opened: Shop, id: int) -> bool:
    run = await opened.hub.store.runs.find(id)
    return run is not None and run.status is RunStatus.RUNNING


async def test_a_wait_of_the_limiters_does_not_keep_the_worker_from_stopping(open_shop: Shop) -> None:
    throttle = {"call": 1, "kind": "throttle", "retry_after": 3600.0}
    slow = await another_destination(open_shop, "slow", failures=[throttle])
    async with asyncio.timeout(PATIENCE_S):
        async with working(open_shop.hub):
            await runs.start(open_shop.hub, await another_sync(open_shop, slow, "a"))
            await until(lambda: pretend_account("slow").started == 1)
            second = await runs.start(open_shop.hub, await another_sync(open_shop, slow, "b"))
            await until(lambda: _is_running(open_shop, second.id))


async def test_a_run_that_waits_at_its_gate_can_be_cancelled(open_shop: Shop) -> None:
    throttle = {"call": 1, "kind": "throttle", "retry_after": 3600.0}
    slow = await another_destination(open_shop, "slow", failures=[throttle], latency_ms=800, concurrency=1)
    keys = [await another_sync(open_shop, slow, audience) for audience in ("a", "b")]
    async with working(open_shop.hub):
        both = [await runs.start(open_shop.hub, key) for key in keys]
        await until(lambda: len(pretend_account("slow").calls) == 1)
        await asyncio.sleep(0.3)
        for run in both:
            await runs.cancel(open_shop.hub, run.id)
        ended = [await open_shop.outcome_of(run) for run in both]
    assert [run.status for run in ended] == [RunStatus.CANCELLED] * 2 and pretend_account("slow").started == 1


async def test_a_connector_may_raise_its_throttle_without_any_http() -> None:
    time = Time()
    one = limiter(time)

    async def penalty_box() -> None:
        raise TransientError("body code 40133", retry_after=300.0)

    with pytest.raises(TransientError):
        await one.through(penalty_box, unless=asyncio.Event())
    assert round(await waited(one, time)) == 300


async def test_what_is_spent_of_a_day_is_known_to_the_next_process(tmp_path: Path) -> None:
    async with shop(tmp_path) as open_shop:
        await open_shop.set_up(1)
        before, after = Vendors(open_shop.hub), Vendors(open_shop.hub)
        spending, heir = before.limiter(open_shop.destination), after.limiter(open_shop.destination)
        for one in (spending, heir):
            one.obey(Capabilities(limits=(DailyBudget(1),)))
        assert spending.enter_at_once()
        await before.remember(open_shop.destination)
        heir.recall(await after.allowance(open_shop.destination))
        assert not heir.enter_at_once()
        await before.close()
        await after.close()
