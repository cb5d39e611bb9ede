"""Whoever may no longer be sent is removed at once, by a run of its own, whatever the sync's schedule, pause or mode.

Only a paused destination makes such a run wait. A consent may end by a word or by itself, so the next lapse is a date
to look again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import structlog

from hub.core.clock import aware, naive
from hub.core.records import Run, RunCause, RunStatus, Sync
from hub.core.scopes import Scope
from hub.errors import HubError
from hub.sdk.contract import Capabilities
from hub.services import metrics, plans
from hub.services.hub import Hub
from hub.services.projection import catch_up
from hub.services.vendors import Vendors
from hub.warehouse.plan import preview_plan, withdrawn_since
from hub.warehouse.settle import fold_so_far

log = structlog.get_logger()


async def sweep(hub: Hub, vendors: Vendors, sync: Sync) -> Run | None:
    """Queue the run that removes from this sync whoever may no longer be sent; None if there is nobody, or one is
    queued or under way. A connector that is gone does not hide them."""
    active = await hub.store.runs.active_for(sync.id)
    if any(run.scope is Scope.WITHDRAWN for run in active):
        return None
    await catch_up(hub)
    await _fold_runs_under_way(hub, vendors, sync, active)
    request = await plans.request_for(hub, sync, await _capabilities(hub, vendors, sync), scope=Scope.WITHDRAWN)
    preview = await asyncio.to_thread(preview_plan, hub.engine, request, 0)
    if not preview.summary.leavers:
        return None
    run = await hub.store.runs.queue(sync.id, RunCause.WITHDRAWAL, now=hub.clock.now(), scope=Scope.WITHDRAWN)
    hub.signals.run_queued.set()
    log.info("withdrawals to remove", sync=sync.key, run=run.id, people=preview.summary.leavers)
    return run


async def note_duration(hub: Hub, run: Run) -> None:
    """Measure how long those whom this run has removed had to wait for it."""
    sync = await hub.store.syncs.find(run.sync_id) if run.sync_id else None
    if sync is None:
        return
    since = await asyncio.to_thread(withdrawn_since, hub.engine, run.id, sync.purposes)
    if since is not None:
        metrics.WITHDRAWAL.observe(max(0.0, (hub.clock.now() - since).total_seconds()))


async def next_lapse(hub: Hub) -> datetime | None:
    """When the next grant ends by itself; None if none does."""
    now = naive(hub.clock.now())
    sql = "SELECT min(expires_at) FROM consent WHERE state = 'GRANTED' AND expires_at > $now"
    [(lapse,)] = await asyncio.to_thread(hub.engine.rows, sql, {"now": now})
    return aware(lapse)


async def _fold_runs_under_way(hub: Hub, vendors: Vendors, sync: Sync, active: Sequence[Run]) -> None:
    """What a long run has reached so far counts already: those people too can be removed before it ends."""
    for run in active:
        plan = await hub.store.runs.plan(run.id) if run.status is RunStatus.RUNNING else None
        if plan:
            in_flight_s = (await _capabilities(hub, vendors, sync)).lands_within_s
            request = plans.from_json(plan["request"])
            now = hub.clock.now()
            await asyncio.to_thread(fold_so_far, hub.engine, request, now=now, in_flight_s=in_flight_s)


async def _capabilities(hub: Hub, vendors: Vendors, sync: Sync) -> Capabilities:
    destination = await hub.store.destinations.find(sync.destination_id)
    try:
        return (await vendors.connect(destination)).limits() if destination else Capabilities()
    except HubError:
        return Capabilities()
