"""Limits that the vendor counts and announces in the headers of its answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from hub.core.limits.meters import Moment
from hub.sdk.limits import Gauge, Remaining
from hub.sdk.waits import LONGEST_WAIT_S, plain_number, until_reset

# Resets come in whole seconds: announced twice, the same one may differ by one.
SAME_RESET_S = 1.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """`left` requests until `until`; nothing is known before the first answer and after a reset."""

    limit: Remaining
    left: float = 0.0
    until: float = 0.0

    def wait(self, moment: Moment) -> float:
        return max(0.0, self.until - moment.passed) if self.left <= self.limit.keep else 0.0

    def taken(self, _: Moment) -> Allowance:
        return replace(self, left=self.left - 1.0)

    def told(self, headers: Mapping[str, str], moment: Moment) -> Allowance:
        left = plain_number(headers.get(self.limit.header.lower(), ""))
        seconds = until_reset(headers.get(self.limit.reset.lower(), ""), moment.wall)
        seconds = self.limit.resets_in_s if seconds is None else seconds
        if left is None or seconds is None:
            return self
        until = moment.passed + min(seconds, LONGEST_WAIT_S)
        if moment.passed < self.until and until <= self.until + SAME_RESET_S:
            # Answers overtake each other, and do not know of the requests still under way.
            return replace(self, left=min(left, self.left))
        return replace(self, left=left, until=until)


@dataclass(frozen=True, slots=True)
class Pressure:
    limit: Gauge
    until: float = 0.0

    def wait(self, moment: Moment) -> float:
        return max(0.0, self.until - moment.passed)

    def taken(self, _: Moment) -> Pressure:
        return self

    def told(self, headers: Mapping[str, str], moment: Moment) -> Pressure:
        percent, rest_s = _read(self.limit, headers.get(self.limit.header.lower(), ""))
        if percent <= self.limit.most * 100:
            return self
        return replace(self, until=max(self.until, moment.passed + min(rest_s, LONGEST_WAIT_S)))


def _read(limit: Gauge, said: str) -> tuple[float, float]:
    """The highest percentage told, 0 for garbage, and how long to rest if that is too much."""
    if not limit.fields:
        return plain_number(said.strip().removesuffix("%")) or 0.0, limit.rest_s
    try:
        told = orjson.loads(said)
    except orjson.JSONDecodeError:
        return 0.0, limit.rest_s
    minutes = max(_numbers(told, (limit.regain,)), default=0.0)
    return max(_numbers(told, limit.fields), default=0.0), minutes * 60 or limit.rest_s


def _numbers(told: Any, names: tuple[str, ...]) -> list[float]:
    """Every number under one of these names, at any depth."""
    found: list[float] = []
    unread = [told]
    while unread:
        item = unread.pop()
        if isinstance(item, list):
            unread += item
        elif isinstance(item, dict):
            unread += item.values()
            found += [float(item[name]) for name in names if type(item.get(name)) in {int, float}]
    return found
