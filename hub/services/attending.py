"""Standing by while a run is under way: keeping its lease, passing on a cancel, showing how far it is."""

from __future__ import annotations

import asyncio

import structlog

from hub.core.records import RunCounts, RunStatus
from hub.logs import where
from hub.services.course import Course
from hub.services.erasing import Erasing
from hub.services.hold import Hold
from hub.services.hub import Hub
from hub.store.runs import Claim, LeaseLost
from hub.warehouse import outcomes

LOOK_S = 0.25
COUNT_S = 1.0
HISTORY_S = 2.0
# Of the lease, so that several beats may fail before another worker takes the run over.
BEAT_SHARE = 0.25

log = structlog.get_logger()


async def attend(hub: Hub, course: Course | Erasing, hold: Hold) -> None:
    """Carry the run as far as it goes. Raises LeaseLost when another worker has it, else as `Course.take`."""
    work = asyncio.create_task(course.take())
    watch = asyncio.create_task(_watch(hub, course, hold))
    try:
        await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done() and watch.exception() is None:
            await asyncio.wait({work})
    finally:
        for task in (work, watch):
            if not task.done():
                task.cancel()
        await asyncio.gather(work, watch, return_exceptions=True)
    if work.cancelled():
        raise LeaseLost
    await work


async def _watch(hub: Hub, course: Course | Erasing, hold: Hold) -> None:
    """Ends by itself only with LeaseLost."""
    claim, beats = hold.claim, _Every(hold.lease_s * BEAT_SHARE)
    counts, history = _Every(COUNT_S), _Every(HISTORY_S)
    shown: RunCounts | None = None
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            run = await hub.store.runs.find(claim.run.id)
            if run and run.cancel_requested:
                course.cancel()
            if beats.due():
                await hold.beat()
            if counts.due() and course.run.status is RunStatus.RUNNING:
                shown = await _show(hub, claim, shown)
            if history.due():
                await course.save_history()
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - the run itself finds out whether a store is gone
            log.warning(
                "cannot attend to the run", run=claim.run.id, error_type=type(error).__name__, where=where(error)
            )


async def _show(hub: Hub, claim: Claim, shown: RunCounts | None) -> RunCounts:
    counts = await asyncio.to_thread(outcomes.progress, hub.engine, claim.run.id)
    if counts != shown:
        withheld = await asyncio.to_thread(outcomes.withheld, hub.engine, claim.run.id)
        await hub.store.runs.save_counts(claim.run.id, counts, withheld, fence=claim.fence)
    return counts


class _Every:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = asyncio.get_running_loop().time() + seconds

    def due(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True
