"""The limiter against a vendor that counts for itself, over generated traffic and clocks that are set."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.limits.limiter import Said, State, after, decide, seen, taken, under
from hub.sdk.limits import DailyBudget, Gauge, Limit, PerSecond, Remaining, Window
from tests.searching import search

START = datetime(2026, 3, 28, 20, tzinfo=UTC).timestamp()
A_LITTLE = 1e-5

idle = st.lists(st.one_of(st.just(0.0), st.floats(0, 0.3), st.floats(0, 90)), min_size=1, max_size=120)
steps = st.lists(st.tuples(st.floats(0, 5), st.floats(-9_000, 0)), min_size=1, max_size=60)


@dataclass
class Sender:
    """Sends as soon as it is let, on a clock of its own: `set_back` moves what it shows, not the time that passes."""

    state: State
    true: float = START
    shown: float = START
    sent: list[float] = field(default_factory=list)

    def send(self, idle_s: float = 0.0, set_back: float = 0.0) -> float:
        """How long it had to wait."""
        self._pass(idle_s)
        self.shown += set_back
        began = self.true
        for _ in range(9):
            self.state = seen(self.state, self.shown)
            wait = decide(self.state, self.shown)
            assert wait >= 0 and math.isfinite(wait)
            if wait == 0:
                self.state = taken(self.state, self.shown)
                self.sent.append(self.true)
                return self.true - began
            self._pass(wait + 1e-6)
        raise AssertionError("waiting as long as it says does not help")

    def hear(self, retry_after: float | None = None, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.state = after(self.state, Said(named, retry_after), self.shown)

    def _pass(self, seconds: float) -> None:
        self.true += seconds
        self.shown += seconds


def sender(*limits: Limit) -> Sender:
    return Sender(under(limits))


def most_within(sent: list[float], seconds: float) -> int:
    """The most requests within any stretch of so many seconds."""
    return max(sum(begin <= at < begin + seconds - A_LITTLE for at in sent) for begin in sent)


@search(60)
@given(idle, st.integers(1, 20), st.floats(0.1, 60))
def test_no_window_holds_more_than_the_limit(pauses: list[float], most: int, seconds: float) -> None:
    one = sender(Window(most, seconds))
    for pause in pauses:
        one.send(pause)
    assert most_within(one.sent, seconds) <= most


def test_a_window_is_used_to_the_full() -> None:
    one = sender(Window(3, 10.0))
    assert [round(one.send(pause)) for pause in (0, 4, 4, 0, 0, 0)] == [0, 0, 0, 2, 4, 4]


@search(60)
@given(idle, st.floats(0.2, 50), st.integers(1, 20), st.floats(0.1, 30))
def test_no_stretch_holds_more_than_the_burst_and_the_rate(
    pauses: list[float], rate: float, burst: int, stretch: float
) -> None:
    one = sender(PerSecond(rate, burst))
    for pause in pauses:
        one.send(pause)
    assert most_within(one.sent, stretch) <= burst + rate * stretch + A_LITTLE


@search(40)
@given(idle)
def test_of_two_windows_both_hold(pauses: list[float]) -> None:
    one = sender(Window(10, 1), Window(30, 60))
    for pause in pauses:
        one.send(pause)
    assert most_within(one.sent, 1) <= 10 and most_within(one.sent, 60) <= 30


@search(40)
@given(
    st.lists(st.floats(0, 20_000), min_size=1, max_size=60), st.sampled_from(["UTC", "America/New_York", "Asia/Tokyo"])
)
def test_no_local_day_holds_more_than_its_budget(pauses: list[float], zone: str) -> None:
    one = sender(DailyBudget(5, zone))
    for pause in pauses:
        one.send(pause)
    days = [datetime.fromtimestamp(at, ZoneInfo(zone)).date() for at in one.sent]
    assert max(days.count(day) for day in days) <= 5


@search(60)
@given(steps, st.integers(1, 5))
def test_a_clock_that_is_set_back_neither_stalls_nor_lets_more_through(
    moves: list[tuple[float, float]], most: int
) -> None:
    one = sender(Window(most, 2.0), PerSecond(3, burst=2))
    for pause, set_back in moves:
        assert one.send(pause, set_back) <= 2.0 + A_LITTLE
    assert most_within(one.sent, 2.0) <= most


def test_a_clock_set_back_a_year_gives_no_budget_back_and_holds_it_up_till_midnight_only() -> None:
    one = sender(DailyBudget(2))
    one.send()
    one.send()
    assert 0 < one.send(set_back=-365 * 86_400.0) <= 86_400 + 1


def test_midnight_is_the_zones_also_where_the_night_has_23_hours() -> None:
    berlin = sender(DailyBudget(1, "Europe/Berlin"))
    berlin.send()
    assert berlin.send() == pytest.approx(3 * 3600, abs=1)  # 21:00 to midnight
    assert berlin.send() == pytest.approx(23 * 3600, abs=1)  # the night to summer time


@search(60)
@given(idle, st.integers(2, 30), st.floats(1, 60), st.booleans())
def test_what_the_vendor_says_remains_is_not_exceeded(
    pauses: list[float], most: int, seconds: float, as_instant: bool
) -> None:
    """The vendor counts in fixed windows from START on."""
    one, used = sender(Remaining()), dict[int, int]()
    for pause in pauses:
        one.send(pause)
        window = int((one.true - START) // seconds)
        used[window] = used.get(window, 0) + 1
        assert used[window] <= most
        reset = START + (window + 1) * seconds
        said = f"{math.ceil(reset)}" if as_instant else f"{reset - one.true:.6f}"
        one.hear(x_ratelimit_remaining=str(most - used[window]), x_ratelimit_reset=said)


def test_answers_that_overtake_each_other_give_nothing_back() -> None:
    one = sender(Remaining("RateLimit-Remaining", "RateLimit-Reset"))
    one.send()
    for left in ("1", "2"):
        one.hear(ratelimit_remaining=left, ratelimit_reset="30")
    one.send()
    assert one.send() == pytest.approx(30, abs=1)


def test_some_of_the_allowance_can_be_left_to_others() -> None:
    one = sender(Remaining(keep=10))
    one.hear(x_ratelimit_remaining="10", x_ratelimit_reset="5")
    assert one.send() == pytest.approx(5, abs=1)


def test_a_vendor_that_says_what_remains_but_not_until_when_counts_anew_after_the_declared_time() -> None:
    one = sender(Remaining(resets_in_s=10))
    one.hear(x_ratelimit_remaining="1")
    assert one.send() == 0
    assert one.send() == pytest.approx(10, abs=1)
    one.hear(x_ratelimit_remaining="0", x_ratelimit_reset="3")
    assert one.send() == pytest.approx(3, abs=1)


@pytest.mark.parametrize(
    "left, reset", [("", "5"), ("0", ""), ("-1", "5"), ("none", "5"), ("0", "soon"), ("0", "1000000001")]
)
def test_headers_that_say_nothing_hold_nothing_up(left: str, reset: str) -> None:
    one = sender(Remaining(), Gauge("x-ratelimit-remaining"))
    one.hear(x_ratelimit_remaining=left, x_ratelimit_reset=reset)
    assert one.send() == 0


META = Gauge(
    "X-Business-Use-Case-Usage",
    most=0.9,
    fields=("call_count", "total_cputime", "total_time"),
    regain="estimated_time_to_regain_access",
)


def usage(percent: float, regain: int = 0) -> str:
    told = {
        "type": "custom_audience",
        "call_count": 3,
        "total_time": percent,
        "estimated_time_to_regain_access": regain,
    }
    return orjson.dumps({"1234567": [told]}).decode()


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (usage(90), 0), (usage(91), 60), (usage(100, regain=5), 300), (usage(100, regain=10**9), 86_400),
        ("", 0), ("{", 0), ("[[[", 0), ("[" * 2000, 0), ('{"total_time": "99"}', 0), ('{"total_time": true}', 0),
        ("null", 0), ("99", 0),
    ],
)  # fmt: skip
def test_a_gauge_above_its_share_rests_as_long_as_the_vendor_needs(said: str, seconds: float) -> None:
    one = sender(META)
    one.hear(x_business_use_case_usage=said)
    assert one.send() == pytest.approx(seconds, abs=1)


@pytest.mark.parametrize(("said", "seconds"), [("80", 0), ("80.5", 10), ("99 %", 10), ("lots", 0)])
def test_a_gauge_may_be_a_plain_number(said: str, seconds: float) -> None:
    one = sender(Gauge("x-used", most=0.8, rest_s=10))
    one.hear(x_used=said)
    assert one.send() == pytest.approx(seconds, abs=1)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(30.0, 30), (0.0, 0), (-5.0, 0), (math.nan, 0), (math.inf, 86_400), (1e12, 86_400), (None, 0)],
)
def test_a_wait_that_the_vendor_asks_for_holds_everything_back(retry_after: float | None, seconds: float) -> None:
    one = sender()
    one.hear(retry_after)
    assert one.send() == pytest.approx(seconds, abs=1)


def test_a_longer_wait_is_not_cut_short_by_a_later_answer() -> None:
    one = sender()
    one.hear(30.0)
    one.hear(1.0)
    one.hear()
    assert one.send() == pytest.approx(30, abs=1)


def test_more_requests_than_asked_for_are_a_debt_that_the_next_waits_for() -> None:
    one = sender(PerSecond(2, burst=1))
    for _ in range(4):
        one.state = taken(one.state, one.shown)
    assert one.send() == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    "wrong", [lambda: PerSecond(0), lambda: Window(1, 0), lambda: DailyBudget(0), lambda: Gauge("x", 0)]
)
def test_a_limit_that_lets_nothing_through_is_refused(wrong) -> None:
    with pytest.raises(ValueError):
        wrong()


def test_an_unknown_zone_is_refused_where_it_is_declared() -> None:
    with pytest.raises(KeyError):
        DailyBudget(1, "Mars/Olympus")
