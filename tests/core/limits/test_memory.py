"""What outlives the process of a limiter: the day's budget, and a pause the vendor asked for."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from hub.core.limits.limiter import Said, State, after, decide, taken, under
from hub.core.limits.memory import memory_of, recalled
from hub.sdk.limits import DailyBudget, PerSecond

NOON = 1_770_000_000.0
BUDGET = DailyBudget(3, "Europe/Berlin")


def spent(times: int, limits: tuple[DailyBudget | PerSecond, ...] = (BUDGET,)) -> State:
    state = under(limits)
    for _ in range(times):
        state = taken(state, NOON)
    return state


def next_process(state: State, limits: tuple[DailyBudget | PerSecond, ...] = (BUDGET,), later: float = 1.0) -> State:
    memory = json.loads(json.dumps(memory_of(state, NOON)))
    return recalled(under(limits), memory, NOON + later)


@given(used=st.integers(0, 5), more=st.integers(0, 5))
def test_no_process_begins_the_day_anew(used: int, more: int) -> None:
    state = next_process(spent(used))
    for _ in range(more):
        state = taken(state, NOON + 1)
    assert (decide(state, NOON + 1) > 0) == (used + more >= BUDGET.most)


def test_the_next_day_does_begin_anew() -> None:
    assert decide(next_process(spent(3), later=86_400), NOON + 86_400) == 0


def test_whichever_knows_of_more_is_believed() -> None:
    behind = memory_of(spent(1), NOON)
    assert decide(recalled(spent(3), behind, NOON), NOON) > 0


def test_another_budget_is_not_taken_for_this_one() -> None:
    assert decide(next_process(spent(3), (DailyBudget(5),)), NOON + 1) == 0


def test_a_pause_goes_on_in_the_next_process() -> None:
    paused = after(spent(0), Said(retry_after=100), NOON)
    assert 98 <= decide(next_process(paused, later=1.0), NOON + 1) <= 100
    assert decide(next_process(paused, later=200.0), NOON + 200) == 0


def test_nothing_is_remembered_of_what_heals_by_itself() -> None:
    state = spent(9, (PerSecond(1),))
    assert memory_of(state, NOON) == {"days": {}, "paused_until": 0.0}
    assert decide(next_process(state, (PerSecond(1),)), NOON + 1) == 0
