"""The brake at work: which plans wait for a person, and whether one that waited is still what a run would do."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hub.core.brake import Brake
from hub.core.records import Run, Sync
from hub.services import plans
from hub.services.hub import Hub
from hub.services.projection import catch_up
from hub.services.syncs import capabilities_of, destination_of
from hub.warehouse.staleness import differences

# For so long the numbers that somebody looks at are those of the plan.
FRESH_FOR = timedelta(hours=24)
# For so long a failed import makes every removal wait, unless another one has gone in.
DOUBTED_FOR = timedelta(hours=24)


async def brake_of(hub: Hub, sync: Sync) -> Brake:
    failed = await hub.store.imports.failed_since(hub.clock.now() - DOUBTED_FOR)
    return Brake(sync.max_removal_share, sync.max_growth, bool(failed))


async def mark_of_rule(hub: Hub, sync: Sync) -> str:
    """What tells one rule of the sync's segment from another."""
    segment = await hub.store.segments.find(sync.segment_id)
    return hashlib.sha256(segment.rule.encode()).hexdigest() if segment else ""


async def gone_stale(hub: Hub, run: Run) -> str | None:
    """Why the plan of a run that waits is not what a run would do now; None where it still is.

    Any changed setting that the plan rests on counts, another rule, and other people to add, send again or remove, be
    it for new data, for a new evaluation or for consent. HubError where the connector cannot be used.
    """
    kept = await hub.store.runs.plan(run.id)
    sync = await hub.store.syncs.find(run.sync_id) if run.sync_id else None
    if kept is None or sync is None:
        return None
    then = plans.from_json(kept["request"])
    if hub.clock.now() - then.now > FRESH_FOR:
        return f"it was made over {FRESH_FOR.total_seconds() / 3600:.0f} hours ago"
    if kept.get("rule") not in {None, await mark_of_rule(hub, sync)}:
        return "the segment has another rule since"
    return await _changed(hub, run, sync, kept)


async def _changed(hub: Hub, run: Run, sync: Sync, kept: Mapping[str, Any]) -> str | None:
    then = plans.from_json(kept["request"])
    await catch_up(hub)
    capabilities = await capabilities_of(hub, await destination_of(hub, sync))
    today = await plans.request_for(
        hub, sync, capabilities, run=run.id, scope=run.scope, lens=then.lens, audience=run.audience
    )
    if replace(today, now=then.now) != then:
        return "the settings of the sync or its destination have changed since"
    people = await asyncio.to_thread(differences, hub.engine, today)
    who = "one person" if people == 1 else f"{people} people"
    return f"it would say something else about {who} now, for new data or consent" if people else None
