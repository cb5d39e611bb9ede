"""Runs as an admin sees them: start one, let it go on, stop it, watch it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

from hub.core.records import Run, RunCause, RunStatus, Sync
from hub.core.scopes import Scope
from hub.errors import ErrorCode, Problem, refuse
from hub.sdk.contract import Capabilities
from hub.services import approval, plans
from hub.services.auditing import can_audit
from hub.services.hub import Hub
from hub.services.syncs import capabilities_of, destination_of
from hub.warehouse.settle import settle

# At most four times a second while it is under way; its end is told at once.
LOOK_AGAIN_S = 0.25


async def start(hub: Hub, sync_key: str, as_of: datetime | None = None, *, full: bool = False) -> Run:
    """Queue a run and return at once. While one is under way this is the one follow-up, with these newest arguments.
    A `full` one sends everybody again, and removes whoever may be there beyond them, as far as anybody knows.

    HubError NOT_FOUND, or CONFLICT while the sync or its destination is paused.
    """
    sync = await hub.store.syncs.need(sync_key)
    await _refuse_while_paused(hub, sync)
    return await _queued(hub, sync.id, Scope.FULL if full else Scope.ALL, as_of)


async def audit(hub: Hub, sync_key: str, *, repair: bool = False) -> Run:
    """Queue the run that reads back whom the destination holds, and with `repair` has the next one put right what it
    finds.

    HubError NOT_FOUND, UNSUPPORTED where the vendor does not say who is there, or CONFLICT while the sync or its
    destination is paused.
    """
    sync = await hub.store.syncs.need(sync_key)
    await _refuse_while_paused(hub, sync)
    destination = await destination_of(hub, sync)
    if not can_audit(await capabilities_of(hub, destination)):
        said = (
            f"{destination.connector} cannot say who is in an audience, nor how many: `syncRun(full: true)` sends "
            "everybody again without asking."
        )
        raise refuse(ErrorCode.UNSUPPORTED, said, "key")
    return await _queued(hub, sync.id, Scope.REPAIR if repair else Scope.AUDIT)


async def approve(hub: Hub, run_id: int) -> Run:
    """Let a run go on that waits for approval.

    HubError NOT_FOUND, or CONFLICT when it does not wait for it, or when its plan has gone stale: then it is ended, and
    another one of the same kind is queued, which plans anew and waits for approval itself if it must.
    """
    waiting = await _need(hub, run_id)
    if waiting.status is RunStatus.WAITING_APPROVAL and (why := await approval.gone_stale(hub, waiting)):
        await plan_anew(hub, waiting, why)
        said = f"The plan is out of date: {why}. The run is ended and another one queued: look at its numbers."
        raise refuse(ErrorCode.CONFLICT, said, "id")
    run = await hub.store.runs.approve(run_id, now=hub.clock.now())
    hub.signals.run_queued.set()
    return run


async def cancel(hub: Hub, run_id: int) -> Run:
    """Ask a run to stop: nothing more is begun, what is in flight is still accounted for, the rest stays pending. Then
    it has ended, but for the vendor's jobs that it has left open: each is asked after until its end or its deadline,
    the counts follow, and the sync's next run waits. One that has ended stays as it is. HubError NOT_FOUND."""
    before = await _need(hub, run_id)
    run = await hub.store.runs.request_cancel(run_id, now=hub.clock.now())
    if before.status is RunStatus.WAITING_APPROVAL and run.status is RunStatus.CANCELLED:
        await _let_go_of_plan(hub, run)
    hub.signals.run_queued.set()
    return run


async def retry_rejected(hub: Hub, run_id: int) -> Run:
    """Queue a run of the same sync that tries again whom the vendor refused, with today's data.

    HubError NOT_FOUND, or CONFLICT when the sync is gone, or it or its destination is paused.
    """
    run = await _need(hub, run_id)
    sync = await hub.store.syncs.find(run.sync_id) if run.sync_id else None
    if sync is None:
        raise refuse(ErrorCode.CONFLICT, "The sync of this run has been deleted: there is nowhere to send to.", "id")
    await _refuse_while_paused(hub, sync)
    return await _queued(hub, sync.id, Scope.RETRY_REJECTED)


async def progress(hub: Hub, run_id: int) -> AsyncIterator[Run]:
    """The run now, at each change of its status or counts, and once when it has ended. HubError NOT_FOUND."""
    shown: Run | None = None
    while True:
        run = await _need(hub, run_id)
        if run != shown:
            shown = run
            yield run
        if run.status.ended:
            return
        await hub.signals.run_ended.wait(LOOK_AGAIN_S)


async def plan_anew(hub: Hub, run: Run, why: str) -> None:
    """End a run that waits for approval, and queue another one of the same kind."""
    now = hub.clock.now()
    problem = Problem(ErrorCode.CONFLICT, f"The plan went out of date while it waited for approval: {why}.")
    await _let_go_of_plan(hub, await hub.store.runs.request_cancel(run.id, now=now, why=problem))
    if run.sync_id:
        await hub.store.runs.queue(
            run.sync_id, run.cause, now=now, scope=run.scope, audience=run.audience, as_of=run.as_of
        )
    hub.signals.run_queued.set()


async def _queued(hub: Hub, sync_id: int, scope: Scope, as_of: datetime | None = None) -> Run:
    run = await hub.store.runs.queue(sync_id, RunCause.MANUAL, now=hub.clock.now(), scope=scope, as_of=as_of)
    hub.signals.run_queued.set()
    return run


async def _need(hub: Hub, run_id: int) -> Run:
    run = await hub.store.runs.find(run_id)
    if run is None:
        raise refuse(ErrorCode.NOT_FOUND, "There is no such run.", "id")
    return run


async def _refuse_while_paused(hub: Hub, sync: Sync) -> None:
    if sync.paused:
        raise refuse(ErrorCode.CONFLICT, f"The sync “{sync.key}” is paused: resume it, then run it.", "key")
    destination = await hub.store.destinations.find(sync.destination_id)
    if destination and destination.paused:
        why = f" ({destination.paused_reason.message})" if destination.paused_reason else ""
        said = f"The destination “{destination.key}” is paused{why}: resume it, then run the sync."
        raise refuse(ErrorCode.CONFLICT, said, "key")


async def _let_go_of_plan(hub: Hub, run: Run) -> None:
    """A run that waited for approval has a plan that nobody will carry out: close it."""
    if plan := await hub.store.runs.plan(run.id):
        request = plans.from_json(plan["request"])
        in_flight_s = Capabilities().in_flight_s
        await asyncio.to_thread(settle, hub.engine, request, now=hub.clock.now(), in_flight_s=in_flight_s)
