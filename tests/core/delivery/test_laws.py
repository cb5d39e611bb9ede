"""The machine's laws under seeded schedules of faults: what the vendor received against what was made durable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.delivery.messages import Ended, Limits
from hub.core.planning import Fate
from tests.core.delivery.simulation import World, final, people
from tests.searching import search

MOODS = ("ok", "lost_answer", "lost_request", "unsent", "throttled", "partial", "vague", "refused")
DEADLY = ("auth", "crash")

worlds = st.builds(
    lambda seed, adds, removes, batch, concurrency, weights, deadly, poison, crashes, withdrawals, cancel: World(
        seed=seed,
        rows=people(adds, removes),
        limits=Limits(batch, concurrency, chunk=max(7, batch)),
        moods={"ok": 6, **dict(zip(MOODS[1:], weights, strict=True)), **dict.fromkeys(DEADLY, deadly)},
        poison=frozenset(f"add{i}" for i in poison),
        crashes=crashes,
        withdrawals=withdrawals,
        cancel=cancel,
    ),
    seed=st.integers(0, 2**32),
    adds=st.integers(0, 60),
    removes=st.integers(0, 20),
    batch=st.integers(1, 9),
    concurrency=st.integers(1, 8),
    weights=st.tuples(*[st.integers(0, 3)] * (len(MOODS) - 1)),
    deadly=st.integers(0, 1),
    poison=st.sets(st.integers(1, 60), max_size=3),
    crashes=st.integers(0, 3),
    withdrawals=st.integers(0, 6),
    cancel=st.booleans(),
)


@search(200)
@given(worlds)
def test_whatever_happens_the_laws_hold(world: World) -> None:
    if not world.rows:
        world.withdrawals = 0
    world.run()
    nobody_is_sent_who_had_withdrawn_before_the_reading(world)
    nothing_stands_between_the_reading_and_the_request(world)
    no_more_than_the_limits_is_open(world)
    everybody_reached_is_accounted_for(world)
    nobody_has_two_final_fates(world)
    a_completed_run_leaves_nobody_without_a_fate(world)


def nobody_is_sent_who_had_withdrawn_before_the_reading(world: World) -> None:
    for request in world.requests:
        for row in request.rows:
            assert not (row.op.adds and world.withdrawn.get(row.key, request.at) < request.gated_at)


def nothing_stands_between_the_reading_and_the_request(world: World) -> None:
    assert all(request.gated_at == request.at for request in world.requests)


def no_more_than_the_limits_is_open(world: World) -> None:
    assert world.most_in_flight <= world.limits.concurrency
    assert world.most_open <= world.limits.people_in_doubt


def everybody_reached_is_accounted_for(world: World) -> None:
    fates, possible = final(world), {v.row.key for v in world.log if v.fate is Fate.UNKNOWN}
    for row in world.rows:
        if row.op.adds and row.key in world.present:
            assert fates.get(row.key) is Fate.ACCEPTED or row.key in possible
        if not row.op.adds and fates.get(row.key) is Fate.ACCEPTED:
            assert row.key not in world.present


def nobody_has_two_final_fates(world: World) -> None:
    keys = [line.row.key for line in world.log if line.fate.final]
    assert len(keys) == len(set(keys))


def a_completed_run_leaves_nobody_without_a_fate(world: World) -> None:
    assert world.finish is not None
    if world.finish.ended is Ended.COMPLETED:
        assert set(final(world)) == {row.key for row in world.rows}


@pytest.mark.parametrize("seed", range(5))
def test_the_same_events_lead_to_the_same_commands(seed: int) -> None:
    def world() -> World:
        return World(
            seed, people(40, 9), Limits(4, 3, chunk=8), dict.fromkeys(MOODS, 1), withdrawals=3, crashes=1
        ).run()

    assert world().commands == world().commands


@pytest.mark.parametrize("seed", range(30))
def test_a_crash_sends_again_at_most_the_batches_in_flight_or_uncommitted(seed: int) -> None:
    world = World(seed, people(200), Limits(4, 4, chunk=12), {"ok": 1}, crashes=2).run()
    for process in range(2, world.process + 1):
        before = {row.key for request in world.requests if request.process < process for row in request.rows}
        again = {row.key for request in world.requests if request.process == process for row in request.rows}
        assert len(before & again) <= world.limits.people_in_doubt
    assert set(final(world).values()) == {Fate.ACCEPTED}


@pytest.mark.parametrize("bad", [1, 500, 1000])
def test_one_bad_row_in_a_thousand_is_found_by_halving(bad: int) -> None:
    world = World(1, people(1000), Limits(1000), {"ok": 1}, poison=frozenset({f"add{bad}"})).run()
    fates = final(world)
    assert [key for key, fate in fates.items() if fate is Fate.REJECTED] == [f"add{bad}"]
    assert len(world.requests) <= 2 * 10 + 1


def test_the_trace_of_an_unanswered_add_outlives_its_later_acceptance() -> None:
    world = World(3, people(50), Limits(5), {"ok": 1, "lost_answer": 1}).run()
    lines = [(v.row.key, v.fate) for v in world.log]
    traced = {key for key, fate in lines if fate is Fate.UNKNOWN} & {
        key for key, fate in lines if fate is Fate.ACCEPTED
    }
    assert traced
