"""How far a destination is behind its segment."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from hub.core.records import Sync
from hub.errors import HubError
from hub.services import plans
from hub.services.hub import Hub
from hub.services.projection import catch_up
from hub.services.syncs import capabilities_of, destination_of
from hub.warehouse.plan import preview_plan


@dataclass(frozen=True, slots=True)
class Known:
    """When the sync's audience last was known to be what the segment said; None before the first time."""

    sync: Sync
    equal_at: datetime | None
    seconds_since: float | None


async def known(hub: Hub, sync: Sync) -> Known:
    at = await hub.store.history.equal_at(sync.id, sync.audience)
    since = max(0.0, (hub.clock.now() - at).total_seconds()) if at else None
    return Known(sync, at, since)


async def pending(hub: Hub, sync: Sync) -> int | None:
    """How many people a run would have to change something about, without evaluating the segment anew. None where the
    connector cannot be used."""
    try:
        capabilities = await capabilities_of(hub, await destination_of(hub, sync))
    except HubError:
        return None
    await catch_up(hub)
    request = await plans.request_for(hub, sync, capabilities)
    summary = (await asyncio.to_thread(preview_plan, hub.engine, request, 0)).summary
    return summary.to_add + summary.to_update + summary.leavers
