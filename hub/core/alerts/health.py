"""The state machine of one sync's health: facts go in, and at most one turn comes out.

A sync is well until something about it crosses a threshold, and bad until nothing does any more. Whatever else goes
wrong meanwhile joins the causes and makes no further turn, so nobody is told twice of one trouble. One that turns bad
again soon after it recovered must stay calm for a while before it counts as well, longer each time: whoever flaps all
day is not told of all day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from hub.core.alerts.thresholds import Thresholds
from hub.errors import ErrorCode

SOON = timedelta(hours=1)
FIRST_CALM, LONGEST_CALM = timedelta(minutes=5), timedelta(hours=1)


class HealthState(StrEnum):
    WELL = "WELL"
    BAD = "BAD"


class CauseKind(StrEnum):
    RUNS_FAILED = "RUNS_FAILED"
    REMOVALS_FAILED = "REMOVALS_FAILED"
    REJECTED = "REJECTED"
    PENDING = "PENDING"
    WITHHELD = "WITHHELD"
    DRIFTED = "DRIFTED"
    DESTINATION_PAUSED = "DESTINATION_PAUSED"
    WAITING_APPROVAL = "WAITING_APPROVAL"
    OVERDUE = "OVERDUE"


@dataclass(frozen=True, slots=True)
class Series:
    """Runs that failed one after the other, up to the newest: how many, since when, and why the newest did."""

    runs: int
    since: datetime
    code: ErrorCode | None = None


@dataclass(frozen=True, slots=True)
class Shares:
    """What the newest run that got to its end left undone, and when that was."""

    at: datetime
    rejected: float = 0.0
    pending: float = 0.0
    withheld: float = 0.0


@dataclass(frozen=True, slots=True)
class Drift:
    """How large a part of the audience the last audit found otherwise than it should be, and when."""

    at: datetime
    share: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a sync. `removals` are the runs that remove who withdrew. `paused_because` says why the hub
    paused the destination by itself. `due_since` is when a run should have got to its end, once that has passed;
    `expected` says whether one is to come at all; `resting`, that the admin has paused the sync."""

    failures: Series | None = None
    removals: Series | None = None
    shares: Shares | None = None
    drift: Drift | None = None
    paused_because: ErrorCode | None = None
    waiting_since: datetime | None = None
    due_since: datetime | None = None
    expected: bool = False
    last_success: datetime | None = None
    resting: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is bad. `figure` is a number of runs or a share, where there is one."""

    kind: CauseKind
    since: datetime
    figure: float | None = None
    code: ErrorCode | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """`since` is when it last turned, or was first looked at. `spells` counts how often it turned bad with no more than
    an hour of being well in between; `calm_since` is when a bad one had its last cause, while it must stay calm."""

    state: HealthState
    since: datetime
    causes: tuple[Cause, ...] = ()
    spells: int = 0
    calm_since: datetime | None = None

    def cause(self, kind: CauseKind) -> Cause | None:
        return next((cause for cause in self.causes if cause.kind is kind), None)


def step(health: Health, facts: Facts, thresholds: Thresholds, now: datetime) -> Health:
    """The health after a look at the facts. It has turned, and somebody is to be told, where the state is another."""
    causes = tuple(judge(facts, thresholds, health, now))
    if health.state is HealthState.WELL:
        return _turned_bad(health, causes, now) if causes else health
    if causes:
        return replace(health, causes=causes, calm_since=None)
    # To pause a sync does not cure it: it stays as it was until it is taken up again.
    return health if facts.resting else _calmer(health, now)


def calm_needed(spells: int) -> timedelta:
    """How long nothing may be bad before a sync that turned bad so often in a row is well."""
    return min(FIRST_CALM * 2 ** min(spells - 2, 10), LONGEST_CALM) if spells > 1 else timedelta(0)


def _turned_bad(health: Health, causes: tuple[Cause, ...], now: datetime) -> Health:
    again = now - health.since < SOON
    return Health(HealthState.BAD, now, causes, spells=health.spells + 1 if again else 1)


def _calmer(health: Health, now: datetime) -> Health:
    calm_since = health.calm_since or now
    if now - calm_since < calm_needed(health.spells):
        return replace(health, causes=(), calm_since=calm_since)
    return Health(HealthState.WELL, now, spells=health.spells)


def judge(facts: Facts, thresholds: Thresholds, before: Health, now: datetime) -> Iterator[Cause]:
    """Everything that is bad now; `before` tells since when that is known which nobody writes down."""
    yield from _series(CauseKind.RUNS_FAILED, facts.failures, thresholds.failed_runs)
    yield from _series(CauseKind.REMOVALS_FAILED, facts.removals, thresholds.failed_runs)
    if facts.shares:
        at = facts.shares.at
        yield from _share(CauseKind.REJECTED, at, facts.shares.rejected, thresholds.rejected_share, before)
        yield from _share(CauseKind.PENDING, at, facts.shares.pending, thresholds.pending_share, before)
        yield from _share(CauseKind.WITHHELD, at, facts.shares.withheld, thresholds.withheld_share, before)
    if facts.drift:
        yield from _share(CauseKind.DRIFTED, facts.drift.at, facts.drift.share, thresholds.drift_share, before)
    yield from _pause(facts, thresholds.destination_paused, before, now)
    if _over(facts.waiting_since, thresholds.approval_minutes, now):
        assert facts.waiting_since is not None  # noqa: S101 - for the type checker
        yield Cause(CauseKind.WAITING_APPROVAL, facts.waiting_since)
    yield from _overdue(facts, thresholds.overdue_minutes, before, now)


def _series(kind: CauseKind, series: Series | None, most: int | None) -> Iterator[Cause]:
    if series and most is not None and series.runs >= most:
        yield Cause(kind, series.since, series.runs, series.code)


def _share(kind: CauseKind, at: datetime, share: float, most: float | None, before: Health) -> Iterator[Cause]:
    if most is not None and share > most:
        known = before.cause(kind)
        yield Cause(kind, known.since if known else at, share)


def _pause(facts: Facts, matters: bool, before: Health, now: datetime) -> Iterator[Cause]:
    if facts.paused_because and matters:
        known = before.cause(CauseKind.DESTINATION_PAUSED)
        yield Cause(CauseKind.DESTINATION_PAUSED, known.since if known else now, code=facts.paused_because)


def _overdue(facts: Facts, minutes: int | None, before: Health, now: datetime) -> Iterator[Cause]:
    """Once overdue, only a run that gets to its end puts it right, also where the schedule has been changed since."""
    if minutes is None:
        return
    known = before.cause(CauseKind.OVERDUE)
    if known and facts.expected and not (facts.last_success and facts.last_success > known.since):
        yield known
    elif facts.due_since and _over(facts.due_since, minutes, now):
        yield Cause(CauseKind.OVERDUE, facts.due_since)


def _over(since: datetime | None, minutes: int | None, now: datetime) -> bool:
    return since is not None and minutes is not None and now - since >= timedelta(minutes=minutes)
