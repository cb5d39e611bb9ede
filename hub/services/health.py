"""Looking at how well a sync is, and leaving a notice where that has turned."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from datetime import datetime

from hub.core.alerts import reading
from hub.core.alerts.health import Drift, Facts, Health, HealthState, step
from hub.core.alerts.thresholds import MOST_RUNS
from hub.core.alerts.wording import notice_of
from hub.core.records import Destination, Sync
from hub.core.scopes import Scope
from hub.services import metrics
from hub.services.hub import Hub
from hub.services.schedule import is_cron, next_time
from hub.services.syncs import destination_of
from hub.store.health import Watched
from hub.warehouse.audit import newest_of


async def look(hub: Hub, sync: Sync) -> None:
    """Keep how well the sync is now. Where it has turned, every channel is to be told, in the same transaction.

    Several processes may look at once: the turn is made, and told, by one of them.
    """
    now = hub.clock.now()
    before = (await hub.store.healths.of_syncs([sync.id])).get(sync.id) or _not_seen_yet(sync, now)
    destination = await destination_of(hub, sync)
    watched = _watched_as_it_is(before, sync, now)
    health = step(watched.health, await _facts(hub, sync, destination, watched), sync.alerts, now)
    turned = health.state is not before.health.state
    after = replace(watched, health=health)
    if after == before and before.version:
        return
    id = f"ntc_{secrets.token_hex(16)}"
    notice = notice_of(id, sync.key, destination.key, before.health, health) if turned else None
    if await hub.store.healths.save(after, now=now, notice=notice) and notice:
        metrics.TURNS.labels(health.state.value).inc()
        hub.signals.noticed.set()


def _not_seen_yet(sync: Sync, now: datetime) -> Watched:
    return Watched(sync.id, Health(HealthState.WELL, now), _watch(sync), now)


def _watched_as_it_is(before: Watched, sync: Sync, now: datetime) -> Watched:
    """Another schedule, or a pause that is over, is nothing that a run could have kept to before now."""
    watch = _watch(sync)
    return before if watch == before.watch else replace(before, watch=watch, watched_since=now)


def _watch(sync: Sync) -> str:
    return "" if sync.paused else sync.schedule


async def _facts(hub: Hub, sync: Sync, destination: Destination, watched: Watched) -> Facts:
    runs = hub.store.runs
    ordinary = await runs.ended_of_sync(sync.id, reading.ORDINARY, MOST_RUNS)
    removals = await runs.ended_of_sync(sync.id, [Scope.WITHDRAWN], MOST_RUNS)
    active = await runs.active_for(sync.id)
    last_success = reading.last_success(ordinary)
    reason = destination.paused_reason if destination.paused else None
    due_since = _due_since(sync, watched, last_success, reading.unfinished_since(active), hub.clock.now())
    return Facts(
        failures=reading.failures(ordinary),
        removals=reading.failed_removals(removals, ordinary),
        shares=reading.shares(ordinary),
        drift=await _drift(hub, sync, last_success),
        paused_because=reason.code if reason else None,
        waiting_since=reading.waiting_since(active),
        due_since=due_since,
        expected=due_since is not None or is_cron(sync.schedule),
        last_success=last_success,
        resting=sync.paused,
    )


async def _drift(hub: Hub, sync: Sync, last_success: datetime | None) -> Drift | None:
    """What the last audit found, unless a run has got to its end since, which put it right."""
    found = await asyncio.to_thread(newest_of, hub.engine, sync.id)
    mended = found is not None and last_success is not None and last_success > found.ended_at
    return Drift(found.ended_at, found.share) if found and not mended else None


def _due_since(
    sync: Sync, watched: Watched, last_success: datetime | None, unfinished: datetime | None, now: datetime
) -> datetime | None:
    """Since when a run should have got to its end: the schedule's first time after the last one that did, or since a
    run has been begun or waits for a worker."""
    if sync.paused:
        return None
    since = [unfinished] if unfinished else []
    if is_cron(sync.schedule):
        due = next_time(sync.schedule, max(last_success or watched.watched_since, watched.watched_since))
        since += [due] if due <= now else []
    return min(since, default=None)
