"""What one process leaves of a run for the next: people whom it may have reached, and jobs that are open at the vendor.

A run that is cancelled has ended for everybody who looks, and leaves nothing but such jobs. It keeps its place, so that
the sync's next run waits and nobody is in two requests at once, until each job has ended or its deadline has passed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog

from hub.core.delivery.jobs import Followed
from hub.core.history import MomentKind
from hub.core.planning import PlanRequest
from hub.core.records import Run, RunStatus
from hub.sdk.contract import Audience, Capabilities, Connector
from hub.services import plans
from hub.services.delivery import limits_for
from hub.services.errands import Errands
from hub.services.hold import Hold
from hub.services.hub import Hub
from hub.warehouse import outcomes, resume
from hub.warehouse.settle import fold_so_far

log = structlog.get_logger()


async def take_over(
    hub: Hub, hold: Hold, able: Capabilities, note: Callable[[MomentKind, int], None]
) -> tuple[int, list[Followed]]:
    """Note whom the process before may have reached; the attempts it made, as far as it noted them, and the jobs it
    left open at the vendor. One that had cancelled the run had noted everything."""
    engine, run = hold.engine, hold.claim.run
    if run.status is not RunStatus.CANCELLED:
        people = limits_for(able).people_in_doubt
        doubted = await asyncio.to_thread(resume.doubt_unlogged, engine, run.id, people, hub.clock.now())
        log.info("run resumed", run=run.id, cause=run.cause.value, people=doubted)
        note(MomentKind.RESUMED, doubted)
    made = await asyncio.to_thread(resume.attempts_made, engine, run.id)
    return made, await asyncio.to_thread(resume.open_jobs, engine, run.id)


async def leave(hub: Hub, hold: Hold, plan: Mapping[str, Any], able: Capabilities) -> Run:
    """End a cancelled run but for its jobs; whoever is in one counts as possibly there from now on."""
    engine, run, now = hold.engine, hold.claim.run.id, hub.clock.now()
    request = plans.from_json(plan["request"])
    await asyncio.to_thread(fold_so_far, engine, request, now=now, in_flight_s=able.lands_within_s)
    counts = await asyncio.to_thread(outcomes.progress, engine, run)
    withheld = await asyncio.to_thread(outcomes.withheld, engine, run)
    fence = hold.claim.fence
    return await hub.store.runs.cancelled(run, now=now, counts=counts, withheld=withheld, fence=fence)


async def audience(
    plan: Mapping[str, Any], request: PlanRequest, connector: Connector[Any], errands: Errands
) -> Audience:
    """That of a run which is over but for its jobs: kept in the plan, so that nothing but those need be asked for."""
    if "audience" in plan:
        return Audience(*plan["audience"])
    found: Audience = await errands.insist(partial(connector.ensure_audience, request.audience))
    return found
