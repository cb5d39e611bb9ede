"""Limits that the hub counts itself: a token bucket, a sliding window, a day's budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hub.sdk.limits import DailyBudget, PerSecond, Window


class Moment(NamedTuple):
    """`passed` only ever grows, and measures; `wall` is seconds since 1970, and says which day it is."""

    passed: float
    wall: float


@dataclass(frozen=True, slots=True)
class Bucket:
    limit: PerSecond
    level: float
    filled_at: float = 0.0

    def wait(self, moment: Moment) -> float:
        return max(0.0, 1.0 - self._level(moment)) / self.limit.rate

    def taken(self, moment: Moment) -> Bucket:
        return Bucket(self.limit, self._level(moment) - 1.0, moment.passed)

    def _level(self, moment: Moment) -> float:
        return min(float(self.limit.burst), self.level + (moment.passed - self.filled_at) * self.limit.rate)


@dataclass(frozen=True, slots=True)
class Log:
    """When requests were made: exact, where a counter for each fixed window would let through twice as many."""

    limit: Window
    made: tuple[float, ...] = ()

    def wait(self, moment: Moment) -> float:
        if len(self.made) < self.limit.most:
            return 0.0
        return max(0.0, self.made[-self.limit.most] + self.limit.seconds - moment.passed)

    def taken(self, moment: Moment) -> Log:
        """Of debts no more is kept than one window's worth: enough for the next wait."""
        return replace(self, made=(*self.made, moment.passed)[-self.limit.most :])


@dataclass(frozen=True, slots=True)
class Day:
    limit: DailyBudget
    used: int = 0
    day: date = date.min

    def wait(self, moment: Moment) -> float:
        if self.today(moment).used < self.limit.most:
            return 0.0
        return max(0.0, self._midnight_after(moment) - moment.wall)

    def taken(self, moment: Moment) -> Day:
        now = self.today(moment)
        return replace(now, used=now.used + 1)

    def today(self, moment: Moment) -> Day:
        """A new day begins at nothing; a clock set back to the day before gives nothing back."""
        day = self._local(moment).date()
        return Day(self.limit, 0 if day > self.day else self.used, day)

    def _local(self, moment: Moment) -> datetime:
        return datetime.fromtimestamp(moment.wall, UTC).astimezone(ZoneInfo(self.limit.zone))

    def _midnight_after(self, moment: Moment) -> float:
        tomorrow = self._local(moment).date() + timedelta(days=1)
        return datetime.combine(tomorrow, time(), ZoneInfo(self.limit.zone)).timestamp()
