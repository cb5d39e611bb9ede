"""Runs: one under way and one in line for each sync, whoever asks; a claim that only its owner can write under."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hub.core.records import Run, RunCause, RunCounts, RunStatus, Sync, WithheldReason
from hub.core.scopes import Scope
from hub.errors import ErrorCode, HubError, Problem
from hub.store import Claim, LeaseLost, Store
from tests.store.rows import NOON, after, let_leases_lapse, make_sync

MANUAL, CHANGE, WITHDRAWAL = RunCause.MANUAL, RunCause.CHANGE, RunCause.WITHDRAWAL
LEASE = 3600.0


@pytest.fixture
async def sync(store: Store) -> AsyncIterator[Sync]:
    yield await make_sync(store)


async def claim(store: Store, at: float = 0, owner: str = "w1") -> Claim:
    claimed = await store.runs.claim(owner, after(at), LEASE)
    assert claimed is not None
    return claimed


async def withdrawal(store: Store, sync: Sync) -> Run:
    return await store.runs.queue(sync.id, WITHDRAWAL, now=NOON, scope=Scope.WITHDRAWN)


async def test_a_run_waits_is_worked_on_and_ends(store: Store, sync: Sync) -> None:
    queued = await store.runs.queue(sync.id, MANUAL, now=NOON, as_of=after(-60))
    assert (queued.status, queued.as_of, queued.created_at, queued.started_at) == (
        RunStatus.QUEUED,
        after(-60),
        NOON,
        None,
    )
    claimed = await claim(store)
    assert (claimed.run.id, claimed.plan) == (queued.id, None)
    planning = await store.runs.set_status(queued.id, RunStatus.PLANNING, now=after(1), fence=claimed.fence)
    assert planning.started_at == after(1)
    counts, withheld = RunCounts(members=3, added=2, withheld=1), {WithheldReason.NO_CONSENT: 1}
    await store.runs.save_plan(
        queued.id, {"to_add": 2}, watermark=9, counts=counts, withheld=withheld, fence=claimed.fence
    )
    failure = Problem(ErrorCode.DESTINATION_AUTH, "The account refuses us.")
    ended = await store.runs.finish(queued.id, RunStatus.PARTIAL, now=after(2), failure=failure, fence=claimed.fence)
    assert (ended.counts, ended.withheld, ended.watermark, ended.failure) == (counts, withheld, 9, failure)
    assert (ended.started_at, ended.finished_at, ended.status) == (after(1), after(2), RunStatus.PARTIAL)
    assert await store.runs.plan(queued.id) == {"to_add": 2}
    assert await store.runs.claim("w1", after(3), LEASE) is None
    found = await store.syncs.find(sync.id)
    assert found is not None
    assert found.last_run_id == queued.id


async def test_asking_again_renews_the_one_in_line(store: Store, sync: Sync) -> None:
    first = await store.runs.queue(sync.id, CHANGE, now=NOON)
    second = await store.runs.queue(sync.id, MANUAL, now=after(1), as_of=after(-5))
    assert (second.id, second.cause, second.as_of) == (first.id, MANUAL, after(-5))


async def test_asking_while_one_is_under_way_queues_one_follow_up(store: Store, sync: Sync) -> None:
    await store.runs.queue(sync.id, MANUAL, now=NOON)
    under_way = await claim(store)
    asked = [await store.runs.queue(sync.id, MANUAL, now=after(1), as_of=after(-n)) for n in range(3)]
    assert len({run.id for run in asked}) == 1
    assert [run.id for run in await store.runs.active_for(sync.id)] == [under_way.run.id, asked[0].id]
    assert await store.runs.claim("w2", after(2), LEASE) is None
    await store.runs.finish(under_way.run.id, RunStatus.SUCCEEDED, now=after(3), fence=under_way.fence)
    follow_up = await claim(store, 4)
    assert (follow_up.run.id, follow_up.run.as_of) == (asked[0].id, after(-2))


async def test_many_that_ask_at_once_get_the_same_run(store: Store, sync: Sync) -> None:
    asked = await asyncio.gather(*(store.runs.queue(sync.id, CHANGE, now=NOON) for _ in range(8)))
    assert len({run.id for run in asked}) == 1


async def test_a_run_that_tries_the_refused_again_is_not_weakened(store: Store, sync: Sync) -> None:
    await store.runs.queue(sync.id, MANUAL, now=NOON, scope=Scope.RETRY_REJECTED)
    assert (await store.runs.queue(sync.id, CHANGE, now=NOON)).scope is Scope.RETRY_REJECTED


async def test_emptying_one_audience_goes_before_filling_the_next(store: Store, sync: Sync) -> None:
    emptying = await store.runs.queue(sync.id, CHANGE, now=NOON, scope=Scope.EMPTY, audience="Old")
    filling = await store.runs.queue(sync.id, CHANGE, now=NOON)
    assert emptying.id != filling.id
    first = await claim(store)
    assert (first.run.scope, first.run.audience) == (Scope.EMPTY, "Old")
    assert await store.runs.claim("w2", NOON, LEASE) is None


@pytest.mark.parametrize("name", ["urgent", "next urgent", "ordinary"])
async def test_an_audience_is_emptied_whatever_its_name(store: Store, sync: Sync, name: str) -> None:
    await store.runs.queue(sync.id, CHANGE, now=NOON, scope=Scope.EMPTY, audience=name)
    assert (await claim(store)).run.audience == name


async def test_withdrawals_run_beside_everything_else(store: Store, sync: Sync) -> None:
    await store.runs.queue(sync.id, MANUAL, now=NOON)
    await claim(store)
    removal = await withdrawal(store, sync)
    assert (await claim(store)).run.id == removal.id
    follow_up = await withdrawal(store, sync)
    assert follow_up.id != removal.id
    assert await store.runs.claim("w1", NOON, LEASE) is None


async def test_one_worker_speaks_for_a_destination_until_it_has_no_run_there_or_dies(store: Store, sync: Sync) -> None:
    neighbour = await store.syncs.create(
        key="more", segment_id=sync.segment_id, destination_id=sync.destination_id, audience="More", purposes=["ads"]
    )
    await store.runs.queue(sync.id, MANUAL, now=NOON)
    mine = await claim(store)
    await store.runs.queue(neighbour.id, MANUAL, now=NOON)
    removal = await withdrawal(store, sync)
    assert await store.runs.claim("w2", NOON, LEASE) is None
    assert (await claim(store)).run.id == removal.id
    for claimed in (mine.run.id, removal.id):
        await store.runs.finish(claimed, RunStatus.SUCCEEDED, now=NOON)
    assert (await claim(store, owner="w2")).run.sync_id == neighbour.id
    await store.runs.queue(sync.id, MANUAL, now=NOON)
    assert await store.runs.claim("w1", NOON, LEASE) is None
    await let_leases_lapse(store)
    taken_over = [await claim(store), await claim(store)]
    assert {claimed.run.sync_id for claimed in taken_over} == {sync.id, neighbour.id}


async def test_workers_that_claim_at_one_instant_do_not_share_a_destination(store: Store, sync: Sync) -> None:
    for number in range(6):
        one = await store.syncs.create(
            key=f"n{number}",
            segment_id=sync.segment_id,
            destination_id=sync.destination_id,
            audience=f"A{number}",
            purposes=["ads"],
        )
        await store.runs.queue(one.id, MANUAL, now=NOON)
    claims = await asyncio.gather(*(store.runs.claim(f"w{number % 3}", NOON, LEASE) for number in range(9)))
    assert len({claimed.owner for claimed in claims if claimed}) == 1


async def test_a_worker_that_has_its_hands_full_still_takes_withdrawals(store: Store, sync: Sync) -> None:
    await store.runs.queue(sync.id, MANUAL, now=NOON)
    assert await store.runs.claim("w1", NOON, LEASE, urgent_only=True) is None
    removal = await withdrawal(store, sync)
    claimed = await store.runs.claim("w1", NOON, LEASE, urgent_only=True)
    assert claimed is not None
    assert claimed.run.id == removal.id


async def test_withdrawals_are_claimed_first(store: Store, sync: Sync) -> None:
    await store.runs.queue(sync.id, MANUAL, now=NOON)
    removal = await withdrawal(store, sync)
    assert (await claim(store)).run.id == removal.id


async def test_a_withdrawal_does_not_wait_for_an_approval(store: Store, sync: Sync) -> None:
    await store.runs.queue(sync.id, MANUAL, now=NOON)
    waiting = await claim(store)
    await store.runs.set_status(waiting.run.id, RunStatus.WAITING_APPROVAL, now=NOON, fence=waiting.fence)
    await store.runs.release(waiting)
    assert await store.runs.claim("w2", NOON, LEASE) is None
    removal = await withdrawal(store, sync)
    assert (await claim(store)).run.id == removal.id


async def test_only_a_run_that_waits_for_it_is_approved(store: Store, sync: Sync) -> None:
    run = await store.runs.queue(sync.id, MANUAL, now=NOON)
    with pytest.raises(HubError, match="QUEUED") as refused:
        await store.runs.approve(run.id, now=NOON)
    assert refused.value.code is ErrorCode.CONFLICT
    claimed = await claim(store)
    await store.runs.set_status(run.id, RunStatus.WAITING_APPROVAL, now=NOON, fence=claimed.fence)
    await store.runs.release(claimed)
    assert (await store.runs.approve(run.id, now=NOON)).status is RunStatus.QUEUED
    assert (await claim(store, 1)).run.id == run.id


async def test_a_paused_sync_still_withdraws_but_a_paused_destination_waits(store: Store, sync: Sync) -> None:
    await store.runs.queue(sync.id, MANUAL, now=NOON)
    await store.syncs.pause(sync.id)
    assert await store.runs.claim("w1", NOON, LEASE) is None
    removal = await withdrawal(store, sync)
    await store.destinations.pause(sync.destination_id)
    assert await store.runs.claim("w1", NOON, LEASE) is None
    await store.destinations.resume(sync.destination_id)
    assert (await claim(store)).run.id == removal.id


async def test_a_run_whose_worker_died_goes_to_another_with_its_plan(store: Store, sync: Sync) -> None:
    run = await store.runs.queue(sync.id, MANUAL, now=NOON)
    dead = await claim(store)
    plan = {"to_add": 1}
    await store.runs.save_plan(run.id, plan, watermark=1, counts=RunCounts(), withheld={}, fence=dead.fence)
    assert await store.runs.claim("w2", NOON, LEASE) is None
    await let_leases_lapse(store)
    heir = await claim(store, LEASE, "w2")
    assert (heir.run.id, heir.plan, heir.owner) == (run.id, plan, "w2")
    assert heir.fence > dead.fence


async def test_a_lease_runs_out_by_the_databases_clock_also_for_a_worker_whose_own_is_slow(
    store: Store, sync: Sync
) -> None:
    run = await store.runs.queue(sync.id, MANUAL, now=NOON)
    assert await store.runs.claim("w1", NOON, 0.0) is not None
    slow = await store.runs.claim("w2", after(-365 * 86_400), LEASE)
    assert slow is not None and (slow.run.id, slow.owner) == (run.id, "w2")


async def test_a_worker_that_slept_through_its_lease_writes_nothing(store: Store, sync: Sync) -> None:
    run = await store.runs.queue(sync.id, MANUAL, now=NOON)
    slept = await claim(store)
    await let_leases_lapse(store)
    await claim(store, LEASE, "w2")
    counts = RunCounts(members=9, added=9)
    writes = [
        lambda: store.runs.heartbeat(slept, LEASE),
        lambda: store.runs.release(slept),
        lambda: store.runs.set_status(run.id, RunStatus.RUNNING, now=after(40), fence=slept.fence),
        lambda: store.runs.save_counts(run.id, counts, {}, fence=slept.fence),
        lambda: store.runs.save_plan(run.id, {}, watermark=1, counts=counts, withheld={}, fence=slept.fence),
        lambda: store.runs.finish(run.id, RunStatus.SUCCEEDED, now=after(40), fence=slept.fence),
    ]
    before = await store.runs.find(run.id)
    for write in writes:
        with pytest.raises(LeaseLost):
            await write()
    assert await store.runs.find(run.id) == before


async def test_an_ended_run_is_not_written_to(store: Store, sync: Sync) -> None:
    run = await store.runs.queue(sync.id, MANUAL, now=NOON)
    await store.runs.finish(run.id, RunStatus.SUCCEEDED, now=NOON)
    with pytest.raises(LeaseLost):
        await store.runs.finish(run.id, RunStatus.FAILED, now=NOON)


async def test_a_heartbeat_keeps_the_run_and_hears_of_a_cancel(store: Store, sync: Sync) -> None:
    run = await store.runs.queue(sync.id, MANUAL, now=NOON)
    claimed = await claim(store)
    assert (await store.runs.request_cancel(run.id, now=after(1))).status is RunStatus.QUEUED
    await let_leases_lapse(store)
    beaten = await store.runs.heartbeat(claimed, LEASE)
    assert beaten.run.cancel_requested
    assert await store.runs.claim("w2", NOON, LEASE) is None


@pytest.mark.parametrize("wrong_by", [-100 * LEASE, 100 * LEASE])
async def test_a_worker_whose_clock_is_wrong_takes_over_nothing_and_loses_nothing(
    store: Store, sync: Sync, wrong_by: float
) -> None:
    await store.runs.queue(sync.id, MANUAL, now=NOON)
    mine = await claim(store)
    assert await store.runs.claim("wrong", after(wrong_by), LEASE) is None
    await store.runs.release(mine)
    theirs = await claim(store, wrong_by, "wrong")
    assert await store.runs.claim("w1", NOON, LEASE) is None
    assert (await store.runs.heartbeat(theirs, LEASE)).owner == "wrong"
    assert await store.runs.claim("w1", NOON, LEASE) is None


async def test_a_cancelled_run_keeps_its_place_and_can_be_taken_over_until_it_is_finished(
    store: Store, sync: Sync
) -> None:
    queued = await store.runs.queue(sync.id, MANUAL, now=NOON)
    first = await claim(store)
    await store.runs.set_status(queued.id, RunStatus.RUNNING, now=after(1), fence=first.fence)
    told = {"counts": RunCounts(members=3, pending=3), "withheld": {}}
    cancelled = await store.runs.cancelled(queued.id, now=after(2), fence=first.fence, **told)
    assert (cancelled.status, cancelled.finished_at, cancelled.counts.pending) == ("CANCELLED", after(2), 3)
    assert await store.runs.active_for(sync.id) == []
    following = await store.runs.queue(sync.id, MANUAL, now=after(3))
    assert await store.runs.claim("w1", after(4), LEASE) is None
    await let_leases_lapse(store)
    heir = await claim(store, owner="w2")
    assert (heir.run.id, heir.run.status) == (queued.id, RunStatus.CANCELLED)
    with pytest.raises(LeaseLost):
        await store.runs.heartbeat(first, LEASE)
    added, failure = RunCounts(members=3, added=3), Problem(ErrorCode.DESTINATION_AUTH, "No.")
    ended = await store.runs.finish(
        queued.id, RunStatus.FAILED, now=after(9), counts=added, failure=failure, fence=heir.fence
    )
    assert (ended.status, ended.finished_at, ended.failure) == (RunStatus.CANCELLED, after(2), None)
    assert ended.counts == added
    with pytest.raises(LeaseLost):
        await store.runs.release(heir)
    assert (await claim(store, 10, "w2")).run.id == following.id


async def test_what_nobody_works_on_is_cancelled_at_once(store: Store, sync: Sync) -> None:
    in_line = await store.runs.queue(sync.id, MANUAL, now=NOON)
    cancelled = await store.runs.request_cancel(in_line.id, now=after(1))
    assert (cancelled.status, cancelled.finished_at) == (RunStatus.CANCELLED, after(1))
    assert (await store.runs.queue(sync.id, MANUAL, now=after(2))).id != in_line.id
    ended = await store.runs.request_cancel(in_line.id, now=after(3))
    assert ended == cancelled


async def test_a_released_run_is_for_whoever_comes_next(store: Store, sync: Sync) -> None:
    await store.runs.queue(sync.id, MANUAL, now=NOON)
    await store.runs.release(await claim(store))
    assert await store.runs.claim("w2", NOON, LEASE) is not None


async def test_no_run_is_claimed_twice(store: Store) -> None:
    syncs = [await make_sync(store, f"sync-{number}") for number in range(6)]
    for sync in syncs:
        await store.runs.queue(sync.id, MANUAL, now=NOON)
        await withdrawal(store, sync)

    async def work(owner: str) -> list[int]:
        mine = []
        while claimed := await store.runs.claim(owner, NOON, LEASE):
            mine.append(claimed.run.id)
        return mine

    claimed = await asyncio.gather(*(work(f"w{number}") for number in range(4)))
    all_claimed = sorted(id for mine in claimed for id in mine)
    assert all_claimed == sorted({run.id for sync in syncs for run in await store.runs.active_for(sync.id)})
    assert len(all_claimed) == 12


async def test_schedulers_that_come_to_the_same_hour_queue_one_run(store: Store, sync: Sync) -> None:
    asked = await asyncio.gather(*(store.runs.queue_on_time(sync.id, NOON, now=NOON) for _ in range(8)))
    [run] = [run for run in asked if run]
    assert run.cause is RunCause.SCHEDULE
    await store.runs.finish((await claim(store)).run.id, RunStatus.SUCCEEDED, now=NOON)
    assert await store.runs.queue_on_time(sync.id, NOON, now=after(1)) is None
    assert await store.runs.queue_on_time(sync.id, after(3600), now=after(3600))


async def test_schedulers_that_come_to_the_same_hour_of_audits_queue_one_beside_the_run_of_that_hour(
    store: Store, sync: Sync
) -> None:
    sending = await store.runs.queue_on_time(sync.id, NOON, now=NOON)
    asked = await asyncio.gather(
        *(store.runs.queue_on_time(sync.id, NOON, now=NOON, scope=Scope.AUDIT) for _ in range(8))
    )
    [audit] = [run for run in asked if run]
    assert (audit.cause, audit.scope) == (RunCause.SCHEDULE, Scope.AUDIT)
    assert sending and sending.id != audit.id
    assert await store.runs.queue_on_time(sync.id, after(3600), now=after(3600), scope=Scope.AUDIT)
    assert await store.runs.queue_on_time(sync.id, after(60), now=after(60))


async def test_runs_outlive_their_sync_and_hold_nobody_up(store: Store, sync: Sync) -> None:
    run = await store.runs.queue(sync.id, MANUAL, now=NOON)
    await claim(store)
    other = await make_sync(store, "other")
    await store.syncs.delete(sync.id)
    found = await store.runs.find(run.id)
    assert found is not None
    assert found.sync_id is None
    queued = await store.runs.queue(other.id, MANUAL, now=NOON)
    assert (await claim(store, 1)).run.id == queued.id
    await let_leases_lapse(store)
    assert await store.runs.claim("w1", NOON, LEASE) is not None
    assert await store.runs.claim("w1", NOON, LEASE) is None


async def test_a_run_of_no_sync_is_refused(store: Store) -> None:
    with pytest.raises(HubError) as refused:
        await store.runs.queue(99, MANUAL, now=NOON)
    assert refused.value.code is ErrorCode.CONFLICT


async def test_runs_are_listed_newest_first(store: Store, sync: Sync) -> None:
    made = []
    for _ in range(4):
        run = await store.runs.queue(sync.id, MANUAL, now=NOON)
        made.insert(0, run.id)
        await store.runs.finish(run.id, RunStatus.SUCCEEDED, now=NOON)
    first = await store.runs.of_sync(sync.id, 3)
    rest = await store.runs.of_sync(sync.id, 3, first[-1].id)
    assert [run.id for run in [*first, *rest]] == made
    assert [run.id for run in await store.runs.page(2, made[0])] == made[1:3]
    assert await store.runs.count_of_sync(sync.id) == 4
