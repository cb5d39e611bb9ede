"""Runs: who waits, who works on what, and what came of it.

A worker that claims a run gets a `Claim` with a fence. Every write that carries a fence fails with `LeaseLost` once
another worker has claimed the run, so that one that slept too long writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tortoise.expressions import F, Q

from hub.core.history import Moment, MomentKind
from hub.core.records import Run, RunCause, RunCounts, RunStatus, WithheldReason
from hub.core.scopes import Scope
from hub.errors import ErrorCode, HubError, Problem, refuse
from hub.store import models, problems
from hub.store.database import stored
from hub.store.history import note
from hub.store.leases import Claim, LeaseLost
from hub.store.places import (
    ENDED,
    URGENT,
    WORKED_ON,
    claimable,
    claimable_erasing,
    lanes_with_work,
    next_place,
)
from hub.store.run_lists import RunLists
from hub.store.run_rows import NOWHERE, ending, numbers, run_of

__all__ = ["Claim", "LeaseLost", "Runs"]

TRIES = 5
# The moments that a change of status makes.
MOVES = {
    RunStatus.WAITING_APPROVAL: MomentKind.WAITING_APPROVAL,
    RunStatus.RUNNING: MomentKind.DELIVERING,
}


class Runs(RunLists):
    """Those that are under way, and their changes."""

    @stored
    async def queue(
        self,
        sync_id: int,
        cause: RunCause,
        *,
        now: datetime,
        as_of: datetime | None = None,
        scope: Scope = Scope.ALL,
        audience: str = "",
    ) -> Run:
        """The run that will do this: a new one, or the one already waiting in line, with these newest arguments.

        What one waits for that does more than is asked for now stays."""
        waiting = models.Run.filter(sync_id=sync_id, place=next_place(scope, audience))
        for last in (False,) * (TRIES - 1) + (True,):
            if row := await waiting.first():
                if scope is Scope.REPEAT:
                    # Whatever waits does this as well.
                    return await self._one(row.id)
                kept = Scope(row.scope).joined(scope)
                if await waiting.filter(id=row.id).update(cause=cause.value, scope=kept.value, as_of=as_of):
                    return await self._one(row.id)
            try:
                return await self._create(sync_id, cause, now=now, as_of=as_of, scope=scope, audience=audience)
            except HubError:
                # Another has queued one in between: renew theirs. Unless it is the sync that is gone.
                if last:
                    raise
        raise AssertionError("unreachable")

    @stored
    async def queue_on_time(self, sync_id: int, at: datetime, *, now: datetime, scope: Scope = Scope.ALL) -> Run | None:
        """The run that the schedule, or for an AUDIT that of the audits, asks for at this instant; None if it has been
        queued for that before, here or by another worker."""
        seen = "audit_scheduled_at" if scope.audits else "scheduled_at"
        never: dict[str, Any] = {seen: None}
        earlier: dict[str, Any] = {f"{seen}__lt": at}
        async with self._database.transaction():
            unseen = models.Sync.filter(Q(**never) | Q(**earlier), id=sync_id)
            if not await unseen.update(**{seen: at}):
                return None
            return await self.queue(sync_id, RunCause.SCHEDULE, now=now, scope=scope)

    async def _create(
        self, sync_id: int, cause: RunCause, *, now: datetime, as_of: datetime | None, scope: Scope, audience: str
    ) -> Run:
        async with self._database.transaction():
            row = await models.Run.create(
                sync_id=sync_id,
                place=next_place(scope, audience),
                cause=cause.value,
                scope=scope.value,
                audience=audience,
                status=RunStatus.QUEUED.value,
                as_of=as_of,
                created_at=now,
            )
            await note(row.id, Moment(MomentKind.QUEUED, now))
        return await self._one(row.id)

    @stored
    async def claim(self, owner: str, now: datetime, lease_s: float, *, urgent_only: bool = False) -> Claim | None:
        """The next run to work on, this owner's for `lease_s` seconds by the database's clock, since workers' own may
        disagree; None when there is nothing to do, or nothing but at destinations that others speak for.

        Interrupted runs, whose lease ran out, come before new ones, and urgent ones before all. Nothing is claimed for
        a paused destination, nor for a paused sync unless it removes people for good."""
        waiting = await lanes_with_work(await self._database.now())
        lanes = [lane for lane in waiting if lane == URGENT or not urgent_only]
        if not lanes:
            return None
        for _ in range(TRIES):
            try:
                async with self._database.transaction():
                    for lane in lanes:
                        if claimed := await self._claim(lane, owner, now, lease_s):
                            return claimed
                    return None
            except HubError as error:
                # Another worker took the lane at the same instant.
                if error.code is not ErrorCode.CONFLICT:
                    raise
        return None

    async def _claim(self, lane: str, owner: str, now: datetime, lease_s: float) -> Claim | None:
        leased_at = await self._database.now()
        urgent = await claimable_erasing(owner, leased_at) if lane == URGENT else []
        for row in [*await claimable(lane, owner, leased_at), *urgent][:1]:
            taken = models.Run.filter(id=row.id, fence=row.fence)
            until = leased_at + timedelta(seconds=lease_s)
            if await taken.update(place=lane, lease_owner=owner, lease_expires_at=until, fence=F("fence") + 1):
                begun = row.status != RunStatus.QUEUED.value
                # A worker looks at its clock before it looks for a run, which may have come in between.
                at = max(now, row.created_at)
                await note(row.id, Moment(MomentKind.TAKEN_OVER if begun else MomentKind.CLAIMED, at))
                return await _claim_of(row.id)
        return None

    @stored
    async def heartbeat(self, claim: Claim, lease_s: float) -> Claim:
        """Keep the run for another `lease_s` seconds and read it again, with `cancel_requested`. Raises LeaseLost."""
        until = await self._database.now() + timedelta(seconds=lease_s)
        await self._write(claim.run.id, claim.fence, lease_expires_at=until)
        return await _claim_of(claim.run.id)

    @stored
    async def release(self, claim: Claim) -> None:
        """Let another worker go on with the run. Raises LeaseLost."""
        await self._write(claim.run.id, claim.fence, lease_owner=None, lease_expires_at=None)

    @stored
    async def let_go_of_all(self) -> None:
        """End every lease: for the one process that owns the data plane, where whoever held one before is dead."""
        await models.Run.filter(lease_owner__isnull=False).update(lease_owner=None, lease_expires_at=None)

    @stored
    async def set_status(self, id: int, status: RunStatus, *, now: datetime, fence: int | None = None) -> Run:
        """Move a run on; for the last step see `finish`. The first move sets `started_at`. Raises LeaseLost."""
        async with self._database.transaction():
            await self._write(id, fence, status=status.value)
            await models.Run.filter(id=id, started_at=None).update(started_at=now)
            if moved := MOVES.get(status):
                await note(id, Moment(moved, now))
        return await self._one(id)

    @stored
    async def save_plan(
        self,
        id: int,
        plan: Mapping[str, Any],
        *,
        watermark: int,
        counts: RunCounts,
        withheld: Mapping[WithheldReason, int],
        fence: int | None = None,
        moment: Moment | None = None,
    ) -> Run:
        """Keep what was planned; `plan` is any JSON, found again in `Claim.plan`. Raises LeaseLost."""
        counted = numbers(counts, withheld)
        async with self._database.transaction():
            await self._write(id, fence, plan=dict(plan), watermark=watermark, **counted)
            if moment:
                await note(id, moment)
        return await self._one(id)

    @stored
    async def plan(self, id: int) -> dict[str, Any] | None:
        """What `save_plan` kept."""
        found = await models.Run.filter(id=id).first()
        return found.plan if found else None

    @stored
    async def save_counts(
        self, id: int, counts: RunCounts, withheld: Mapping[WithheldReason, int], *, fence: int | None = None
    ) -> Run:
        """Keep how far the run is. Raises LeaseLost."""
        await self._write(id, fence, **numbers(counts, withheld))
        return await self._one(id)

    @stored
    async def approve(self, id: int, *, now: datetime) -> Run:
        """A run that waits for approval may go on; HubError CONFLICT when it does not wait for it."""
        waiting = models.Run.filter(id=id, status=RunStatus.WAITING_APPROVAL.value)
        async with self._database.transaction():
            if await waiting.update(status=RunStatus.QUEUED.value, lease_owner=None, lease_expires_at=None):
                await note(id, Moment(MomentKind.APPROVED, now))
                return await self._one(id)
        raise not_waiting((await self._one(id)).status)

    @stored
    async def request_cancel(self, id: int, *, now: datetime, why: Problem | None = None) -> Run:
        """Ask for the run to stop. One that nobody works on ends at once; one under way is stopped by its worker; one
        that has ended stays as it is."""
        going_on = models.Run.filter(id=id).exclude(status__in=ENDED)
        idle = Q(place__startswith="next ") | Q(status=RunStatus.WAITING_APPROVAL.value)
        async with self._database.transaction():
            if await going_on.filter(cancel_requested=False).update(cancel_requested=True):
                await note(id, Moment(MomentKind.CANCEL_REQUESTED, now))
            if await going_on.filter(idle).update(failure=problems.to_json(why), **ending(RunStatus.CANCELLED, now)):
                await note(id, Moment(MomentKind.ENDED, now))
        return await self._one(id)

    @stored
    async def cancelled(
        self,
        id: int,
        *,
        now: datetime,
        counts: RunCounts,
        withheld: Mapping[WithheldReason, int],
        fence: int,
    ) -> Run:
        """The run is cancelled, but keeps its place and its lease: the vendor's jobs that it has left open are asked
        after until `finish`, which then brings the counts up to date and nothing else. Raises LeaseLost."""
        told = {"status": RunStatus.CANCELLED.value, "finished_at": now, **numbers(counts, withheld)}
        async with self._database.transaction():
            await self._write(id, fence, **told)
            await note(id, Moment(MomentKind.ENDED, now))
        return await self._one(id)

    @stored
    async def let_go_of_cancelled(self, sync_id: int) -> None:
        """Nobody asks after the jobs of the sync's cancelled runs any more."""
        cancelled = models.Run.filter(sync_id=sync_id, status=RunStatus.CANCELLED.value)
        await cancelled.update(**NOWHERE)

    @stored
    async def finish(
        self,
        id: int,
        status: RunStatus,
        *,
        now: datetime,
        counts: RunCounts | None = None,
        withheld: Mapping[WithheldReason, int] | None = None,
        failure: Problem | None = None,
        fence: int | None = None,
    ) -> Run:
        """End the run and give its place to the next; counts that are not given stay. Raises LeaseLost."""
        counted = {} if counts is None else numbers(counts, withheld or {})
        async with self._database.transaction():
            if await models.Run.filter(id=id, status=RunStatus.CANCELLED.value, place__isnull=False).exists():
                await self._write(id, fence, **counted, **NOWHERE)
            else:
                await self._write(id, fence, failure=problems.to_json(failure), **counted, **ending(status, now))
                await note(id, Moment(MomentKind.ENDED, now))
        return await self._one(id)

    async def _write(self, id: int, fence: int | None, **changes: Any) -> None:
        """Change a run that has not ended, or is still asked after, if the fence still is the one given."""
        rows = models.Run.filter(WORKED_ON | ~Q(status__in=ENDED), id=id)
        if not await (rows if fence is None else rows.filter(fence=fence)).update(**changes):
            raise LeaseLost(f"run {id} has ended or is another worker's")


async def _claim_of(id: int) -> Claim:
    row = await models.Run.get(id=id)
    return Claim(run_of(row), row.lease_owner or "", row.fence, row.lease_expires_at, row.plan)  # type: ignore[arg-type]


def not_waiting(status: RunStatus) -> HubError:
    return refuse(ErrorCode.CONFLICT, f"The run is {status}: only one that waits can be approved.", "id")
