"""What a vendor allows, as data: the hub keeps to it, per destination and not per run. Name any number together.

How many calls may be under way at once is `Capabilities.concurrency`, and an answer that asks for a wait
(`TransientError` with `retry_after`) is always honoured: neither is declared here.
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class PerSecond:
    """A token bucket: `rate` requests a second on average, at most `burst` of them at once."""

    rate: float
    burst: int = 1

    def __post_init__(self) -> None:
        _insist_above_nothing(self.rate, self.burst)


@dataclass(frozen=True, slots=True)
class Window:
    """At most `most` requests within any `seconds`. Two of them make a dual window, such as 10/s and 150/min."""

    most: int
    seconds: float

    def __post_init__(self) -> None:
        _insist_above_nothing(self.most, self.seconds)


@dataclass(frozen=True, slots=True)
class DailyBudget:
    """At most `most` requests from midnight to midnight in `zone`, the vendor's or the account's."""

    most: int
    zone: str = "UTC"

    def __post_init__(self) -> None:
        _insist_above_nothing(self.most)
        ZoneInfo(self.zone)


@dataclass(frozen=True, slots=True)
class Remaining:
    """The vendor counts: its answers say in these headers how many requests remain, and when it counts anew, in
    seconds or as an instant; where they do not say that, it does so after `resets_in_s`. `keep` of them are left to
    other users of the account."""

    header: str = "x-ratelimit-remaining"
    reset: str = "x-ratelimit-reset"
    keep: int = 0
    resets_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class Gauge:
    """The vendor tells in `header` how much of the allowance is used, in percent: a number, or JSON in which `fields`
    hold such numbers, at any depth. Above the share `most` the hub rests for as many minutes as the JSON says under
    `regain`, else for `rest_s` seconds."""

    header: str
    most: float = 0.9
    rest_s: float = 60.0
    fields: tuple[str, ...] = ()
    regain: str = ""

    def __post_init__(self) -> None:
        _insist_above_nothing(self.most, self.rest_s)


Limit = PerSecond | Window | DailyBudget | Remaining | Gauge


def _insist_above_nothing(*numbers: float) -> None:
    if not all(number > 0 for number in numbers):
        raise ValueError("a limit that lets nothing through is no limit: give numbers above 0")
