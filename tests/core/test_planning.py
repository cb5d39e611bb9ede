"""The brake, and the sums of a run (law L5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.planning import Fate, Op, PlannedPerson, PlanSummary, count, needs_approval
from hub.core.records import RunCounts, WithheldReason
from hub.core.scopes import Scope
from hub.sdk.contract import Person

some = st.integers(0, 20)
ADDS = (Op.ADD, Op.UPDATE, Op.KEEP)


@st.composite
def runs(draw: st.DrawFn) -> tuple[PlanSummary, dict[tuple[Op, Fate], int]]:
    tally = {(op, fate): draw(st.integers(0, 3)) for op in Op for fate in Fate if draw(st.booleans())}
    begun = {op: sum(people for (kind, _), people in tally.items() if kind is op) for op in Op}
    planned = {op: begun[op] + draw(some) for op in Op}
    withheld = {reason: draw(some) for reason in WithheldReason if draw(st.booleans())}
    unchanged, rejected = draw(some), draw(some)
    summary = PlanSummary(
        members=unchanged + rejected + sum(withheld.values()) + sum(planned[op] for op in ADDS),
        unchanged=unchanged,
        to_add=planned[Op.ADD],
        to_update=planned[Op.UPDATE],
        to_keep=planned[Op.KEEP],
        rejected=rejected,
        withheld=withheld,
        leavers=planned[Op.REMOVE],
    )
    return summary, tally


@given(runs())
def test_whatever_came_of_it_the_counts_add_up(run: tuple[PlanSummary, dict[tuple[Op, Fate], int]]) -> None:
    summary, tally = run
    counts = count(summary, tally)
    assert summary.balanced and counts.balanced
    assert counts.members == summary.members and counts.leavers == summary.leavers
    open_ends = sum(tally.get((op, fate), 0) for op in ADDS for fate in (Fate.UNKNOWN, Fate.RETRY))
    assert counts.pending >= open_ends


def test_unknown_counts_as_pending_and_suppressed_as_withheld() -> None:
    summary = PlanSummary(members=4, to_add=4, leavers=3)
    tally = {
        (Op.ADD, Fate.UNKNOWN): 1,
        (Op.ADD, Fate.SUPPRESSED): 1,
        (Op.ADD, Fate.WITHHELD): 1,
        (Op.ADD, Fate.NOOP): 1,
        (Op.REMOVE, Fate.UNKNOWN): 1,
        (Op.REMOVE, Fate.REJECTED): 1,
        (Op.REMOVE, Fate.ACCEPTED): 1,
    }
    assert count(summary, tally) == RunCounts(
        members=4, added=1, withheld=2, pending=1, leavers=3, removed=1, remove_rejected=1, remove_pending=1
    )


@pytest.mark.parametrize(
    ("summary", "tally"),
    [
        (PlanSummary(members=1, to_add=1), {(Op.ADD, Fate.ACCEPTED): 2}),
        (PlanSummary(leavers=1), {(Op.REMOVE, Fate.ACCEPTED): 2}),
        (PlanSummary(members=3, to_add=1), {}),
    ],
)
def test_counts_that_do_not_add_up_are_an_error(summary: PlanSummary, tally: dict[tuple[Op, Fate], int]) -> None:
    with pytest.raises(ValueError, match="do not add up"):
        count(summary, tally)


def test_more_than_the_share_waits_for_a_person_and_exactly_the_share_does_not() -> None:
    plan = PlanSummary(leavers=30, delivered_before=100)
    assert not needs_approval(plan, 0.3)
    assert needs_approval(replace(plan, leavers=31), 0.3)
    assert needs_approval(replace(plan, leavers=1), 0.0)


@given(leavers=st.integers(0, 100), moved=some, withdrawn=some, share=st.floats(0, 1))
def test_neither_a_changed_address_nor_a_withdrawal_brakes(
    leavers: int, moved: int, withdrawn: int, share: float
) -> None:
    plain = PlanSummary(leavers=leavers, delivered_before=100)
    more = replace(plain, leavers=leavers + moved + withdrawn, moved=moved, withdrawn=withdrawn)
    assert needs_approval(more, share) == needs_approval(plain, share)


@pytest.mark.parametrize("scope", [Scope.WITHDRAWN, Scope.EMPTY, Scope.REPEAT])
def test_the_brake_never_holds_back_what_was_asked_for_by_name(scope: Scope) -> None:
    assert not needs_approval(PlanSummary(leavers=100, delivered_before=100, scope=scope), 0.0)


def test_consent_lapses_from_its_very_last_instant() -> None:
    end = datetime(2026, 1, 1, tzinfo=UTC)
    person = PlannedPerson(1, 1, Op.ADD, Person("p1", "p1"), "", True, end)
    assert person.may_go(end - timedelta(microseconds=1))
    assert not person.may_go(end)
    assert not person._replace(allowed=False, allowed_until=None).may_go(end)


def test_only_a_retry_a_doubt_and_an_open_job_leave_something_to_do() -> None:
    assert [fate for fate in Fate if not fate.final] == [Fate.RETRY, Fate.UNKNOWN, Fate.SUBMITTED]
