"""What the worker does by itself: withdrawals, continuous syncs, schedules, repeats, and going on after an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.sandbox import Sandbox
from hub.core.records import ConsentAction, Run, RunCause, RunStatus
from hub.core.scopes import Scope
from hub.services import metrics, reactions, runs, segments, syncs
from hub.services.reactions import Reactions
from hub.services.worker import Worker
from tests.services.shop import PATIENCE_S, Shop, shop, until, working


@pytest.fixture
async def open_shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(tmp_path) as opened:
        yield opened


class Rounds:
    """The looks that the worker takes at its timetables, which are quicker here than once a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done = 0
        look = Reactions.on_time

        async def counted(worker: Reactions) -> None:
            await look(worker)
            self.done += 1

        monkeypatch.setattr(reactions, "TICK_S", 0.05)
        monkeypatch.setattr(Reactions, "on_time", counted)

    async def pass_by(self) -> None:
        """Until one that began after now has ended."""
        wanted = self.done + 2
        await until(lambda: self.done >= wanted)


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Rounds:
    return Rounds(monkeypatch)


async def all_runs(opened: Shop) -> list[Run]:
    return await opened.hub.store.runs.page(50)


async def idle(opened: Shop) -> bool:
    return all(run.status.ended for run in await all_runs(opened))


async def test_a_withdrawal_removes_at_once_also_on_a_manual_and_paused_sync(open_shop: Shop) -> None:
    await open_shop.set_up(4)
    async with working(open_shop.hub):
        await open_shop.send()
        await open_shop.hub.store.syncs.pause(open_shop.sync.id)
        await open_shop.withdraw("p002")
        await until(lambda: open_shop.there == {"p000", "p001", "p003"})
        await until(lambda: idle(open_shop))
    newest, *_ = await all_runs(open_shop)
    assert newest.cause is RunCause.WITHDRAWAL and newest.counts.removed == 1 and newest.status is RunStatus.SUCCEEDED


