"""What is true outside the hub: time, people and what they allow. Every change keeps when it happened."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from hub.core.planning import PlanRequest
from tests.warehouse import planning_model as model

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PURPOSE = "ads"
MOST_EVENTS = 30_000


class Restless(AssertionError):
    """The hub does not come to an end, although nothing happens to it any more."""


@dataclass
class Clock:
    """`now` is true time in seconds; the hub's own clock is off by the last of `steps`, and jumps."""

    now: float = 0.0
    steps: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)])

    def wall(self, at: float | None = None) -> datetime:
        at = self.now if at is None else at
        off = next(off for since, off in self.steps[::-1] if since <= at)
        return EPOCH + timedelta(seconds=at + off)

    def jump(self, off: float) -> None:
        self.steps.append((self.now, off))


class Timeline:
    """What is to happen, in order of time; ties in the order in which they were asked for."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._asked = 0

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        self._asked += 1
        heapq.heappush(self._queue, (self.clock.now + max(0.0, seconds), self._asked, do))

    def run(self, until: float = math.inf) -> None:
        while self._queue and self._queue[0][0] <= until:
            if self._asked > MOST_EVENTS:
                raise Restless
            self.clock.now, _, do = heapq.heappop(self._queue)
            do()
        self.clock.now = until if until < math.inf else self.clock.now


class Entry(NamedTuple):
    """A word about consent: `until` is the end of a grant, None for no end, False for a denial."""

    at: float
    pid: int
    until: datetime | bool | None


class Link(NamedTuple):
    """From then on this vendor key is known to be this person's, for good."""

    at: float
    pid: int
    key: str


class People(model.World):
    """A payload is text, so that it is its own fingerprint."""

    def payload(self, pid: int, request: PlanRequest) -> str:  # type: ignore[override]
        one = self.profiles[pid]
        return f"{one.email}|{one.ltv}"


class Town:
    def __init__(self, clock: Clock, key: str) -> None:
        self.clock = clock
        self.key = key
        self.people = People()
        self.entries: list[Entry] = []
        self.links: list[Link] = []

    def settle_in(self, pid: int, email: str | None, ltv: float | None) -> None:
        self.people.profiles[pid] = model.Profile(email, ltv)
        self._link(pid, f"p{pid}" if self.key == "external_id" else email)

    def say(self, pid: int, until: datetime | bool | None) -> None:
        self.people.consents[pid, PURPOSE] = until
        self.entries.append(Entry(self.clock.now, pid, until))

    def flap(self, pid: int) -> None:
        """Into the segment, or out of it."""
        self.people.members ^= {pid}

    def move(self, pid: int, email: str | None) -> None:
        one = self.people.profiles[pid]
        one.older |= {one.email} if one.email else set()
        one.email = email
        if self.key == "email":
            self._link(pid, email)

    def earn(self, pid: int, ltv: float | None) -> None:
        self.people.profiles[pid].ltv = ltv

    def _link(self, pid: int, key: str | None) -> None:
        if key is not None:
            self.links.append(Link(self.clock.now, pid, key))
