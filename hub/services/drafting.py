"""The plan of a run, made in the data plane and kept in the control plane with all that the next process needs."""

from __future__ import annotations

import asyncio
from typing import Any

from hub.core.history import Moment, MomentKind
from hub.core.planning import PlanSummary, count
from hub.core.records import Run, Sync
from hub.failpoints import failpoint
from hub.sdk.contract import Capabilities
from hub.services import approval, plans
from hub.services.hold import Hold
from hub.services.hub import Hub
from hub.warehouse.plan import make_plan


async def draft(hub: Hub, hold: Hold, run: Run, sync: Sync, able: Capabilities) -> tuple[dict[str, Any], Run]:
    """The plan, and the run as it is with one. Raises LeaseLost."""
    failpoint("before_plan")
    request = await plans.request_of(hub, run, sync, able)
    summary = await asyncio.to_thread(make_plan, hold.engine, request)
    plan = {
        "request": plans.to_json(request),
        "steps": summary.steps,
        "waits": (await approval.brake_of(hub, sync)).reasons(summary),
        "rule": await approval.mark_of_rule(hub, sync),
    }
    run = await _save(hub, hold, plan, summary)
    failpoint("after_plan")
    return plan, run


async def _save(hub: Hub, hold: Hold, plan: dict[str, Any], summary: PlanSummary) -> Run:
    return await hub.store.runs.save_plan(
        hold.claim.run.id,
        plan,
        watermark=summary.watermark,
        counts=count(summary, {}),
        withheld=summary.withheld,
        fence=hold.claim.fence,
        moment=Moment(MomentKind.PLANNED, hub.clock.now(), summary.steps),
    )