async def test_whoever_withdraws_while_their_own_request_is_under_way_is_removed_though_the_run_goes_on(
    open_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, answered = open_shop.account, {1: asyncio.Event(), 2: asyncio.Event()}

    async def take_its_time(_: Sandbox) -> None:
        if account.started in answered:
            await answered[account.started].wait()

    monkeypatch.setattr(Sandbox, "_take_its_time", take_its_time)
    monkeypatch.setattr(reactions, "ROUND_S", PATIENCE_S * 10)
    await open_shop.set_up(2, batch=1, concurrency=3)
    async with working(open_shop.hub):
        run = await runs.start(open_shop.hub, open_shop.sync.key)
        await until(lambda: account.started == 2)
        await open_shop.withdraw("p000")
        await until(lambda: not open_shop.hub.signals.consent_changed.is_set())
        await asyncio.sleep(0.5)  # By now it has been looked whom to remove: nobody yet.
        answered[1].set()
        await until(lambda: any("p000" in call.get("remove", ()) for call in account.calls))
        still = await open_shop.hub.store.runs.find(run.id)
        answered[2].set()
        await open_shop.outcome_of(run)
    assert still and still.status is RunStatus.RUNNING
    assert open_shop.there == {"p001"}


async def test_a_withdrawal_waits_for_a_paused_destination_and_goes_when_it_is_resumed(open_shop: Shop) -> None:
    await open_shop.set_up(3)
    async with working(open_shop.hub):
        await open_shop.send()
        await open_shop.hub.store.destinations.pause(open_shop.destination.id)
        await open_shop.withdraw("p002")
        await until(lambda: has_queued(open_shop, Scope.WITHDRAWN))
        assert "p002" in open_shop.there
        await open_shop.hub.store.destinations.resume(open_shop.destination.id)
        await until(lambda: "p002" not in open_shop.there)


async def has_queued(opened: Shop, scope: Scope) -> bool:
    return any(run.scope is scope and run.status is RunStatus.QUEUED for run in await all_runs(opened))


async def test_the_brake_never_holds_a_withdrawal_back(open_shop: Shop) -> None:
    await open_shop.set_up(3, share=0.0)
    async with working(open_shop.hub):
        await open_shop.send()
        for person in ("p000", "p001", "p002"):
            await open_shop.withdraw(person)
        await until(lambda: not open_shop.there)


async def test_a_grant_that_lapses_removes_by_itself(open_shop: Shop) -> None:
    await open_shop.set_up(2)
    lapse = open_shop.clock.now() + timedelta(hours=1)
    await open_shop.decide("p001", ConsentAction.GRANT, expires_at=lapse)
    async with working(open_shop.hub):
        await open_shop.send()
        assert open_shop.there == {"p000", "p001"}
        open_shop.clock.pass_by(hours=2)
        open_shop.hub.signals.consent_changed.set()
        await until(lambda: open_shop.there == {"p000"})


async def test_a_continuous_sync_runs_after_an_import_and_keeps_no_empty_run(open_shop: Shop) -> None:
    await open_shop.set_up(3, schedule="continuous")
    async with working(open_shop.hub):
        await until(lambda: len(open_shop.there) == 3)
        await until(lambda: idle(open_shop))
        before = len(await all_runs(open_shop))
        open_shop.hub.signals.imported.set()
        await asyncio.sleep(0.8)
        assert len(await all_runs(open_shop)) == before
        await open_shop.admit(["new"])
        open_shop.hub.signals.imported.set()
        await until(lambda: "new" in open_shop.there)
    assert {run.cause for run in await all_runs(open_shop)} == {RunCause.CHANGE}


async def test_a_continuous_sync_hears_at_once_of_a_segment_that_is_evaluated_or_changed(open_shop: Shop) -> None:
    await open_shop.set_up(3, schedule="continuous")
    async with working(open_shop.hub):
        await until(lambda: len(open_shop.there) == 3)
        await until(lambda: idle(open_shop))
        await open_shop.expel("p001")
        await segments.evaluate(open_shop.hub, "all")
        await until(lambda: open_shop.there == {"p000", "p002"})
        await segments.update(open_shop.hub, "all", rule="not everyone")
        await until(lambda: not open_shop.there)
        await until(lambda: idle(open_shop))
    assert len(await all_runs(open_shop)) == 3


async def test_a_withdrawal_is_measured_from_its_recording_not_from_the_run(open_shop: Shop) -> None:
    await open_shop.set_up(3)
    async with working(open_shop.hub):
        await open_shop.send()
    before = measured()
    await open_shop.withdraw("p001")
    open_shop.clock.pass_by(minutes=10)
    await open_shop.withdraw("p002")
    async with working(open_shop.hub):
        await until(lambda: open_shop.there == {"p000"})
        await until(lambda: idle(open_shop))
    assert (measured()["count"] - before["count"], measured()["sum"] - before["sum"]) == (1, 600)


def measured() -> dict[str, float]:
    [found] = metrics.WITHDRAWAL.collect()
    return {sample.name.rpartition("_")[2]: sample.value for sample in found.samples}


async def test_a_continuous_sync_takes_up_whoever_agrees(open_shop: Shop) -> None:
    await open_shop.set_up(2, schedule="continuous")
    await open_shop.withdraw("p001")
    async with working(open_shop.hub):
        await until(lambda: open_shop.there == {"p000"})
        open_shop.clock.pass_by(minutes=1)
        await open_shop.decide("p001", ConsentAction.GRANT)
        await until(lambda: open_shop.there == {"p000", "p001"})


async def test_a_cron_sync_runs_when_its_hour_has_come_and_once_for_several_missed_ones(
    open_shop: Shop, rounds: Rounds
) -> None:
    await open_shop.set_up(2, schedule="0 * * * *")
    async with working(open_shop.hub):
        await rounds.pass_by()
        assert not await all_runs(open_shop)
        open_shop.clock.pass_by(hours=5)
        await until(lambda: len(open_shop.there) == 2)
        await until(lambda: idle(open_shop))
    [run] = await all_runs(open_shop)
    assert run.cause is RunCause.SCHEDULE


async def test_an_audit_has_a_schedule_of_its_own_and_runs_once_for_several_missed_times(
    open_shop: Shop, rounds: Rounds
) -> None:
    await open_shop.set_up(2)
    await syncs.update(open_shop.hub, open_shop.sync.key, audit_schedule="30 4 * * *")
    async with working(open_shop.hub):
        await rounds.pass_by()
        assert not await all_runs(open_shop)
        open_shop.clock.pass_by(days=3)
        await until(lambda: has_run(open_shop))
        await until(lambda: idle(open_shop))
        [audit] = await all_runs(open_shop)
        assert (audit.cause, audit.scope, audit.status) == (RunCause.SCHEDULE, Scope.AUDIT, RunStatus.SUCCEEDED)
        await syncs.pause(open_shop.hub, open_shop.sync.key)
        open_shop.clock.pass_by(days=1)
        await rounds.pass_by()
    assert not open_shop.there and len(await all_runs(open_shop)) == 1


async def test_a_schedule_of_runs_and_one_of_audits_are_each_kept_to(open_shop: Shop, rounds: Rounds) -> None:
    await open_shop.set_up(2, schedule="0 * * * *")
    await syncs.update(open_shop.hub, open_shop.sync.key, audit_schedule="30 12 * * *")
    async with working(open_shop.hub):
        await rounds.pass_by()
        open_shop.clock.pass_by(minutes=31)
        await until(lambda: has_run(open_shop))
        await until(lambda: idle(open_shop))
        assert [run.scope for run in await all_runs(open_shop)] == [Scope.AUDIT]
        open_shop.clock.pass_by(minutes=30)
        await until(lambda: has_run(open_shop, 2))
        await until(lambda: idle(open_shop))
    assert [run.scope for run in await all_runs(open_shop)] == [Scope.ALL, Scope.AUDIT]


async def has_run(opened: Shop, times: int = 1) -> bool:
    return len(await all_runs(opened)) >= times


async def test_a_remove_after_an_unanswered_add_is_repeated_once_the_add_can_no_longer_land(open_shop: Shop) -> None:
    failures = [{"call": 1, "kind": "timeout_after_apply"}]
    await open_shop.set_up(2, failures=failures)
    async with working(open_shop.hub):
        await open_shop.send()
        await open_shop.expel("p001")
        await open_shop.send()
        assert open_shop.there == {"p000"}
        open_shop.account.audiences["vip"]["p001"] = {}  # the late add lands
        open_shop.clock.pass_by(seconds=6)
        await until(lambda: open_shop.there == {"p000"})


@pytest.mark.parametrize("listing", ["key", "nothing"])
async def test_after_such_a_repeat_the_vendors_list_is_read_back_where_it_has_one(
    open_shop: Shop, listing: str
) -> None:
    await open_shop.set_up(2, failures=[{"call": 1, "kind": "timeout_after_apply"}], listing=listing)

    async def ended(scope: Scope) -> bool:
        return any(run.scope is scope and run.status is RunStatus.SUCCEEDED for run in await all_runs(open_shop))

    async with working(open_shop.hub):
        await open_shop.send()
        await open_shop.expel("p001")
        await open_shop.send()
        open_shop.clock.pass_by(seconds=6)
        await until(lambda: ended(Scope.REPEAT))
        if listing == "key":
            await until(lambda: ended(Scope.REPAIR))
        else:
            await asyncio.sleep(0.5)
            assert not [run for run in await all_runs(open_shop) if run.scope.audits]


async def test_a_slow_destination_holds_nobody_else_up(open_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(one: Sandbox) -> None:
        await asyncio.sleep(3600 if one.account is open_shop.account else 0)

    monkeypatch.setattr("hub.services.worker.DRAIN_S", 0.1)
    monkeypatch.setattr(Sandbox, "_take_its_time", hang)
    await open_shop.set_up(3)
    store = open_shop.hub.store
    quick = await store.destinations.create(
        key="quick", name="Quick", connector="sandbox", secrets={}, config={"account": f"{open_shop.account_name}-q"}
    )
    segment = await store.segments.need("all")
    await store.syncs.create(
        key="to-quick", segment_id=segment.id, destination_id=quick.id, audience="vip", purposes=["news"]
    )
    async with working(open_shop.hub):
        await runs.start(open_shop.hub, open_shop.sync.key)
        quick_run = await open_shop.outcome_of(await runs.start(open_shop.hub, "to-quick"))
        slow = next(run for run in await all_runs(open_shop) if run.id != quick_run.id)
        assert quick_run.status is RunStatus.SUCCEEDED and not slow.status.ended


async def test_a_worker_with_its_hands_full_takes_the_next_run_up_as_soon_as_one_ends(
    open_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.services.worker.MOST_RUNS", 1)
    monkeypatch.setattr("hub.services.worker.POLL_S", 10 * PATIENCE_S)
    await open_shop.set_up(3, latency_ms=100)
    store = open_shop.hub.store
    other = await store.destinations.create(
        key="other", name="Other", connector="sandbox", secrets={}, config={"account": f"{open_shop.account_name}-o"}
    )
    segment = await store.segments.need("all")
    await store.syncs.create(
        key="to-other", segment_id=segment.id, destination_id=other.id, audience="vip", purposes=["news"]
    )
    async with working(open_shop.hub):
        queued = [await runs.start(open_shop.hub, key) for key in (open_shop.sync.key, "to-other")]
        async with asyncio.timeout(PATIENCE_S):
            assert [(await open_shop.outcome_of(run)).status for run in queued] == [RunStatus.SUCCEEDED] * 2


async def test_a_stopped_worker_leaves_the_run_to_the_next_one_which_finishes_it(open_shop: Shop) -> None:
    await open_shop.set_up(30, batch=1, concurrency=1, latency_ms=30)
    async with working(open_shop.hub):
        run = await runs.start(open_shop.hub, open_shop.sync.key)
        await until(lambda: len(open_shop.there) >= 3)
    left = await open_shop.hub.store.runs.find(run.id)
    assert left and left.status is RunStatus.RUNNING and len(open_shop.there) < 30
    async with working(open_shop.hub):
        ended = await open_shop.outcome_of(run)
    assert ended.status is RunStatus.SUCCEEDED and ended.counts.added == 30 and ended.counts.balanced


async def test_a_fault_inside_the_hub_rests_the_run_and_fails_it_in_the_end(
    open_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_shop.set_up(2)

    def broken(*_: object) -> None:
        raise RuntimeError("a disk is full")

    monkeypatch.setattr("hub.services.drafting.make_plan", broken)
    monkeypatch.setattr("hub.services.worker.REST_S", 0.01)
    async with working(open_shop.hub):
        run = await open_shop.send()
    assert run.status is RunStatus.FAILED and run.failure and "disk" not in run.failure.message


async def test_a_worker_stops_at_once_when_it_has_nothing_to_do(open_shop: Shop) -> None:
    worker = Worker(open_shop.hub)
    task = asyncio.create_task(worker.run())
    await asyncio.sleep(0.1)
    worker.stop()
    async with asyncio.timeout(PATIENCE_S):
        await task
