"""What is remembered of a run: the moments of its course, some of its requests, and its traffic in sums.

Nothing here is of a person: requests are kept without values (`hub.core.shapes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from math import ceil, log
from typing import Any

# Durations are counted in steps of a tenth, so that a percentile is told to within five percent.
STEP = log(1.1)


class MomentKind(StrEnum):
    QUEUED = "QUEUED"
    CLAIMED = "CLAIMED"
    TAKEN_OVER = "TAKEN_OVER"
    AUDITED = "AUDITED"
    PLANNED = "PLANNED"
    WAITING_APPROVAL = "WAITING_APPROVAL"
    APPROVED = "APPROVED"
    DELIVERING = "DELIVERING"
    RESUMED = "RESUMED"
    THROTTLED = "THROTTLED"
    BACKED_OFF = "BACKED_OFF"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    DRAINED = "DRAINED"
    SETTLED = "SETTLED"
    ENDED = "ENDED"


class Kept(StrEnum):
    """Why a request is among those kept: one of the first, one that failed, or one of the last."""

    FIRST = "FIRST"
    FAILED = "FAILED"
    LAST = "LAST"


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened to a run. `people` are those concerned, `seconds` how long the vendor asked to wait."""

    kind: MomentKind
    at: datetime
    people: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a run, `number` counting them as they ended. `url` is host and path, `sent` and `received` the
    shapes of the bodies (None for an empty one, or one not looked into); `error` names the type of what was raised."""

    number: int
    kept: Kept
    at: datetime
    method: str
    url: str
    status: int | None
    error: str | None
    duration_ms: float
    attempt: int
    people: int
    sent: str | None
    received: str | None
    sent_bytes: int
    received_bytes: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """A run's deliveries in sums, over all processes that worked on it.

    `people` had a final answer; `seconds` were spent delivering, waits included; `durations` counts requests by the
    step of their duration.
    """

    requests: int = 0
    failed: int = 0
    retries: int = 0
    people: int = 0
    seconds: float = 0.0
    durations: Mapping[int, int] = field(default_factory=dict)

    def percentile(self, share: float) -> float | None:
        """How long, in milliseconds, that share of the requests took at most; None without a request."""
        wanted, seen = ceil(share * sum(self.durations.values())), 0
        for step, counted in sorted(self.durations.items()):
            seen += counted
            if seen >= wanted:
                return float(1.1 ** (step + 0.5))
        return None

    def a_second(self, counted: int) -> float | None:
        """So many, for each second of delivery; None before any has passed."""
        return counted / self.seconds if self.seconds > 0 else None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "durations": {str(step): counted for step, counted in self.durations.items()}}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any] | None) -> Traffic:
        found = cls(**(kept or {}))
        return replace(found, durations={int(step): counted for step, counted in found.durations.items()})


def step_of(milliseconds: float) -> int:
    """The step that a duration counts in; one under a millisecond counts as one millisecond."""
    return int(log(max(milliseconds, 1.0)) / STEP)
