"""Runs as they are looked up and listed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from hub.core.records import Run, RunStatus
from hub.core.scopes import Scope
from hub.store import models
from hub.store.database import stored
from hub.store.places import ENDED
from hub.store.repository import Repository
from hub.store.run_rows import run_of

UNCANCELLED = [status for status in ENDED if status != RunStatus.CANCELLED.value]


class RunLists(Repository[Run]):
    """Pages of runs are newest first."""

    model, noun = models.Run, "run"

    async def _records(self, rows: Sequence[models.Run]) -> list[Run]:
        return [run_of(row) for row in rows]

    @stored
    async def active_for(self, sync_id: int) -> list[Run]:
        """The sync's runs that have not ended, oldest first: under way, waiting for approval, in line."""
        return await self._records(await models.Run.filter(sync_id=sync_id).exclude(status__in=ENDED).order_by("id"))

    @stored
    async def any_running(self) -> bool:
        """Whether some run may have requests in flight."""
        return await models.Run.filter(status=RunStatus.RUNNING.value).exists()

    @stored
    async def page(self, first: int, after_id: int | None = None) -> list[Run]:
        """At most `first` older than that id, newest first."""
        return await self._records(await _older(models.Run.all(), after_id).limit(first))

    @stored
    async def of_sync(self, sync_id: int, first: int, after_id: int | None = None) -> list[Run]:
        """At most `first` of the sync's runs older than that id, newest first."""
        return await self._records(await _older(models.Run.filter(sync_id=sync_id), after_id).limit(first))

    @stored
    async def ended_of_sync(self, sync_id: int, scopes: Collection[Scope], first: int) -> list[Run]:
        """At most `first` of the sync's runs of these scopes that came to an end uncancelled, newest first."""
        ended = models.Run.filter(sync_id=sync_id, scope__in=[scope.value for scope in scopes], status__in=UNCANCELLED)
        return await self._records(await ended.order_by("-id").limit(first))

    @stored
    async def newest_of_sync(self, sync_id: int, scopes: Collection[Scope]) -> Run | None:
        """The sync's newest run of these scopes, ended or not."""
        of = models.Run.filter(sync_id=sync_id, scope__in=[scope.value for scope in scopes])
        found = await self._records(await of.order_by("-id").limit(1))
        return found[0] if found else None

    @stored
    async def count_of_sync(self, sync_id: int) -> int:
        return await models.Run.filter(sync_id=sync_id).count()


def _older(rows: Any, after_id: int | None) -> Any:
    return (rows if after_id is None else rows.filter(id__lt=after_id)).order_by("-id")
