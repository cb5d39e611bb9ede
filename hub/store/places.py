"""Which run may be worked on next: the places that the runs of a sync wait and work in.

A run holds a place of its sync, and the database lets one run hold each: `next …` while it waits in line, then the lane
it runs in. Removals of people who may no longer be sent have a lane of their own, beside everything else. So a sync has
one run under way and one follow-up, whoever asks and however many workers there are.

One worker at a time speaks for a destination. It alone knows who is under way there and how fast it may go, so neither
has to be told to the others request by request.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from tortoise.expressions import Q, Subquery

from hub.core.records import RunStatus
from hub.core.scopes import Scope
from hub.store import models

URGENT, ORDINARY = "urgent", "ordinary"
WORKABLE = [status.value for status in (RunStatus.QUEUED, RunStatus.PLANNING, RunStatus.RUNNING)]
# One that was cancelled keeps its place while the vendor's jobs that it has left open are asked after.
WORKED_ON = Q(status__in=WORKABLE) | Q(status=RunStatus.CANCELLED.value, place__isnull=False)
ENDED = [status.value for status in RunStatus if status.ended]
# What is removed for good goes out though the sync is paused.
IN_SPITE_OF_PAUSE = [Scope.WITHDRAWN.value, Scope.EMPTY.value, Scope.REPEAT.value]


def next_place(scope: Scope, audience: str) -> str:
    if scope is Scope.WITHDRAWN:
        return f"next {URGENT}"
    if scope.audits:
        return f"next {ORDINARY} audit"
    # To empty an audience is never merged with filling one.
    return f"next {ORDINARY} empty {audience}" if scope is Scope.EMPTY else f"next {ORDINARY}"


async def lanes_with_work(now: datetime) -> list[str]:
    """The lanes, urgent first, of the runs that nobody works on. Looking for one that may be claimed takes many times
    as long, and almost always there is none, or none that is urgent."""
    waiting = models.Run.filter(WORKED_ON, _unleased(now)).distinct()
    places: Collection[Any] = await waiting.values_list("place", flat=True)
    lanes = {URGENT if place in {URGENT, f"next {URGENT}"} else ORDINARY for place in places}
    return sorted(lanes, key=(URGENT, ORDINARY).index)


async def claimable(lane: str, owner: str, now: datetime) -> list[models.Run]:
    """The oldest run that this worker may claim in this lane; it and its destination are locked, on PostgreSQL, against
    other workers."""
    under_way = models.Run.filter(place=lane, sync_id__isnull=False).values("sync_id")
    in_line = Q(place__startswith=f"next {lane}") & Q(sync_id__not_in=Subquery(under_way))
    may_send = Q(sync__paused=False) | Q(scope__in=IN_SPITE_OF_PAUSE)
    rows = models.Run.filter(Q(place=lane) | in_line, _unleased(now), may_send, WORKED_ON)
    open_for = rows.filter(_free("sync__destination_id", owner, now), sync__destination__paused=False)
    found = await _first(open_for, "sync")
    return [run for run in found if run.sync and await _speaks_alone(run.sync.destination_id, owner, now)]


async def claimable_erasing(owner: str, now: datetime) -> list[models.Run]:
    """As `claimable`, of the runs that erase, which belong to no sync."""
    rows = models.Run.filter(_unleased(now), destination_id__isnull=False, status__in=WORKABLE)
    open_for = rows.filter(_free("destination_id", owner, now), destination__paused=False)
    found = await _first(open_for, "destination")
    return [run for run in found if run.destination_id and await _speaks_alone(run.destination_id, owner, now)]


def _unleased(now: datetime) -> Q:
    return Q(lease_expires_at__isnull=True) | Q(lease_expires_at__lte=now)


async def _first(rows: Any, with_its: str) -> list[models.Run]:
    oldest = rows.order_by("id").limit(1)
    return await oldest.select_for_update(skip_locked=True, of=("run",)).prefetch_related(with_its)  # type: ignore[no-any-return]


def _free(column: str, owner: str, now: datetime) -> Q:
    """Nobody else speaks for the destination in this column."""
    taken = [Subquery(rows.values(theirs)) for theirs, rows in _of_others(owner, now)]
    others: list[dict[str, Any]] = [{f"{column}__not_in": those} for those in taken]
    return Q(*(Q(**those) for those in others))


def _of_others(owner: str, now: datetime) -> list[tuple[str, Any]]:
    """The runs that other workers have, and which column says what destinations they speak for."""
    held = models.Run.filter(lease_expires_at__gt=now).exclude(lease_owner=owner)
    return [
        ("sync__destination_id", held.filter(sync_id__isnull=False)),
        ("destination_id", held.filter(destination_id__isnull=False)),
    ]


async def _speaks_alone(destination: int, owner: str, now: datetime) -> bool:
    """Another worker may be claiming a run of the same destination at this instant: whoever locks it looks again."""
    if not await models.Destination.filter(id=destination).select_for_update(skip_locked=True):
        return False
    others = [rows.filter(**{column: destination}) for column, rows in _of_others(owner, now)]
    return not any([await rows.exists() for rows in others])
