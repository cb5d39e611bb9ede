"""How well each sync is. It turns by compare-and-swap, so of several processes that see the same turn one tells it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.core.alerts.health import Health, HealthState
from hub.core.alerts.wording import Notice
from hub.errors import ErrorCode, HubError
from hub.store import health_rows, models
from hub.store.database import Database, stored


@dataclass(frozen=True, slots=True)
class Watched:
    """A sync's health; `watch` is the schedule under which it has been watched since `watched_since`, empty while the
    sync is paused. `notice` is the newest one about it."""

    sync_id: int
    health: Health
    watch: str
    watched_since: datetime
    version: int = 0
    notice: Notice | None = None


class SyncHealths:
    def __init__(self, database: Database) -> None:
        self._database = database

    @stored
    async def of_syncs(self, ids: Iterable[int]) -> dict[int, Watched]:
        """By sync id; those not looked at yet are absent."""
        return {row.sync_id: _watched(row) for row in await models.SyncHealth.filter(sync_id__in=list(ids))}

    @stored
    async def save(self, seen: Watched, *, now: datetime, notice: Notice | None = None) -> bool:
        """Keep what was seen, and what every channel is to be told of it, together. False when another process has
        changed it since `seen.version` was read, or the sync is gone: nothing is kept then."""
        try:
            async with self._database.transaction():
                if not await self._swap(seen, notice):
                    return False
                if notice:
                    await _address(notice, now)
                return True
        except HubError as error:
            if error.code is not ErrorCode.CONFLICT:
                raise
            return False

    async def _swap(self, seen: Watched, notice: Notice | None) -> bool:
        told = {"notice": health_rows.from_notice(notice)} if notice else {}
        columns: dict[str, Any] = {
            "state": seen.health.state.value,
            "since": seen.health.since,
            "causes": health_rows.from_causes(seen.health.causes),
            "spells": seen.health.spells,
            "calm_since": seen.health.calm_since,
            "watch": seen.watch,
            "watched_since": seen.watched_since,
            "version": seen.version + 1,
            **told,
        }
        if seen.version:
            rows = models.SyncHealth.filter(sync_id=seen.sync_id, version=seen.version)
            return bool(await rows.update(**columns))
        await models.SyncHealth.create(sync_id=seen.sync_id, **columns)
        return True


async def _address(notice: Notice, now: datetime) -> None:
    """One for each channel there is now, and one for the log."""
    channels = [*await models.AlertChannel.all().order_by("id").values_list("id", flat=True), None]
    told = {"notice": health_rows.from_notice(notice), "due_at": now, "created_at": now}
    await models.AlertNotice.bulk_create([models.AlertNotice(channel_id=id, **told) for id in channels])


def _watched(row: models.SyncHealth) -> Watched:
    return Watched(
        sync_id=row.sync_id,
        health=Health(HealthState(row.state), row.since, health_rows.to_causes(row.causes), row.spells, row.calm_since),
        watch=row.watch,
        watched_since=row.watched_since,
        version=row.version,
        notice=health_rows.to_notice(row.notice) if row.notice else None,
    )
