"""What the hub does by itself: removing whoever withdrew, feeding continuous syncs, keeping to schedules, repeating.

Signals make it quick; a round every half minute makes it sure. Nothing is queued that would find nothing to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from hub.core.records import Run, RunCause, RunStatus, Sync
from hub.core.scopes import Scope
from hub.logs import where
from hub.services import plans, segments, syncs, withdrawals
from hub.services.hub import Hub
from hub.services.schedule import CONTINUOUS, MANUAL, Timetable, of_audits, of_runs
from hub.services.vendors import Vendors
from hub.warehouse.plan import preview_plan
from hub.warehouse.settle import Repeat, repeats

ROUND_S = 30.0
TICK_S = 1.0
# Files and decisions come in bursts: one look at the end of a burst is enough for what only adds people.
DEBOUNCE_S = 0.2
# Requests that passed their gate before a withdrawal come to an end about now.
AFTERMATH_S = 1.0
FIRST_REST_S, LONGEST_REST_S = 15.0, 900.0
RECENT_RUNS = 50

log = structlog.get_logger()

Kind = tuple[int, bool]


@contextmanager
def apart(sync: Sync) -> Iterator[None]:
    """One sync that cannot be seen to, such as one whose connector is gone, must not keep the others from it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see above
        log.error("cannot see to a sync", sync=sync.key, error_type=type(error).__name__, where=where(error))


@dataclass(slots=True)
class Rests:
    """Syncs whose last run did not end well rest, longer each time: by sync, and whether it was about withdrawals. A
    clock that is set back ends the rest, which would last for as long as it went."""

    _bad: dict[Kind, tuple[int, datetime, timedelta]] = field(default_factory=dict)

    def note(self, run: Run, now: datetime) -> None:
        kind = (run.sync_id or 0, run.scope is Scope.WITHDRAWN)
        if run.status in {RunStatus.SUCCEEDED, RunStatus.CANCELLED}:
            self._bad.pop(kind, None)
            return
        times = self._bad[kind][0] + 1 if kind in self._bad else 1
        rest = min(FIRST_REST_S * 2 ** min(times - 1, 10), LONGEST_REST_S)
        self._bad[kind] = (times, now, timedelta(seconds=rest))

    def resting(self, sync: Sync, now: datetime, *, withdrawals: bool = False) -> bool:
        if (sync.id, withdrawals) not in self._bad:
            return False
        _, since, rest = self._bad[(sync.id, withdrawals)]
        return timedelta(0) <= now - since < rest


