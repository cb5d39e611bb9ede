"""A rollout to a share of the members: who is in it, who is not, and what becomes of them when the share moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from hub.core.planning import PlanRequest
from hub.core.records import MemberAction, SyncMode, WithheldReason
from hub.warehouse.outcomes import progress
from hub.warehouse.plan import make_plan, preview_plan
from hub.warehouse.trial import try_on
from tests.warehouse.planes import open_plane
from tests.warehouse.planning_model import held_out
from tests.warehouse.town import ASKED, after, deliver, states, town

OWN = replace(ASKED, key="external_id")
PEOPLE = [f"{n}@x" for n in range(100)]


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    with open_plane(request.param) as plane:
        yield plane


def there(engine: Any, request: PlanRequest) -> set[str]:
    deliver(engine, request)
    assert progress(engine, request.run).balanced
    return set(states(engine))


def test_a_larger_share_only_adds_people_and_a_smaller_one_takes_the_same_out_again(engine: Any) -> None:
    town(engine, *PEOPLE)
    request = OWN
    audiences = []
    for share in (0.1, 0.4, 0.9, 1.0, 0.4, 0.1):
        request = after(request, rollout_share=share)
        audiences.append(there(engine, request))
        assert abs(len(audiences[-1]) - 100 * share) <= 12
    tenth, some, most, everyone, some_again, tenth_again = audiences
    assert tenth < some < most < everyone and len(everyone) == 100
    assert (some_again, tenth_again) == (some, tenth)


def test_the_smallest_share_is_hardly_anybody_and_the_largest_hardly_not_everybody(engine: Any) -> None:
    town(engine, *PEOPLE)
    assert preview_plan(engine, replace(OWN, rollout_share=5e-324)).summary.withheld == {WithheldReason.HELD_OUT: 100}
    assert preview_plan(engine, replace(OWN, rollout_share=1 - 2**-53)).summary.to_add == 100


def test_two_syncs_draw_different_people(engine: Any) -> None:
    town(engine, *PEOPLE)
    taken = []
    for sync in (1, 2):
        request = replace(OWN, run=sync, sync=sync, rollout_share=0.5)
        make_plan(engine, request)
        taken.append(set(engine.rows("SELECT pid FROM plan WHERE run = $run AND op = 'add'", {"run": sync})))
    assert taken[0] != taken[1]


def test_of_two_who_share_an_address_the_one_in_the_pilot_is_sent(engine: Any) -> None:
    town(engine, "a@x", "a@x", members={1, 2})
    pilots = (replace(ASKED, sync=sync, rollout_share=0.5) for sync in range(1, 100))
    request = next(one for one in pilots if held_out(1, one) and not held_out(2, one))
    summary = make_plan(engine, request)
    assert (summary.to_add, summary.withheld) == (1, {WithheldReason.HELD_OUT: 1})
    assert engine.rows("SELECT pid FROM plan WHERE op = 'add'") == [(2,)]


def test_whoever_is_held_out_in_a_mode_that_removes_no_leavers_stays(engine: Any) -> None:
    town(engine, *PEOPLE[:10])
    deliver(engine, OWN)
    found = preview_plan(engine, after(OWN, mode=SyncMode.ADD_ONLY, rollout_share=5e-324)).summary
    assert (found.withheld, found.leavers) == ({WithheldReason.HELD_OUT: 10}, 0)


def test_a_plan_tried_on_a_person_says_that_they_are_held_out(engine: Any) -> None:
    town(engine, *PEOPLE[:10])
    deliver(engine, OWN)
    with engine.rehearse() as tx:
        trial = try_on(tx, after(OWN, rollout_share=5e-324), "p3")
    assert trial and trial.removal
    assert (trial.action, trial.withheld, trial.fields) == (MemberAction.WITHHELD, WithheldReason.HELD_OUT, None)


def test_a_plan_tried_on_a_person_whose_address_changed_says_both(engine: Any) -> None:
    town(engine, "a@x")
    deliver(engine, ASKED)
    town(engine, "b@x")
    with engine.rehearse() as tx:
        trial = try_on(tx, replace(after(ASKED), run=0), "p1")
    assert trial and (trial.action, trial.removal) == (MemberAction.ADD, "moved")
    assert trial.fields == {"MAIL": "b@x", "LTV": 10}
