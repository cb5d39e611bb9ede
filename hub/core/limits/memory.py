"""What must not be forgotten of a limiter when its process ends, or another one speaks for the destination: how much of
a day's budget is spent, and until when the vendor asked to be left alone. Everything else heals within minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict

from hub.core.limits.limiter import State, seen
from hub.core.limits.meters import Day


class Memory(TypedDict, total=False):
    """As JSON. `days` has for each budget the day (ISO) and what was used of it; `paused_until` is in seconds since
    1970."""

    days: dict[str, tuple[str, int]]
    paused_until: float


def memory_of(state: State, now: float) -> Memory:
    current = seen(state, now)
    days = {_name(meter): (meter.day.isoformat(), meter.used) for meter in current.meters if isinstance(meter, Day)}
    left = max(0.0, current.paused_until - current.passed)
    return Memory(days=days, paused_until=float(round(now + left)) if left else 0.0)


def recalled(state: State, memory: Memory, now: float) -> State:
    """The limiter with whichever is stricter, what it knows itself or what is remembered."""
    current, days = seen(state, now), memory.get("days", {})
    pause = memory.get("paused_until", 0.0) - now
    meters = tuple(_with(meter, days) if isinstance(meter, Day) else meter for meter in current.meters)
    return replace(current, meters=meters, paused_until=max(current.paused_until, current.passed + pause))


def _with(meter: Day, days: Mapping[str, tuple[str, int]]) -> Day:
    day, used = days.get(_name(meter), ("", 0))
    return replace(meter, used=max(meter.used, used)) if day == meter.day.isoformat() else meter


def _name(meter: Day) -> str:
    return f"{meter.limit.most} a day in {meter.limit.zone}"
