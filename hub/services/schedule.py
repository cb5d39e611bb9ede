"""When a sync runs by itself: `manual` never, `continuous` after a change, or at a cron expression's times (UTC); and
when it is audited by itself, which is at a cron expression's times or never."""

from __future__ import annotations

from collections.abc import Callable
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
    """When each sync is due next by the schedule that is `of` it. Times that passed unseen count once: they are made up
    for by one run."""

    def __init__(self, of: Callable[[Sync], str]) -> None:
        self._of = of
        self._next: dict[int, tuple[str, datetime]] = {}

    def due(self, sync: Sync, now: datetime, last: datetime | None) -> datetime | None:
        """Since when the sync is due, if it is, and then not again before its next time. `last` is when it last ran by
        schedule."""
        schedule = self._of(sync)
        if not is_cron(schedule):
            return None
        known, at = self._next.get(sync.id, ("", now))
        if known != schedule:
            at = next_time(schedule, last or now)
        due = at <= now
        self._next[sync.id] = (schedule, next_time(schedule, now) if due else at)
        return at if due else None

    def knows(self, sync: Sync) -> bool:
        """Whether it need not be told when the sync last ran by schedule."""
        schedule = self._of(sync)
        return not is_cron(schedule) or self._next.get(sync.id, ("",))[0] == schedule


def of_runs(sync: Sync) -> str:
    return sync.schedule


def of_audits(sync: Sync) -> str:
    return sync.audit_schedule or MANUAL
