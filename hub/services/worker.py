"""The worker: takes up whatever is queued or was interrupted, and queues what must happen by itself.

Several runs go on side by side, so a slow destination holds up nobody else. Nothing rests on a signal alone: every
minute, and at the start, the stores are asked what is to be done.
"""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from hub.core.records import Run, RunStatus
from hub.core.scopes import Scope
from hub.errors import StoreError
from hub.logs import where
from hub.services import erasures, metrics
from hub.services.alarm import Alarm
from hub.services.attending import attend
from hub.services.course import Course
from hub.services.desk import Desk
from hub.services.endings import GENERIC_FAILURE
from hub.services.erasing import Erasing
from hub.services.hold import LEASE_S, Hold
from hub.services.hub import Hub
from hub.services.limiters import Limiter
from hub.services.reactions import Reactions
from hub.services.retry import RetryPolicy
from hub.services.vendors import Vendors
from hub.store.runs import Claim, LeaseLost

MOST_RUNS = 32
# For withdrawals there is room beside.
URGENT_RUNS = 32
POLL_S = 1.0
DRAIN_S = 8.0
# How often a run may stumble over a fault of our own before it fails, and how long it rests each time.
STUMBLES = 3
REST_S = 2.0
GARBAGE_THRESHOLD = 100_000

log = structlog.get_logger()


class Worker:
    """`await Worker(hub).run()` works until `stop()`; then what is in flight ends within ten seconds. Whatever a vendor
    makes it wait for is waited by `sleep` and by what `limiter` makes."""

    def __init__(
        self,
        hub: Hub,
        policy: RetryPolicy | None = None,
        lease_s: float = LEASE_S,
        *,
        limiter: Callable[[], Limiter] = Limiter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._hub = hub
        self._lease_s = lease_s
        self._policy = policy or RetryPolicy()
        self._limiter = limiter
        self._sleep = sleep
        self._owner = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._stopping = asyncio.Event()
        self._courses: dict[asyncio.Task[None], Course | Erasing] = {}
        self._stumbles: dict[int, int] = {}

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        # People pass through by the million, and none of what is made for them holds a cycle: looking for cycles at
        # Python's usual pace takes a third of a run.
        gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)
        self._vendors = vendors = Vendors(self._hub, self._limiter)
        self._desk = Desk(self._hub, vendors, policy=self._policy, sleep=self._sleep)
        self._reactions = Reactions(self._hub, vendors)
        self._alarm = Alarm(self._hub)
        await self._take_over()
        ground = self._hub.ground
        steps = (self._claim, *self._reactions.steps, *self._alarm.steps, self._tend_erasures, ground.watch)
        loops = [asyncio.create_task(self._over_and_over(step)) for step in steps]
        try:
            await self._stopping.wait()
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await self._drain()
            await vendors.close()
            await self._alarm.close()

    async def _take_over(self) -> None:
        """Where one process has the data plane, whoever held a lease before is dead."""
        begun = self._hub.engine.shared
        while not begun and not self._stopping.is_set():
            try:
                await self._hub.store.runs.let_go_of_all()
                begun = True
            except StoreError as error:
                log.error("worker cannot begin", error_type=type(error).__name__, where=where(error))
                await asyncio.sleep(POLL_S)

    async def _over_and_over(self, step: Callable[[], Awaitable[None]]) -> None:
        """A fault in one round, such as a database that restarts, must not end the work."""
        while not self._stopping.is_set():
            try:
                await step()
            except Exception as error:  # noqa: BLE001 - see above
                self._doubt_after(error)
                log.error("worker stumbled", error_type=type(error).__name__, where=where(error))
                await asyncio.sleep(POLL_S)

    async def _claim(self) -> None:
        queued = self._hub.signals.run_queued
        queued.clear()
        # What is begun on a store that takes no writes would be sent and then not be known to have been.
        while self._hub.ground.holds and len(self._courses) < MOST_RUNS + URGENT_RUNS:
            full, now = len(self._courses) >= MOST_RUNS, self._hub.clock.now()
            claim = await self._hub.store.runs.claim(self._owner, now, self._lease_s, urgent_only=full)
            if claim is None:
                break
            self._begin(claim)
        # Not `wait_for`, which may swallow a cancellation in Python 3.11.
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await queued.wait()

    async def _tend_erasures(self) -> None:
        await asyncio.sleep(POLL_S)
        await erasures.tend(self._hub, self._vendors)

    def _begin(self, claim: Claim) -> None:
        hold = Hold(self._hub, claim, self._lease_s)
        course = (Erasing if claim.run.scope is Scope.ERASE else Course)(self._desk, hold)
        task = asyncio.create_task(self._take(course, hold))
        self._courses[task] = course
        task.add_done_callback(self._make_room)

    def _make_room(self, task: asyncio.Task[None]) -> None:
        # Said only now: while the place is taken, whoever looks for a run finds none.
        del self._courses[task]
        self._hub.signals.run_queued.set()

    async def _take(self, course: Course | Erasing, hold: Hold) -> None:
        claim, run = hold.claim, hold.claim.run
        with metrics.ACTIVE_RUNS.track_inprogress():
            try:
                await attend(self._hub, course, hold)
            except LeaseLost:
                log.warning("lease lost", run=run.id)
            except Exception as error:  # noqa: BLE001 - a fault of ours in one run leaves the others alone
                log.error("run stumbled", run=run.id, error_type=type(error).__name__, where=where(error))
                await self._rest_or_fail(claim, error)
            else:
                await self._let_go(claim, course.run)
        self._hub.signals.run_queued.set()
        # If the store is away, their rounds see to it.
        with suppress(StoreError):
            await self._reactions.after(course.run)
            await self._alarm.after(course.run)

    async def _let_go(self, claim: Claim, run: Run) -> None:
        """A run that was drained is for whoever comes next, also a cancelled one with jobs to ask after; one that ended
        has given its place up."""
        self._stumbles.pop(run.id, None)
        if run.status is RunStatus.CANCELLED or not (run.status.ended or run.status is RunStatus.WAITING_APPROVAL):
            await self._release(claim)

    async def _rest_or_fail(self, claim: Claim, error: Exception) -> None:
        """That a store does not answer is no fault of the run's: it waits for as long as that takes."""
        id, away = claim.run.id, isinstance(error, StoreError)
        self._doubt_after(error)
        self._stumbles[id] = self._stumbles.get(id, 0) + (not away)
        if self._stumbles[id] >= STUMBLES and not away:
            await self._fail(claim)
        else:
            await asyncio.sleep(REST_S * max(1, self._stumbles[id]))
            await self._release(claim)

    def _doubt_after(self, error: Exception) -> None:
        if isinstance(error, StoreError):
            self._hub.ground.doubt()

    async def _fail(self, claim: Claim) -> None:
        runs, now = self._hub.store.runs, self._hub.clock.now()
        with suppress(LeaseLost):
            await runs.finish(claim.run.id, RunStatus.FAILED, now=now, failure=GENERIC_FAILURE, fence=claim.fence)

    async def _release(self, claim: Claim) -> None:
        """As soon as the store answers, rather than when the lease runs out."""
        while True:
            with suppress(StoreError):
                with suppress(LeaseLost):
                    await self._hub.store.runs.release(claim)
                return
            await asyncio.sleep(POLL_S)

    async def _drain(self) -> None:
        for course in self._courses.values():
            course.drain()
        tasks = list(self._courses)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=DRAIN_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