class Reactions:
    """`steps` are to be run over and over, side by side; `after` is to be told of every run that a worker lets go."""

    def __init__(self, hub: Hub, vendors: Vendors) -> None:
        self._hub = hub
        self._vendors = vendors
        self._timetables = {Scope.ALL: Timetable(of_runs), Scope.AUDIT: Timetable(of_audits)}
        self._rests = Rests()
        self._missed: set[int] = set()
        self._repeats: list[Repeat] | None = None
        self._looked_at: set[Repeat] = set()
        self._started = False
        self._aftermath = False
        self._feeding = asyncio.Lock()
        self.steps: tuple[Callable[[], Awaitable[None]], ...] = (self.on_change, self.on_membership, self.on_time)

    async def after(self, run: Run) -> None:
        """Whatever changed for the sync while its run was under way is looked at now."""
        sync = await self._hub.store.syncs.find(run.sync_id) if run.sync_id and run.status.ended else None
        if sync is None:
            return
        await syncs.after_emptying(self._hub, run)
        self._repeats = None
        self._looked_at = {repeat for repeat in self._looked_at if repeat.sync != sync.id}
        self._rests.note(run, self._hub.clock.now())
        if (
            run.scope is not Scope.WITHDRAWN
            or run.status is RunStatus.SUCCEEDED
            or await self._destination_paused(sync)
        ):
            # For a paused destination the run waits in line, and goes as soon as it may.
            await self._sweep([sync], anyway=True)
        if run.scope is Scope.REPEAT and run.status is RunStatus.SUCCEEDED:
            with apart(sync):
                await self._read_back(sync)
        if sync.id in self._missed:
            self._missed.discard(sync.id)
            await self._feed(sync)

    # After a change of people or consent.

    async def on_change(self) -> None:
        """Wait for a change, or for the next round, and see to it."""
        signals = self._hub.signals
        imported = not self._started
        if self._started:
            await self._wait_for_change()
            imported = signals.imported.is_set()
            changed = signals.consent_changed.is_set()
            signals.consent_changed.clear()
            self._aftermath = changed and await self._hub.store.runs.any_running()
        else:
            await segments.evaluate_stale(self._hub)
        self._started = True
        await self._sweep(await self._hub.store.syncs.all())
        await asyncio.sleep(DEBOUNCE_S)
        if imported:
            signals.imported.clear()
            await segments.evaluate_all(self._hub)
            await self._sweep(await self._hub.store.syncs.all())
        signals.membership_changed.clear()
        for sync in await self._hub.store.syncs.all():
            with apart(sync):
                if not self._rests.resting(sync, self._hub.clock.now()):
                    await syncs.empty_left_audiences(self._hub, sync)
                await self._feed(sync)

    async def on_membership(self) -> None:
        """Wait until a segment has other members, however that came, and tell the continuous syncs."""
        changed = self._hub.signals.membership_changed
        await changed.wait()
        await asyncio.sleep(DEBOUNCE_S)
        if changed.is_set():
            changed.clear()
            for sync in await self._hub.store.syncs.all():
                with apart(sync):
                    await self._feed(sync)

    async def _wait_for_change(self) -> None:
        signals = self._hub.signals
        waits = [asyncio.create_task(event.wait()) for event in (signals.consent_changed, signals.imported)]
        try:
            await asyncio.wait(waits, timeout=await self._patience(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _patience(self) -> float:
        """Seconds until the next look: at the latest when a grant lapses."""
        if self._aftermath:
            self._aftermath = False
            return AFTERMATH_S
        lapse = await withdrawals.next_lapse(self._hub)
        left = (lapse - self._hub.clock.now()).total_seconds() if lapse else ROUND_S
        return max(0.0, min(left, ROUND_S))

    async def _sweep(self, those: list[Sync], *, anyway: bool = False) -> None:
        now = self._hub.clock.now()
        for sync in those:
            if anyway or not self._rests.resting(sync, now, withdrawals=True):
                with apart(sync):
                    await withdrawals.sweep(self._hub, self._vendors, sync)

    async def _feed(self, sync: Sync) -> None:
        """Queue a run for a continuous sync, if there is anything to tell its destination."""
        now = self._hub.clock.now()
        if sync.schedule != CONTINUOUS or sync.paused or self._rests.resting(sync, now):
            return
        # Two looks at the same change must not queue two runs.
        async with self._feeding:
            if [run for run in await self._hub.store.runs.active_for(sync.id) if run.scope is not Scope.WITHDRAWN]:
                self._missed.add(sync.id)
            elif await self._steps(sync, Scope.ALL):
                await self._queue(sync, RunCause.CHANGE)

    # At a time.

    async def on_time(self) -> None:
        """Once a second: whose hour has come, and what must be repeated."""
        await asyncio.sleep(TICK_S)
        now = self._hub.clock.now()
        known = {sync.id: sync for sync in await self._hub.store.syncs.all()}
        for sync in known.values():
            for scope in self._timetables:
                await self._keep_to_schedule(sync, scope, now)
        await self._repeat(known, now)

    async def _keep_to_schedule(self, sync: Sync, scope: Scope, now: datetime) -> None:
        timetable = self._timetables[scope]
        last = None if timetable.knows(sync) else await self._last_by_schedule(sync, scope)
        due = timetable.due(sync, now, last)
        if due and not sync.paused and not await self._destination_paused(sync):
            self._say_queued(sync, await self._hub.store.runs.queue_on_time(sync.id, due, now=now, scope=scope))

    async def _last_by_schedule(self, sync: Sync, scope: Scope) -> datetime | None:
        recent = await self._hub.store.runs.of_sync(sync.id, RECENT_RUNS)
        by_schedule = (run for run in recent if run.cause is RunCause.SCHEDULE and run.scope.audits is scope.audits)
        return next((run.created_at for run in by_schedule), None)

    async def _repeat(self, known: dict[int, Sync], now: datetime) -> None:
        """Say again what an unanswered request may have undone meanwhile (law L7); each instant is looked at once."""
        if self._repeats is None:
            self._repeats = await asyncio.to_thread(repeats, self._hub.engine)
        due = [repeat for repeat in self._repeats if repeat.at <= now and repeat not in self._looked_at]
        for repeat in due:
            sync = known.get(repeat.sync)
            if sync and not self._rests.resting(sync, now):
                self._looked_at.add(repeat)
                with apart(sync):
                    await self._say_again(sync, repeat)

    async def _say_again(self, sync: Sync, repeat: Repeat) -> None:
        if repeat.audience != sync.audience:
            await syncs.empty_left_audiences(self._hub, sync)
        elif await self._steps(sync, Scope.REPEAT):
            await self._queue(sync, RunCause.CHANGE, Scope.REPEAT)
        elif sync.schedule != MANUAL and not sync.paused:
            # Somebody who is wanted may have been taken out by a late remove.
            await self._queue(sync, RunCause.CHANGE)

    async def _read_back(self, sync: Sync) -> None:
        """Somebody may have been there after their remove: where the vendor lists its members, it is asked (law L7)."""
        destination = await self._hub.store.destinations.find(sync.destination_id)
        if destination is None or destination.paused or sync.paused:
            return
        if (await self._vendors.connect(destination)).limits().read_back:
            await self._queue(sync, RunCause.CHANGE, Scope.REPAIR)

    async def _steps(self, sync: Sync, scope: Scope) -> int:
        """How many people a run of this scope would have to speak about; none where the destination cannot be used."""
        destination = await self._hub.store.destinations.find(sync.destination_id)
        if destination is None or destination.paused:
            return 0
        connector = await self._vendors.connect(destination)
        request = await plans.request_for(self._hub, sync, connector.limits(), scope=scope)
        return (await asyncio.to_thread(preview_plan, self._hub.engine, request, 0)).summary.steps

    async def _queue(self, sync: Sync, cause: RunCause, scope: Scope = Scope.ALL) -> None:
        self._say_queued(sync, await self._hub.store.runs.queue(sync.id, cause, now=self._hub.clock.now(), scope=scope))

    def _say_queued(self, sync: Sync, run: Run | None) -> None:
        if run:
            self._hub.signals.run_queued.set()
            log.info("run queued", run=run.id, sync=sync.key, cause=run.cause.value)

    async def _destination_paused(self, sync: Sync) -> bool:
        destination = await self._hub.store.destinations.find(sync.destination_id)
        return destination is None or destination.paused
