"""When a sync runs by itself: `manual` never, `continuous` after a change, or at a cron expression's times (UTC)."""

from __future__ import annotations

from datetime import UTC, datetime

from croniter import croniter

from hub.core.records import Sync

MANUAL, CONTINUOUS = "manual", "continuous"


def is_cron(schedule: str) -> bool:
    return schedule not in {MANUAL, CONTINUOUS}


def next_time(schedule: str, after: datetime) -> datetime:
    """The first time of a cron expression strictly after that instant, aware, in UTC."""
    following: datetime = croniter(schedule, after.astimezone(UTC)).get_next(datetime)
    return following.astimezone(UTC)


class Timetable:
    """When each sync is due next. Times that passed unseen count once: they are made up for by one run."""

    def __init__(self) -> None:
        self._next: dict[int, tuple[str, datetime]] = {}

    def due(self, sync: Sync, now: datetime, last: datetime | None) -> datetime | None:
        """Since when the sync is due, if it is, and then not again before its next time. `last` is when it last ran by
        schedule."""
        if not is_cron(sync.schedule):
            return None
        schedule, at = self._next.get(sync.id, ("", now))
        if schedule != sync.schedule:
            at = next_time(sync.schedule, last or now)
        due = at <= now
        self._next[sync.id] = (sync.schedule, next_time(sync.schedule, now) if due else at)
        return at if due else None

    def knows(self, sync: Sync) -> bool:
        return self._next.get(sync.id, ("",))[0] == sync.schedule
