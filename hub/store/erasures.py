"""Erasures: who asked to be erased, and where that is done already.

The person's id is here only for as long as there is something left to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from tortoise.expressions import F

from hub.core.history import Moment, MomentKind
from hub.core.records import Erasure, ErasurePlace, Run, RunCause, RunStatus
from hub.core.scopes import Scope
from hub.store import models
from hub.store.database import stored
from hub.store.history import note
from hub.store.places import ENDED, URGENT
from hub.store.repository import Repository
from hub.store.run_rows import run_of


class Erasures(Repository[Erasure]):
    model, noun = models.Erasure, "erasure"

    async def _records(self, rows: Sequence[models.Erasure]) -> list[Erasure]:
        places = await models.ErasurePlace.filter(erasure_id__in=[row.id for row in rows]).order_by("id")
        return [_erasure(row, [place for place in places if place.erasure_id == row.id]) for row in rows]

    @stored
    async def begin(
        self, external_id: str, subject: bytes, destinations: Iterable[int], now: datetime, requested_at: datetime
    ) -> Erasure:
        """A new one; or the one that is under way, with whatever destination it lacks."""
        async with self._database.transaction():
            row = await models.Erasure.filter(subject=subject, finished_at=None).select_for_update().first()
            row = row or await models.Erasure.create(
                subject=subject, external_id=external_id, requested_at=requested_at
            )
            known = await models.ErasurePlace.filter(erasure_id=row.id).values_list("destination_id", flat=True)
            for destination in sorted(set(destinations) - set(known)):
                await models.ErasurePlace.create(erasure_id=row.id, destination_id=destination, due_at=now)
        return await self._one(row.id)

    @stored
    async def under_way(self) -> list[Erasure]:
        """Those not finished, oldest first."""
        return await self._records(await models.Erasure.filter(finished_at=None).order_by("id"))

    @stored
    async def newest_of(self, subject: bytes) -> Erasure | None:
        return await self._first(models.Erasure.filter(subject=subject).order_by("-id"))

    @stored
    async def mark(self, id: int, destination_id: int, done_at: datetime | None) -> None:
        """Done at this destination since then; None: there is something to do again."""
        await models.ErasurePlace.filter(erasure_id=id, destination_id=destination_id).update(done_at=done_at)

    @stored
    async def put_off(self, id: int, destination_id: int, due_at: datetime) -> None:
        """One more attempt is being made; if it comes to nothing, the next is not before then."""
        places = models.ErasurePlace.filter(erasure_id=id, destination_id=destination_id)
        await places.update(attempts=F("attempts") + 1, due_at=due_at)

    @stored
    async def queue(self, destination_id: int, *, now: datetime) -> Run:
        """The run that erases at a destination whoever is to be erased there: a new one, or the one that has not ended
        yet."""
        async with self._database.transaction():
            await models.Destination.filter(id=destination_id).select_for_update()
            if active := await self.run_at(destination_id):
                return active
            row = await models.Run.create(
                destination_id=destination_id,
                place=f"next {URGENT}",
                cause=RunCause.ERASURE.value,
                scope=Scope.ERASE.value,
                status=RunStatus.QUEUED.value,
                created_at=now,
            )
            await note(row.id, Moment(MomentKind.QUEUED, now))
        return run_of(row)

    @stored
    async def run_at(self, destination_id: int) -> Run | None:
        """The run that erases there and has not ended."""
        row = await models.Run.filter(destination_id=destination_id).exclude(status__in=ENDED).first()
        return run_of(row) if row else None

    @stored
    async def finish(self, id: int, now: datetime) -> None:
        """Nothing is left of the person, here neither."""
        await models.Erasure.filter(id=id, finished_at=None).update(finished_at=now, external_id=None)


def _erasure(row: models.Erasure, places: Iterable[models.ErasurePlace]) -> Erasure:
    told = tuple(ErasurePlace(place.destination_id, place.done_at, place.attempts, place.due_at) for place in places)
    return Erasure(row.id, bytes(row.subject), row.external_id, row.requested_at, row.finished_at, told)
