"""Which run may be worked on next: the places that the runs of a sync wait and work in.

A run holds a place of its sync, and the database lets one run hold each: `next …` while it waits in line, then the lane
it runs in. Removals of people who may no longer be sent have a lane of their own, beside everything else. So a sync has
one run under way and one follow-up, whoever asks and however many workers there are.
"""

from __future__ import annotations

from datetime import datetime

from tortoise.expressions import Q, Subquery

from hub.core.records import RunStatus, Scope
from hub.store import models

URGENT, ORDINARY = "urgent", "ordinary"
WORKABLE = [status.value for status in (RunStatus.QUEUED, RunStatus.PLANNING, RunStatus.RUNNING)]
ENDED = [status.value for status in RunStatus if status.ended]
# What is removed for good goes out though the sync is paused.
IN_SPITE_OF_PAUSE = [Scope.WITHDRAWN.value, Scope.EMPTY.value, Scope.REPEAT.value]


def next_place(scope: Scope, audience: str) -> str:
    if scope is Scope.WITHDRAWN:
        return f"next {URGENT}"
    # To empty an audience is never merged with filling one.
    return f"next {ORDINARY} empty {audience}" if scope is Scope.EMPTY else f"next {ORDINARY}"


async def claimable(lane: str, now: datetime) -> list[models.Run]:
    """The oldest run that may be claimed in this lane; locked, on PostgreSQL, against other workers."""
    under_way = models.Run.filter(place=lane, sync_id__isnull=False).values("sync_id")
    in_line = Q(place__startswith=f"next {lane}") & Q(sync_id__not_in=Subquery(under_way))
    unleased = Q(lease_expires_at__isnull=True) | Q(lease_expires_at__lte=now)
    may_send = Q(sync__paused=False) | Q(scope__in=IN_SPITE_OF_PAUSE)
    rows = models.Run.filter(Q(place=lane) | in_line, unleased, may_send, status__in=WORKABLE)
    open_for = rows.filter(sync__destination__paused=False).order_by("id").limit(1)
    return await open_for.select_for_update(skip_locked=True, of=("run",))
