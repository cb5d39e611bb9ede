"""The laws hold in every schedule, and a machine with a bug in it breaks one soon."""

from __future__ import annotations

import pytest

from tests.searching import LONGER
from tests.simulation.bugs import BUGS
from tests.simulation.job_vendor import KINDS
from tests.simulation.schedule import simulate
from tests.simulation.search import first_failure, wrong_with

SCHEDULES = 2000 * LONGER
PARTS = 8
# Every planted bug is found well within this; `make simulate` says after how many.
BOUND = 2000


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_the_laws_hold_over_whole_syncs(part: int) -> None:
    failure = first_failure(range(part, SCHEDULES, PARTS))
    assert failure is None, str(failure)


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    assert first_failure(range(BOUND), bug), f"{bug} was not found in {BOUND} schedules"


def test_a_bug_is_gone_when_it_is_no_longer_planted() -> None:
    failures = {bug: first_failure(range(BOUND), bug) for bug in ("ignore_withheld", "settle_rejected_as_present")}
    assert all(failures.values())
    assert first_failure(failure.seed for failure in failures.values() if failure) is None


def test_a_remove_that_comes_after_the_second_consent_is_not_taken_for_older_than_the_add() -> None:
    assert not wrong_with(4798)


def test_the_same_seed_tells_the_same_story() -> None:
    assert [simulate(seed, tell=True).story for seed in range(9)] == [
        simulate(seed, tell=True).story for seed in range(9)
    ]


def test_every_kind_of_vendor_is_met() -> None:
    assert {type(simulate(seed).vendor) for seed in range(60)} == set(KINDS)
