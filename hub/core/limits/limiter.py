"""One destination's limiter: everything its vendor allows, and every pause the vendor asked for.

`decide` says how long the next request must wait, `taken` notes that one is made, `after` learns from an answer, `seen`
lets time pass in between. A clock that is set back passes for one that stood still for a moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from hub.core.limits.announced import Allowance, Pressure
from hub.core.limits.meters import Bucket, Day, Log, Moment
from hub.sdk.limits import DailyBudget, Gauge, Limit, PerSecond, Remaining, Window
from hub.sdk.waits import LONGEST_WAIT_S

Meter = Bucket | Log | Day | Allowance | Pressure


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says of limits: its headers (lower case), and the wait it asks for."""

    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class State:
    """`at` is the clock at the last look, `passed` the seconds that have gone by since the first, never backwards."""

    meters: tuple[Meter, ...] = ()
    paused_until: float = 0.0
    at: float | None = None
    passed: float = 0.0


def under(limits: Iterable[Limit]) -> State:
    """A limiter that nothing has been taken from."""
    return State(tuple(_meter(limit) for limit in limits))


def seen(state: State, now: float) -> State:
    """The limiter at this moment: tell it before each decision."""
    moment = _moment(state, now)
    meters = tuple(meter.today(moment) if isinstance(meter, Day) else meter for meter in state.meters)
    return replace(state, meters=meters, at=moment.wall, passed=moment.passed)


def decide(state: State, now: float, *, urgent: bool = False) -> float:
    """Seconds until the next request may go out; 0 if at once. `now` is seconds since 1970, here and below. What is
    `urgent` does not wait for another day: where the vendor keeps to its budget, it says so itself."""
    moment = _moment(state, now)
    waits = (meter.wait(moment) for meter in state.meters if not (urgent and isinstance(meter, Day)))
    return max(0.0, state.paused_until - moment.passed, *waits)


def taken(state: State, now: float) -> State:
    """One request is made. Beyond what is allowed it is a debt, which later requests wait for."""
    moment, current = _moment(state, now), seen(state, now)
    return replace(current, meters=tuple(meter.taken(moment) for meter in current.meters))


def after(state: State, answer: Said, now: float) -> State:
    """What an answer has told: pauses grow and never shrink."""
    moment, current = _moment(state, now), seen(state, now)
    meters = tuple(_told(meter, answer, moment) for meter in current.meters)
    asked = answer.retry_after or 0.0
    # Said this way round, nonsense from a connector (nan) is no pause.
    pause = min(asked, LONGEST_WAIT_S) if asked > 0 else 0.0
    until = max(state.paused_until, moment.passed + pause)
    return replace(current, meters=meters, paused_until=until)


def _moment(state: State, now: float) -> Moment:
    since = 0.0 if state.at is None else max(0.0, now - state.at)
    return Moment(state.passed + since, now)


def _told(meter: Meter, answer: Said, moment: Moment) -> Meter:
    return meter.told(answer.headers, moment) if isinstance(meter, Allowance | Pressure) else meter


def _meter(limit: Limit) -> Meter:
    match limit:
        case PerSecond():
            return Bucket(limit, float(limit.burst))
        case Window():
            return Log(limit)
        case DailyBudget():
            return Day(limit)
        case Remaining():
            return Allowance(limit)
        case Gauge():
            return Pressure(limit)
