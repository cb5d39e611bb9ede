"""One notice when a sync turns bad, one when it recovers, whatever happens in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hub.core.alerts.health import CauseKind, Facts, Health, HealthState, Series, Shares, calm_needed, judge, step
from hub.core.alerts.thresholds import Thresholds
from hub.errors import ErrorCode
from tests.searching import search

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
WELL = Health(HealthState.WELL, START)
FAILED = Facts(failures=Series(1, START, ErrorCode.DESTINATION_UNREACHABLE))
NOTHING = Thresholds(None, None, None, None, False, None, None, None)

instants = st.integers(-600, 600).map(lambda minutes: START + timedelta(minutes=minutes))
series = st.none() | st.builds(Series, st.integers(1, 5), instants, st.sampled_from([None, *ErrorCode]))
share = st.floats(0, 1)
facts = st.builds(
    Facts,
    failures=series,
    removals=series,
    shares=st.none() | st.builds(Shares, instants, share, share, share),
    paused_because=st.sampled_from([None, ErrorCode.DESTINATION_AUTH]),
    waiting_since=st.none() | instants,
    due_since=st.none() | instants,
    expected=st.booleans(),
    last_success=st.none() | instants,
    resting=st.booleans(),
)
# What nothing can be said against, so that recoveries are not rare.
facts |= st.just(Facts())
thresholds = st.builds(
    Thresholds,
    st.none() | st.integers(1, 4),
    *[st.none() | share] * 3,
    st.booleans(),
    *[st.none() | st.integers(0, 300)] * 2,
)
histories = st.lists(st.tuples(facts, st.integers(0, 90)), max_size=30)


def course(history: list[tuple[Facts, int]], under: Thresholds) -> list[tuple[Facts, Health]]:
    """The health after each look."""
    health, now, seen = WELL, START, []
    for told, minutes in history:
        now += timedelta(minutes=minutes)
        health = step(health, told, under, now)
        seen.append((told, health))
    return seen


@search(300)
@given(histories, thresholds)
def test_each_time_it_turns_bad_is_one_notice_and_each_recovery_is_one(
    history: list[tuple[Facts, int]], under: Thresholds
) -> None:
    states = [HealthState.WELL, *(health.state for _, health in course(history, under))]
    turns = [after for before, after in pairwise(states) if before is not after]
    assert turns == [HealthState.BAD, HealthState.WELL] * (len(turns) // 2) + [HealthState.BAD] * (len(turns) % 2)


@search(300)
@given(histories, thresholds)
def test_a_sync_is_bad_exactly_while_something_crosses_a_threshold_or_it_rests_uncured_or_must_stay_calm(
    history: list[tuple[Facts, int]], under: Thresholds
) -> None:
    before, now = WELL, START
    for (told, minutes), (_, after) in zip(history, course(history, under), strict=True):
        now += timedelta(minutes=minutes)
        wrong = bool(list(judge(told, under, before, now)))
        was_bad = before.state is HealthState.BAD
        calm = now - (before.calm_since or now)
        watched = was_bad and not told.resting and calm < calm_needed(before.spells)
        assert (after.state is HealthState.BAD) == (wrong or (was_bad and told.resting) or watched)
        assert bool(after.causes) == wrong or (was_bad and told.resting)
        before = after


@search(200)
@given(histories, thresholds)
def test_what_it_turned_at_stays_until_it_turns_again(history: list[tuple[Facts, int]], under: Thresholds) -> None:
    seen = [WELL, *(health for _, health in course(history, under))]
    assert all(before.since == after.since for before, after in pairwise(seen) if before.state is after.state)


@search(200)
@given(histories, thresholds)
def test_the_same_facts_looked_at_again_change_nothing(history: list[tuple[Facts, int]], under: Thresholds) -> None:
    now = START + timedelta(minutes=sum(minutes for _, minutes in history))
    for told, health in course(history, under)[-1:]:
        assert step(health, told, under, now) == health


@search(200)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 600)), max_size=200))
def test_however_it_flaps_its_turns_keep_their_distance(history: list[tuple[bool, int]]) -> None:
    """Each spell in a row is an hour at most after the last, and its recovery is the calm that it asks for away."""
    seen = [health for _, health in course([(FAILED if bad else Facts(), m) for bad, m in history], Thresholds())]
    turns = [WELL, *(after for before, after in pairwise([WELL, *seen]) if after.state is not before.state)]
    for before, after in pairwise(turns):
        if after.state is HealthState.WELL:
            assert after.since - before.since >= calm_needed(before.spells)
        else:
            assert after.spells == 1 or after.since - before.since < timedelta(hours=1)


def test_a_sync_that_fails_every_other_minute_is_told_of_three_times_a_day() -> None:
    seen = [health for _, health in course([(FAILED, 1), (Facts(), 1)] * 720, Thresholds())]
    states = [HealthState.WELL, *(health.state for health in seen)]
    assert sum(before is not after for before, after in pairwise(states)) == 3


@given(histories)
def test_with_every_threshold_off_nothing_is_ever_bad(history: list[tuple[Facts, int]]) -> None:
    assert all(health == WELL for _, health in course(history, NOTHING))


def test_a_further_cause_is_seen_and_makes_no_turn() -> None:
    bad = step(WELL, FAILED, Thresholds(), START)
    worse = step(bad, replace(FAILED, paused_because=ErrorCode.DESTINATION_AUTH), Thresholds(), START)
    assert (bad.state, worse.state, worse.since) == (HealthState.BAD, HealthState.BAD, bad.since)
    assert [cause.kind for cause in worse.causes] == [CauseKind.RUNS_FAILED, CauseKind.DESTINATION_PAUSED]


def test_a_count_is_bad_from_its_threshold_on_and_a_share_beyond_it() -> None:
    twice = Thresholds(failed_runs=2, rejected_share=0.1)
    assert step(WELL, FAILED, twice, START) == WELL
    assert step(WELL, Facts(shares=Shares(START, rejected=0.1)), twice, START) == WELL
    assert step(WELL, Facts(failures=Series(2, START)), twice, START).causes[0].figure == 2
    assert step(WELL, Facts(shares=Shares(START, rejected=0.11)), twice, START).causes[0].figure == 0.11


def test_a_wait_is_bad_once_it_has_lasted_its_minutes() -> None:
    patient, waiting = Thresholds(approval_minutes=30), Facts(waiting_since=START)
    assert step(WELL, waiting, patient, START + timedelta(minutes=29)) == WELL
    assert step(WELL, waiting, patient, START + timedelta(minutes=30)).state is HealthState.BAD


def test_what_is_overdue_is_cured_by_a_run_and_by_nothing_else_while_one_is_to_come() -> None:
    due, later = Facts(due_since=START, expected=True), START + timedelta(hours=2)
    bad = step(WELL, due, Thresholds(), later)
    assert bad.cause(CauseKind.OVERDUE)
    # Another schedule is due only later, but nothing has come meanwhile.
    assert step(bad, Facts(expected=True, last_success=START - timedelta(days=1)), Thresholds(), later) == bad
    done = Facts(expected=True, last_success=later)
    assert step(bad, done, Thresholds(), later) == Health(HealthState.WELL, later, spells=1)
    assert step(bad, Facts(expected=False), Thresholds(), later).state is HealthState.WELL


def test_pausing_a_sync_is_no_recovery() -> None:
    bad = step(WELL, FAILED, Thresholds(), START)
    assert step(bad, Facts(resting=True), Thresholds(), START) == bad
    assert step(bad, Facts(), Thresholds(), START).state is HealthState.WELL
