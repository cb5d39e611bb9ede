"""The history of runs: the moments of each, some of its requests, and its traffic in sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tortoise.expressions import Subquery

from hub.core.history import Kept, Moment, MomentKind, Request, Traffic
from hub.core.records import RunStatus
from hub.core.scopes import Scope
from hub.store import models
from hub.store.database import Database, stored
from hub.store.leases import LeaseLost

# Requests stay for the newest runs of a sync, and for so long.
KEPT_RUNS = 20
KEPT_FOR = timedelta(days=30)
# A run has a handful; one that was taken over again and again has no end of them.
MOST_MOMENTS = 200

WHOLE = [scope.value for scope in Scope if scope.whole]
_SHOWN = [name for name in Request.__slots__ if name != "kept"]


@dataclass(frozen=True, slots=True)
class Page:
    """What a process has seen of a run since it last told: `latest`, if given, replaces the last requests before."""

    traffic: Traffic
    moments: Sequence[Moment] = ()
    requests: Sequence[Request] = ()
    latest: Sequence[Request] | None = None


class History:
    def __init__(self, database: Database) -> None:
        self._database = database

    @stored
    async def add(self, run_id: int, page: Page, *, fence: int) -> None:
        """Raises LeaseLost, and keeps nothing, once another worker has the run."""
        async with self._database.transaction():
            if not await models.Run.filter(id=run_id, fence=fence).update(traffic=page.traffic.to_json()):
                raise LeaseLost(f"run {run_id} is another worker's")
            for moment in page.moments:
                await note(run_id, moment)
            if page.latest is not None:
                await models.RunRequest.filter(run_id=run_id, kept=Kept.LAST.value).delete()
            await models.RunRequest.bulk_create(_rows(run_id, [*page.requests, *(page.latest or ())]))

    @stored
    async def timeline(self, run_id: int) -> list[Moment]:
        """What happened to the run, in its order."""
        rows = await models.RunMoment.filter(run_id=run_id).order_by("at", "id").limit(MOST_MOMENTS)
        return [Moment(MomentKind(row.kind), row.at, row.people, row.seconds) for row in rows]

    @stored
    async def requests(self, run_id: int, first: int, after: int | None = None) -> list[Request]:
        """At most `first` of those kept, with a number over `after`."""
        rows = models.RunRequest.filter(run_id=run_id, number__gt=after or 0).order_by("number").limit(first)
        return [Request(kept=Kept(row.kept), **{name: getattr(row, name) for name in _SHOWN}) for row in await rows]

    @stored
    async def count_requests(self, run_id: int) -> int:
        return await models.RunRequest.filter(run_id=run_id).count()

    @stored
    async def traffic(self, run_id: int) -> Traffic:
        found: Sequence[Any] = await models.Run.filter(id=run_id).values_list("traffic", flat=True)
        return Traffic.from_json(found[0] if found else None)

    @stored
    async def equal_at(self, sync_id: int, audience: str) -> datetime | None:
        """As of when the newest run over the whole audience was planned that succeeded; None if that was another
        audience."""
        whole = models.Run.filter(sync_id=sync_id, scope__in=WHOLE, as_of=None, status=RunStatus.SUCCEEDED.value)
        newest: Sequence[Any] = await whole.order_by("-id").limit(1).values_list("plan", flat=True)
        asked = newest[0]["request"] if newest else {}
        return datetime.fromisoformat(asked["now"]) if asked.get("audience") == audience else None

    @stored
    async def prune(self, sync_id: int, now: datetime) -> None:
        """Let go of the requests of the sync's older runs, and of anybody's that have grown old."""
        await models.RunRequest.filter(at__lt=now - KEPT_FOR).delete()
        runs = models.Run.filter(sync_id=sync_id)
        newest = await runs.order_by("-id").offset(KEPT_RUNS).limit(1).values_list("id", flat=True)
        if newest:
            older = runs.filter(id__lte=newest[0]).values("id")
            await models.RunRequest.filter(run_id__in=Subquery(older)).delete()


async def note(run_id: int, moment: Moment) -> None:
    """Write a moment down, in whatever transaction makes it one."""
    await models.RunMoment.create(
        run_id=run_id, kind=moment.kind.value, at=moment.at, people=moment.people, seconds=moment.seconds
    )


def _rows(run_id: int, requests: Iterable[Request]) -> list[models.RunRequest]:
    return [
        models.RunRequest(run_id=run_id, kept=request.kept.value, **{name: getattr(request, name) for name in _SHOWN})
        for request in requests
    ]
