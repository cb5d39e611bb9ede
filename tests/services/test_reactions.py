"""How long a sync rests whose run did not end well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from hub.core.records import Run, RunStatus, Sync
from hub.core.scopes import Scope
from hub.services.reactions import FIRST_REST_S, LONGEST_REST_S, Rests

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Some:
    """As much of a run or of a sync as rests look at."""

    def __init__(self, **known: Any) -> None:
        self.__dict__.update(known)


SYNC = cast(Sync, Some(id=7))


def ended(status: RunStatus, scope: Scope = Scope.ALL) -> Run:
    return cast(Run, Some(sync_id=7, status=status, scope=scope))


def test_a_rest_grows_with_every_failure_up_to_a_quarter_of_an_hour_and_ends_with_a_success() -> None:
    rests = Rests()
    for times in range(12):
        rests.note(ended(RunStatus.FAILED), NOON)
        rest = timedelta(seconds=min(FIRST_REST_S * 2**times, LONGEST_REST_S))
        assert rests.resting(SYNC, NOON + rest - timedelta(seconds=1))
        assert not rests.resting(SYNC, NOON + rest)
    rests.note(ended(RunStatus.SUCCEEDED), NOON)
    assert not rests.resting(SYNC, NOON)


def test_withdrawals_do_not_rest_for_what_an_ordinary_run_met() -> None:
    rests = Rests()
    rests.note(ended(RunStatus.FAILED), NOON)
    assert not rests.resting(SYNC, NOON, withdrawals=True)
    rests.note(ended(RunStatus.PARTIAL, Scope.WITHDRAWN), NOON)
    assert rests.resting(SYNC, NOON, withdrawals=True)


@pytest.mark.parametrize("back", [timedelta(seconds=1), timedelta(hours=1), timedelta(days=400)])
def test_a_clock_that_is_set_back_lets_nobody_rest_for_as_long_as_it_went(back: timedelta) -> None:
    rests = Rests()
    rests.note(ended(RunStatus.PARTIAL, Scope.WITHDRAWN), NOON)
    assert not rests.resting(SYNC, NOON - back, withdrawals=True)
