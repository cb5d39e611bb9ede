"""What a sync's runs say about its health."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hub.core.alerts import reading
from hub.core.alerts.health import Series, Shares
from hub.core.records import Run, RunCause, RunCounts, RunStatus
from hub.core.scopes import Scope
from hub.errors import ErrorCode, Problem

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DOWN = Problem(ErrorCode.DESTINATION_UNREACHABLE, "away")
AUTH = Problem(ErrorCode.DESTINATION_AUTH, "no")


def run(minute: int, status: RunStatus, scope: Scope = Scope.ALL, **more: Any) -> Run:
    at = NOON + timedelta(minutes=minute)
    given = {
        "counts": RunCounts(),
        "created_at": at,
        "started_at": at,
        "finished_at": at if status.ended else None,
    } | more
    return Run(minute, 1, RunCause.MANUAL, status, scope=scope, **given)


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


def test_failed_runs_count_from_the_last_that_got_to_its_end() -> None:
    newest_first = [
        run(9, RunStatus.CANCELLED),
        run(8, RunStatus.FAILED, failure=AUTH),
        run(7, RunStatus.CANCELLED),
        run(6, RunStatus.FAILED, failure=DOWN),
        run(5, RunStatus.PARTIAL),
        run(4, RunStatus.FAILED, failure=DOWN),
    ]
    assert reading.failures(newest_first) == Series(2, at(6), ErrorCode.DESTINATION_AUTH)
    assert reading.failures(newest_first[4:]) is None
    assert reading.failures([]) is None


def test_a_removal_that_left_somebody_has_failed_until_another_run_did_its_work() -> None:
    removals = [run(5, RunStatus.PARTIAL, Scope.WITHDRAWN), run(4, RunStatus.FAILED, Scope.WITHDRAWN, failure=DOWN)]
    assert reading.failed_removals(removals, []) == Series(2, at(4))
    still_there = run(6, RunStatus.PARTIAL, counts=RunCounts(leavers=1, remove_pending=1))
    assert reading.failed_removals(removals, [still_there]) == Series(2, at(4))
    assert reading.failed_removals(removals, [run(6, RunStatus.PARTIAL)]) is None
    # It may have planned before the withdrawal.
    assert reading.failed_removals(removals, [run(6, RunStatus.PARTIAL, started_at=at(4))]) == Series(2, at(4))
    assert reading.failed_removals(removals, [run(6, RunStatus.FAILED)]) == Series(2, at(4))
    assert reading.failed_removals(removals, [run(6, RunStatus.SUCCEEDED, Scope.EMPTY)]) == Series(2, at(4))
    assert reading.failed_removals([run(7, RunStatus.SUCCEEDED, Scope.WITHDRAWN), *removals], []) is None


def test_shares_are_of_those_whom_the_last_whole_run_was_to_reach() -> None:
    counts = RunCounts(
        members=100, withheld=20, rejected=6, pending=2, added=72, leavers=20, remove_rejected=4, remove_pending=8
    )
    runs = [
        run(3, RunStatus.FAILED),
        run(2, RunStatus.SUCCEEDED, Scope.REPEAT),
        run(1, RunStatus.PARTIAL, counts=counts),
    ]
    assert reading.shares(runs) == Shares(at(1), rejected=0.1, pending=0.1, withheld=0.2)
    assert reading.shares([run(1, RunStatus.SUCCEEDED)]) == Shares(at(1))
    assert reading.shares(runs[:2]) is None
    assert reading.last_success(runs) == at(1)


def test_a_run_that_waits_for_a_person_is_not_one_that_is_late() -> None:
    active = [
        run(1, RunStatus.QUEUED, Scope.WITHDRAWN),
        run(2, RunStatus.WAITING_APPROVAL),
        run(3, RunStatus.RUNNING),
        run(4, RunStatus.QUEUED),
    ]
    assert (reading.waiting_since(active), reading.unfinished_since(active)) == (at(2), at(3))
    assert reading.waiting_since([]) is reading.unfinished_since([]) is None
