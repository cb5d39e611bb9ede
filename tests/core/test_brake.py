"""The brake: which plans wait for a person, and which never do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hub.core.brake import ApprovalReason, Brake, kept_reasons
from hub.core.planning import PlanSummary
from hub.core.scopes import Scope

PLAN = PlanSummary(members=200, unchanged=200, delivered_before=200)
BRAKE = Brake(max_removal_share=0.3, max_growth=10.0)


def test_a_quiet_plan_goes_at_once() -> None:
    assert BRAKE.reasons(PLAN) == () and BRAKE.reasons(replace(PLAN, to_add=100, leavers=60)) == ()


def test_more_removals_than_the_share_wait() -> None:
    assert BRAKE.reasons(replace(PLAN, leavers=61)) == (ApprovalReason.REMOVAL_SHARE,)


def test_an_empty_source_waits_however_few_it_would_remove() -> None:
    most_withdrew = replace(PLAN, members=0, unchanged=0, leavers=200, withdrawn=190)
    assert BRAKE.reasons(most_withdrew) == (ApprovalReason.EMPTY_SOURCE,)
    assert BRAKE.reasons(replace(most_withdrew, withdrawn=200)) == ()


def test_after_a_failed_import_nobody_is_removed_without_a_look() -> None:
    failed = replace(BRAKE, source_failed=True)
    assert failed.reasons(replace(PLAN, leavers=1)) == (ApprovalReason.FAILED_SOURCE,)
    assert failed.reasons(replace(PLAN, to_add=50)) == failed.reasons(replace(PLAN, leavers=9, withdrawn=9)) == ()


def test_a_share_of_one_lets_everybody_go() -> None:
    everybody = Brake(1.0, 10.0, source_failed=True)
    assert everybody.reasons(replace(PLAN, members=0, unchanged=0, leavers=200)) == ()


def test_an_audience_that_jumps_in_size_waits_and_a_small_or_a_new_one_does_not() -> None:
    assert BRAKE.reasons(replace(PLAN, to_add=1800)) == ()
    assert BRAKE.reasons(replace(PLAN, to_add=1801)) == (ApprovalReason.SIZE_JUMP,)
    assert BRAKE.reasons(replace(PLAN, delivered_before=0, to_add=10**6)) == ()
    assert BRAKE.reasons(replace(PLAN, delivered_before=99, to_add=10**6)) == ()
    assert replace(BRAKE, max_growth=1.0).reasons(replace(PLAN, to_add=1)) == (ApprovalReason.SIZE_JUMP,)


@pytest.mark.parametrize("scope", [Scope.WITHDRAWN, Scope.EMPTY, Scope.REPEAT])
def test_withdrawals_and_what_was_asked_for_by_name_never_wait(scope: Scope) -> None:
    worst = PlanSummary(leavers=200, delivered_before=200, to_add=10**6, scope=scope)
    assert Brake(0.0, 1.0, source_failed=True).reasons(worst) == ()


def test_a_full_run_waits_like_any_other_and_not_for_those_who_are_not_believed_to_be_there() -> None:
    full = replace(PLAN, scope=Scope.FULL, to_keep=200, unchanged=0)
    assert BRAKE.reasons(replace(full, leavers=61)) == (ApprovalReason.REMOVAL_SHARE,)
    assert BRAKE.reasons(replace(full, leavers=500, swept=400, withdrawn=100)) == ()


def test_plans_kept_by_an_older_hub_are_understood() -> None:
    assert kept_reasons(waits=True) == [ApprovalReason.REMOVAL_SHARE] and kept_reasons(waits=False) == []
    assert kept_reasons(["SIZE_JUMP"]) == [ApprovalReason.SIZE_JUMP]
