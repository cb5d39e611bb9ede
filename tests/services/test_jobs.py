"""A destination that answers with jobs: they are asked after until they end, also by the next process."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connectors.sandbox import PretendJob
from hub.core.delivery.jobs import JOB_OVERDUE, JOB_UNCLEAR
from hub.core.records import Run, RunStatus
from hub.services import erasures, runs, syncs
from hub.services.worker import Worker
from hub.store import models
from hub.warehouse.resume import is_settled
from hub.warehouse.settle import repeats
from hub.warehouse.views import profile_by_external_id
from tests.services.shop import Shop, shop, until, working

ENDLESS = 10**9


@pytest.fixture
async def open_shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(tmp_path) as found:
        yield found


def submissions(opened: Shop) -> Counter[str]:
    """How often each person was sent; what a job carries out later is no sending."""
    return Counter(
        key for call in opened.account.calls if call.get("job") and not call["applied"] for key in call["add"]
    )


def states(opened: Shop) -> dict[str, str]:
    return dict(opened.hub.engine.rows("SELECT key, state FROM delivered"))


def words(opened: Shop, kind: str) -> set[str]:
    return {why for (why,) in opened.hub.engine.rows("SELECT reason FROM outcomes WHERE kind = $k", {"k": kind})}


def open_jobs(opened: Shop) -> list[PretendJob]:
    return [job for job in opened.account.jobs.values() if not job.done]


def finish_jobs(opened: Shop) -> None:
    for job in open_jobs(opened):
        job.asked = ENDLESS + 1


async def submitted(opened: Shop, people: int) -> bool:
    [(logged,)] = opened.hub.engine.rows("SELECT count(*) FROM outcomes WHERE kind = 'submitted'")
    return bool(logged == people)


async def test_a_job_is_asked_after_until_it_is_done_and_says_who_is_in(open_shop: Shop) -> None:
    await open_shop.set_up(9, batch=4, reject=["p003"], jobs={"running": 3})
    async with working(open_shop.hub):
        run = await open_shop.send()
    assert (run.status, run.counts.added, run.counts.rejected) == (RunStatus.PARTIAL, 8, 1)
    assert len(open_shop.there) == 8 and "p003" not in open_shop.there
    assert set(submissions(open_shop).values()) == {1}
    assert set(states(open_shop).values()) == {"present", "rejected"}


async def test_a_fault_when_asking_sends_nobody_again(open_shop: Shop) -> None:
    await open_shop.set_up(4, jobs={"faults": 12, "running": 0})
    async with working(open_shop.hub):
        run = await open_shop.send()
    assert run.status is RunStatus.SUCCEEDED and run.counts.added == 4
    assert set(submissions(open_shop).values()) == {1}


async def test_after_the_deadline_of_a_job_nobody_knows_what_became_of_its_people(open_shop: Shop) -> None:
    await open_shop.set_up(3, jobs={"ends": "never", "deadline_s": 600})
    async with working(open_shop.hub):
        run = await runs.start(open_shop.hub, open_shop.sync.key)
        await until(lambda: submitted(open_shop, 3))
        open_shop.clock.pass_by(seconds=601)
        ended = await open_shop.outcome_of(run)
    assert (ended.status, ended.counts.pending) == (RunStatus.PARTIAL, 3) and ended.counts.balanced
    assert words(open_shop, "unknown") == {JOB_OVERDUE}
    assert set(states(open_shop).values()) == {"possible"}
    assert set(submissions(open_shop).values()) == {1}


async def test_a_job_that_is_done_and_then_has_failed_is_neither(open_shop: Shop) -> None:
    await open_shop.set_up(3, jobs={"ends": "done_then_failed"})
    async with working(open_shop.hub):
        run = await open_shop.send()
    assert (run.counts.added, run.counts.pending) == (0, 3)
    assert words(open_shop, "unknown") == {JOB_UNCLEAR} and set(states(open_shop).values()) == {"possible"}


async def test_of_a_job_that_failed_everybody_goes_with_the_next_run(open_shop: Shop) -> None:
    await open_shop.set_up(3, jobs={"ends": "failed"})
    async with working(open_shop.hub):
        run = await open_shop.send()
    assert (run.status, run.counts.pending) == (RunStatus.PARTIAL, 3) and not states(open_shop)


async def test_a_stopped_worker_leaves_open_jobs_to_the_next_one_which_sends_nobody_again(open_shop: Shop) -> None:
    await open_shop.set_up(6, batch=2, jobs={"running": ENDLESS, "deadline_s": 600})
    async with working(open_shop.hub):
        run = await runs.start(open_shop.hub, open_shop.sync.key)
        await until(lambda: submitted(open_shop, 6))
    left = await open_shop.hub.store.runs.find(run.id)
    assert left and left.status is RunStatus.RUNNING and not open_shop.there
    finish_jobs(open_shop)
    async with working(open_shop.hub):
        ended = await open_shop.outcome_of(run)
    assert (ended.status, ended.counts.added) == (RunStatus.SUCCEEDED, 6)
    assert set(submissions(open_shop).values()) == {1} and len(open_shop.there) == 6


async def test_a_deadline_is_not_put_off_by_a_restart(open_shop: Shop) -> None:
    await open_shop.set_up(2, jobs={"ends": "never", "deadline_s": 600})
    async with working(open_shop.hub):
        run = await runs.start(open_shop.hub, open_shop.sync.key)
        await until(lambda: submitted(open_shop, 2))
    open_shop.clock.pass_by(seconds=601)
    async with working(open_shop.hub):
        ended = await open_shop.outcome_of(run)
    assert ended.counts.pending == 2 and words(open_shop, "unknown") == {JOB_OVERDUE}


async def cancelled_with_an_open_job(opened: Shop, people: int = 2) -> Run:
    run = await runs.start(opened.hub, opened.sync.key)
    await until(lambda: submitted(opened, people))
    await runs.cancel(opened.hub, run.id)
    return await opened.outcome_of(run)


async def settled(opened: Shop, run: Run) -> bool:
    return is_settled(opened.hub.engine, run.id)


async def test_a_cancel_ends_the_run_at_once_and_its_jobs_are_asked_after_until_they_end(open_shop: Shop) -> None:
    await open_shop.set_up(3, batch=3, reject=["p001"], jobs={"running": ENDLESS, "deadline_s": 7200})
    async with working(open_shop.hub):
        run = await cancelled_with_an_open_job(open_shop, 3)
        assert run.status is RunStatus.CANCELLED and run.counts.pending == 3
        assert open_doubts(open_shop) == ["possible"] * 3
        requests = len(open_shop.account.calls)
        # To cancel it once more changes nothing.
        await runs.cancel(open_shop.hub, run.id)
        [job] = open_jobs(open_shop)
        asked = job.asked
        await until(lambda: job.asked > asked + 2)
        finish_jobs(open_shop)
        await until(lambda: settled(open_shop, run))
        await until(lambda: place_of(open_shop, run, None))
    ended = await open_shop.hub.store.runs.find(run.id)
    assert ended and (ended.status, ended.finished_at, ended.failure) == (RunStatus.CANCELLED, run.finished_at, None)
    assert (ended.counts.added, ended.counts.rejected, ended.counts.pending) == (2, 1, 0) and ended.counts.balanced
    assert states(open_shop) == {"p000": "present", "p001": "rejected", "p002": "present"}
    assert set(submissions(open_shop).values()) == {1}
    assert [call["applied"] for call in list(open_shop.account.calls)[requests:]] == [True]


async def place_of(opened: Shop, run: Run, place: str | None) -> bool:
    with opened.hub.store._database.entered():
        return bool(await models.Run.filter(id=run.id, place=place).exists())


async def test_the_open_jobs_of_a_cancelled_run_are_asked_after_by_the_next_worker_too(open_shop: Shop) -> None:
    await open_shop.set_up(2, jobs={"running": ENDLESS, "deadline_s": 7200})
    async with working(open_shop.hub):
        run = await cancelled_with_an_open_job(open_shop)
    assert await place_of(open_shop, run, "ordinary") and not await settled(open_shop, run)
    finish_jobs(open_shop)
    async with working(open_shop.hub):
        await until(lambda: place_of(open_shop, run, None))
    ended = await open_shop.hub.store.runs.find(run.id)
    assert ended and (ended.status, ended.counts.added) == (RunStatus.CANCELLED, 2)
    assert set(states(open_shop).values()) == {"present"} and set(submissions(open_shop).values()) == {1}


async def test_a_run_that_is_cancelled_while_nobody_works_on_it_asks_after_its_jobs_and_sends_nobody(
    open_shop: Shop,
) -> None:
    await open_shop.set_up(4, batch=2, jobs={"running": ENDLESS, "deadline_s": 7200})
    async with working(open_shop.hub):
        run = await runs.start(open_shop.hub, open_shop.sync.key)
        await until(lambda: submitted(open_shop, 4))
    await runs.cancel(open_shop.hub, run.id)
    async with working(open_shop.hub):
        ended = await open_shop.outcome_of(run)
        assert (ended.status, ended.counts.pending) == (RunStatus.CANCELLED, 4)
        finish_jobs(open_shop)
        await until(lambda: place_of(open_shop, run, None))
    assert set(states(open_shop).values()) == {"present"} and set(submissions(open_shop).values()) == {1}


async def test_the_next_run_waits_for_the_open_jobs_of_a_cancelled_one_and_sends_nobody_twice(open_shop: Shop) -> None:
    await open_shop.set_up(2, jobs={"running": ENDLESS, "deadline_s": 7200})
    async with working(open_shop.hub):
        await cancelled_with_an_open_job(open_shop)
        following = await runs.start(open_shop.hub, open_shop.sync.key)
        [job] = open_jobs(open_shop)
        asked = job.asked
        await until(lambda: job.asked > asked + 3)
        waiting = await open_shop.hub.store.runs.find(following.id)
        assert waiting and waiting.status is RunStatus.QUEUED
        finish_jobs(open_shop)
        ended = await open_shop.outcome_of(following)
    assert (ended.status, ended.counts.unchanged) == (RunStatus.SUCCEEDED, 2)
    assert set(submissions(open_shop).values()) == {1}


async def test_of_a_cancelled_runs_job_without_an_end_its_people_are_possible_after_the_deadline(
    open_shop: Shop,
) -> None:
    await open_shop.set_up(2, jobs={"ends": "never", "deadline_s": 600})
    async with working(open_shop.hub):
        run = await cancelled_with_an_open_job(open_shop)
        open_shop.clock.pass_by(seconds=601)
        await until(lambda: place_of(open_shop, run, None))
    assert words(open_shop, "unknown") == {JOB_OVERDUE} and set(states(open_shop).values()) == {"possible"}


async def test_the_jobs_of_a_sync_that_is_deleted_are_asked_after_no_more(open_shop: Shop) -> None:
    await open_shop.set_up(2, jobs={"running": ENDLESS, "deadline_s": 7200})
    async with working(open_shop.hub) as worker:
        run = await cancelled_with_an_open_job(open_shop)
        await syncs.delete(open_shop.hub, open_shop.sync.key, leave=True)
        await until(lambda: nobody_at_work(worker))
    found = await open_shop.hub.store.runs.find(run.id)
    assert found and (found.status, found.counts) == (RunStatus.CANCELLED, run.counts)


async def nobody_at_work(worker: Worker) -> bool:
    return not worker._courses


async def test_whoever_withdraws_is_removed_at_once_beside_the_open_job_of_a_cancelled_run(open_shop: Shop) -> None:
    await open_shop.set_up(3, jobs={"running": ENDLESS, "deadline_s": 600})
    async with working(open_shop.hub):
        run = await cancelled_with_an_open_job(open_shop, 3)
        await open_shop.withdraw("p001")
        await until(lambda: removals(open_shop) == 1)
        assert await place_of(open_shop, run, "ordinary")
        await until(lambda: idle(open_shop))
        open_shop.clock.pass_by(seconds=601)
        await until(lambda: removals(open_shop) >= 2)
        await until(lambda: idle(open_shop))
    assert open_shop.there == {"p000", "p002"}


async def test_whoever_withdraws_while_their_job_is_open_is_removed_at_once_and_again_when_it_has_ended(
    open_shop: Shop,
) -> None:
    await open_shop.set_up(3, jobs={"running": ENDLESS, "deadline_s": 600})
    async with working(open_shop.hub):
        run = await runs.start(open_shop.hub, open_shop.sync.key)
        await until(lambda: submitted(open_shop, 3))
        await open_shop.withdraw("p001")
        await until(lambda: removals(open_shop) == 1)
        finish_jobs(open_shop)
        await open_shop.outcome_of(run)
        await until(lambda: idle(open_shop))
        # Whichever of the two jobs was carried out last: once neither can take effect any more, all is well.
        open_shop.clock.pass_by(seconds=601)
        await until(lambda: removals(open_shop) >= 2)
        await until(lambda: idle(open_shop))
    assert open_shop.there == {"p000", "p002"}


async def folded_beside(opened: Shop, *who: str) -> None:
    """Somebody else withdraws, so that what the run has reached so far is looked at before its job has ended."""
    await opened.withdraw(who[0] if who else "p000")
    await until(lambda: set(open_doubts(opened)) == {"possible"})


def open_doubts(opened: Shop) -> list[str]:
    return [state for (state,) in opened.hub.engine.rows("SELECT state FROM standing")]


def landing(opened: Shop) -> list[object]:
    """Until when something may still take effect, of everybody who may be there."""
    return [until for (until,) in opened.hub.engine.rows("SELECT DISTINCT late_until FROM standing")]


async def test_the_good_end_of_a_job_ends_the_doubt_about_its_people_though_another_run_had_looked_in_between(
    open_shop: Shop,
) -> None:
    await open_shop.set_up(3, jobs={"running": ENDLESS, "deadline_s": 7200})
    async with working(open_shop.hub):
        run = await runs.start(open_shop.hub, open_shop.sync.key)
        await until(lambda: submitted(open_shop, 3))
        await folded_beside(open_shop)
        assert None not in landing(open_shop)
        await until(lambda: idle(open_shop))
        assert (await open_shop.outcome_of(run)).counts.added == 3
        assert (states(open_shop)["p001"], landing(open_shop)) == ("present", [None])
        await open_shop.withdraw("p001")
        await until(lambda: removals(open_shop) == 1)
        await until(lambda: idle(open_shop))
        assert not repeats(open_shop.hub.engine)
        open_shop.clock.pass_by(seconds=7201)
        await runs.start(open_shop.hub, open_shop.sync.key)
        await until(lambda: idle(open_shop))
    assert (removals(open_shop), open_shop.there) == (1, {"p002"})


async def test_a_job_is_not_asked_after_while_a_request_about_its_people_is_under_way(open_shop: Shop) -> None:
    await open_shop.set_up(2, batch=1, jobs={"running": ENDLESS, "deadline_s": 7200})
    async with working(open_shop.hub) as worker:
        run = await runs.start(open_shop.hub, open_shop.sync.key)
        await until(lambda: submitted(open_shop, 2))
        busy, free = open_jobs(open_shop)
        await worker._desk.keys.take(open_shop.sync.id, frozenset(busy.call["add"]))
        asked, others = busy.asked, free.asked
        await until(lambda: free.asked > others + 3)
        assert busy.asked == asked
        await worker._desk.keys.give_back(open_shop.sync.id, frozenset(busy.call["add"]))
        await until(lambda: busy.asked > asked)
        finish_jobs(open_shop)
        assert (await open_shop.outcome_of(run)).counts.added == 2


async def test_an_erasure_does_not_wait_for_the_deadline_of_a_job_that_has_ended(open_shop: Shop) -> None:
    await open_shop.set_up(3, jobs={"running": ENDLESS, "deadline_s": 7200})
    async with working(open_shop.hub):
        await runs.start(open_shop.hub, open_shop.sync.key)
        await until(lambda: submitted(open_shop, 3))
        await folded_beside(open_shop)
        await until(lambda: idle(open_shop))
        began = open_shop.clock.now()
        await erasures.erase(open_shop.hub, "p001")

        async def gone() -> bool:
            # It is looked after now and then, and its removal is a job too.
            if await idle(open_shop):
                open_shop.clock.pass_by(seconds=20)
            return profile_by_external_id(open_shop.hub.engine, "p001") is None

        await until(gone)
    assert "p001" not in open_shop.there
    assert (open_shop.clock.now() - began).total_seconds() < 7200


async def test_whoever_was_looked_at_before_a_restart_is_no_longer_doubted_once_the_job_has_ended_well(
    open_shop: Shop,
) -> None:
    await open_shop.set_up(3, jobs={"running": ENDLESS, "deadline_s": 7200})
    async with working(open_shop.hub):
        run = await runs.start(open_shop.hub, open_shop.sync.key)
        await until(lambda: submitted(open_shop, 3))
        await folded_beside(open_shop)
    finish_jobs(open_shop)
    async with working(open_shop.hub):
        assert (await open_shop.outcome_of(run)).counts.added == 3
        await until(lambda: idle(open_shop))
    assert (states(open_shop)["p001"], landing(open_shop)) == ("present", [None])


async def test_of_a_job_that_failed_nobody_is_taken_for_possibly_there_though_another_run_had_looked_in_between(
    open_shop: Shop,
) -> None:
    await open_shop.set_up(3, jobs={"running": ENDLESS, "ends": "failed", "deadline_s": 7200})
    async with working(open_shop.hub):
        run = await runs.start(open_shop.hub, open_shop.sync.key)
        await until(lambda: submitted(open_shop, 3))
        await folded_beside(open_shop)
        await until(lambda: idle(open_shop))
        assert (await open_shop.outcome_of(run)).counts.pending == 3
    assert set(states(open_shop)) <= {"p000"}


async def test_of_a_job_without_an_end_by_its_deadline_its_people_are_possible_for_as_long_as_an_answer_may_take(
    open_shop: Shop,
) -> None:
    await open_shop.set_up(3, jobs={"ends": "never", "deadline_s": 600})
    async with working(open_shop.hub):
        run = await runs.start(open_shop.hub, open_shop.sync.key)
        await until(lambda: submitted(open_shop, 3))
        await folded_beside(open_shop)
        open_shop.clock.pass_by(seconds=601)
        await open_shop.outcome_of(run)
    assert states(open_shop)["p001"] == "possible"
    kept = open_shop.hub.engine.rows("SELECT job_until, late_until IS NULL FROM delivered WHERE key = 'p001'")
    assert kept == [(None, False)]


def removals(opened: Shop) -> int:
    return sum(not call["applied"] and "p001" in call["remove"] for call in opened.account.calls)


async def idle(opened: Shop) -> bool:
    finish_jobs(opened)
    return all(run.status.ended for run in await opened.hub.store.runs.page(10))
