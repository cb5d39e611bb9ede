"""Syncs: which segment goes to which audience, for which purposes, how and when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tortoise.functions import Max

from hub.core.alerts.thresholds import Thresholds
from hub.core.records import Sync, SyncMode
from hub.store import models
from hub.store.database import stored
from hub.store.repository import KeyedRepository, known

CHANGEABLE = (
    "audience purposes mode schedule audit_schedule fields max_removal_share max_growth rollout_share alerts signals"
).split()


class Syncs(KeyedRepository[Sync]):
    model, noun = models.Sync, "sync"

    async def _records(self, rows: Sequence[models.Sync]) -> list[Sync]:
        runs = models.Run.filter(sync_id__in=[row.id for row in rows])
        newest = dict(await runs.annotate(newest=Max("id")).group_by("sync_id").values_list("sync_id", "newest"))
        return [_sync(row, newest.get(row.id)) for row in rows]

    @stored
    async def create(
        self,
        *,
        key: str,
        segment_id: int,
        destination_id: int,
        audience: str,
        purposes: Sequence[str],
        mode: SyncMode = SyncMode.MIRROR,
        schedule: str = "manual",
        fields: Mapping[str, str] | None = None,
        max_removal_share: float = 0.3,
        rollout_share: float = 1.0,
        max_growth: float = 10.0,
        alerts: Thresholds | None = None,
        signals: Mapping[str, str] | None = None,
        audit_schedule: str | None = None,
    ) -> Sync:
        """HubError CONFLICT when the key is taken or the destination has a sync for this audience."""
        row = await models.Sync.create(
            key=key,
            segment_id=segment_id,
            destination_id=destination_id,
            audience=audience,
            purposes=list(purposes),
            mode=mode.value,
            schedule=schedule,
            field_map=dict(fields or {}),
            max_removal_share=max_removal_share,
            rollout_share=rollout_share,
            max_growth=max_growth,
            alerts=alerts and asdict(alerts),
            signals=dict(signals or {}),
            audit_schedule=audit_schedule,
        )
        return await self._one(row.id)

    @stored
    async def update(self, /, id: int, *, if_version: int | None = None, **changes: Any) -> Sync:
        """Changes of what `CHANGEABLE` names, as a new version; HubError CONFLICT when it is not at `if_version` or the
        audience has a sync already."""
        known(changes, *CHANGEABLE)
        columns = {name: _COLUMNS.get(name, _as_is)(value) for name, value in changes.items()}
        if "fields" in columns:
            columns["field_map"] = columns.pop("fields")
        await self._swap(id, if_version, columns)
        return await self._one(id)

    @stored
    async def pause(self, id: int) -> Sync:
        await models.Sync.filter(id=id).update(paused=True)
        return await self._one(id)

    @stored
    async def resume(self, id: int) -> Sync:
        await models.Sync.filter(id=id).update(paused=False)
        return await self._one(id)

    @stored
    async def of_segments(self, ids: Iterable[int]) -> dict[int, list[Sync]]:
        """The syncs of each segment, by segment id; those without any have an empty list."""
        return await self._grouped("segment_id", list(ids))

    @stored
    async def of_destinations(self, ids: Iterable[int]) -> dict[int, list[Sync]]:
        """The syncs of each destination, by destination id; those without any have an empty list."""
        return await self._grouped("destination_id", list(ids))

    async def _grouped(self, column: str, ids: list[int]) -> dict[int, list[Sync]]:
        found = defaultdict(list)
        for sync in await self._records(await models.Sync.filter(**{f"{column}__in": ids}).order_by("id")):
            found[getattr(sync, column)].append(sync)
        return {id: found[id] for id in ids}


def _as_is(value: Any) -> Any:
    return value


_COLUMNS: Mapping[str, Callable[[Any], Any]] = {
    "alerts": asdict,
    "purposes": list,
    "fields": dict,
    "mode": lambda mode: SyncMode(mode).value,
}


def _sync(row: models.Sync, last_run_id: int | None) -> Sync:
    return Sync(
        id=row.id,
        key=row.key,
        segment_id=row.segment_id,
        destination_id=row.destination_id,
        audience=row.audience,
        purposes=tuple(row.purposes),
        mode=SyncMode(row.mode),
        schedule=row.schedule,
        fields=row.field_map,
        max_removal_share=row.max_removal_share,
        version=row.version,
        paused=row.paused,
        last_run_id=last_run_id,
        rollout_share=row.rollout_share,
        signals=dict(row.signals or {}),
        max_growth=row.max_growth,
        alerts=Thresholds(**(row.alerts or {})),
        audit_schedule=row.audit_schedule,
    )
