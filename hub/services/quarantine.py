"""Letting people out of quarantine: whom the vendor refused so often that they are no longer tried."""

from __future__ import annotations

import asyncio

from hub.core.records import Sync
from hub.errors import ErrorCode, refuse
from hub.services.hub import Hub
from hub.warehouse.rejected import release


async def let_out(hub: Hub, sync_key: str, external_id: str | None = None) -> tuple[Sync, int]:
    """Everyone whom the sync quarantined, or one person: the next run tries them again. The sync, and how many.

    HubError NOT_FOUND for the sync, or where the one person named is not quarantined.
    """
    sync = await hub.store.syncs.need(sync_key, "sync")
    released = await asyncio.to_thread(release, hub.engine, sync.id, sync.audience, hub.clock.now(), external_id)
    if external_id is not None and not released:
        said = f"The sync “{sync.key}” has nobody of that external id in quarantine."
        raise refuse(ErrorCode.NOT_FOUND, said, "externalId")
    # A continuous sync has something to say again.
    hub.signals.consent_changed.set()
    return sync, released
