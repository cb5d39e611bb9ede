"""Whom a vendor refuses is tried again less and less often, then quarantined, until new values or a release."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from hub.core.planning import RESTS, Fate, PlanRequest
from hub.core.records import WithheldReason
from hub.core.scopes import Scope
from hub.warehouse.outcomes import progress, withheld
from hub.warehouse.plan import make_plan, preview_plan
from hub.warehouse.rejected import count_rejected, rejected, release
from tests.warehouse.planes import open_plane, write_world
from tests.warehouse.town import ASKED, HOUR, NOW, after, deliver, town

MINUTE = timedelta(minutes=1)
QUARANTINED = {WithheldReason.QUARANTINED: 1}


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    with open_plane(request.param) as plane:
        yield plane


def quarantine(engine: Any, request: PlanRequest = ASKED) -> PlanRequest:
    """The last of the runs in which the vendor refuses everyone, each as soon as it tries them again."""
    deliver(engine, request, Fate.REJECTED)
    for rest in RESTS:
        request = after(request, hours=rest / HOUR)
        deliver(engine, request, Fate.REJECTED)
    return request


def test_the_refused_rest_longer_each_time_and_then_stay_in_quarantine(engine: Any) -> None:
    town(engine, "a@x")
    request = ASKED
    deliver(engine, request, Fate.REJECTED)
    for rest in (HOUR, 4 * HOUR, 24 * HOUR, 72 * HOUR):
        early = after(request, hours=(rest - MINUTE) / HOUR)
        assert preview_plan(engine, early).summary.rejected == 1
        request = after(request, hours=rest / HOUR)
        deliver(engine, request, Fate.REJECTED)
        assert progress(engine, request.run).rejected == 1
    later = after(request, hours=10_000)
    deliver(engine, later)
    counts = progress(engine, later.run)
    assert (counts.members, counts.withheld, counts.rejected) == (1, 1, 0) and counts.balanced
    assert withheld(engine, later.run) == QUARANTINED


def test_a_retry_by_hand_takes_those_who_rest_and_leaves_the_quarantined(engine: Any) -> None:
    town(engine, "a@x")
    deliver(engine, ASKED, Fate.REJECTED)
    by_hand = after(ASKED, scope=Scope.RETRY_REJECTED)
    assert preview_plan(engine, by_hand).summary.to_add == 1
    last = quarantine(engine, by_hand)
    assert preview_plan(engine, after(last, scope=Scope.RETRY_REJECTED)).summary.withheld == QUARANTINED


def test_new_values_are_tried_at_once_even_in_quarantine_and_quarantined_at_once_if_refused(engine: Any) -> None:
    world = town(engine, "a@x")
    last = quarantine(engine)
    world.profiles[1].ltv = 11.0
    write_world(engine, world, NOW)
    changed = after(last)
    deliver(engine, changed, Fate.REJECTED)
    assert progress(engine, changed.run).rejected == 1
    assert preview_plan(engine, after(changed, hours=10_000)).summary.withheld == QUARANTINED
    world.profiles[1].ltv = 12.0
    write_world(engine, world, NOW)
    taken = after(changed)
    deliver(engine, taken)
    assert progress(engine, taken.run).added == 1
    assert count_rejected(engine, 1, "vip", None) == 0


def test_a_refused_update_in_quarantine_leaves_the_person_there_until_they_leave(engine: Any) -> None:
    world = town(engine, "a@x")
    deliver(engine, ASKED)
    world.profiles[1].ltv = 11.0
    write_world(engine, world, NOW)
    last = quarantine(engine, after(ASKED))
    found = preview_plan(engine, after(last)).summary
    assert (found.withheld, found.leavers) == (QUARANTINED, 0)
    write_world(engine, town(engine, "a@x", members=set()), NOW)
    assert preview_plan(engine, after(last)).summary.leavers == 1


def test_a_refused_removal_does_not_bring_anybody_nearer_to_quarantine(engine: Any) -> None:
    world = town(engine, "a@x")
    deliver(engine, ASKED)
    town(engine, "a@x", members=set())
    request = after(ASKED)
    for _ in range(len(RESTS) + 1):
        deliver(engine, request, Fate.REJECTED)
        request = after(request)
    world.profiles[1].ltv = 11.0
    write_world(engine, world, NOW)
    deliver(engine, request, Fate.REJECTED)
    assert [one.refusals for one in rejected(engine, 1, "vip", False, None, 10)] == [1]


def test_a_release_begins_anew_for_everyone_or_for_the_one_named(engine: Any) -> None:
    town(engine, "a@x", "b@x", "c@x")
    last = quarantine(engine)
    assert release(engine, 2, "vip", last.now) == release(engine, 1, "gold", last.now) == 0
    assert release(engine, 1, "vip", last.now, "p2") == 1
    assert preview_plan(engine, after(last)).summary.to_add == 1
    assert release(engine, 1, "vip", last.now, "p2") == 0
    assert release(engine, 1, "vip", last.now) == 2
    again = after(last)
    deliver(engine, again, Fate.REJECTED)
    assert [one.retry_at for one in rejected(engine, 1, "vip", None, None, 10)] == [last.now + HOUR] * 3


def test_the_refused_are_listed_with_the_reason_and_by_whether_they_are_quarantined(engine: Any) -> None:
    town(engine, "a@x", "b@x")
    last = quarantine(engine)
    town(engine, "a@x", "b@x", "c@x", "d@x")
    request = after(last)
    deliver(engine, request, c=Fate.REJECTED, d=Fate.SUPPRESSED)
    found = rejected(engine, 1, "vip", None, None, 10)
    assert [(one.pid, one.reason, one.refusals, one.retry_at) for one in found] == [
        (1, "why", 5, None),
        (2, "why", 5, None),
        (3, "why", 1, request.now + HOUR),
    ]
    assert found[0].person and found[0].person.external_id == "p1" and found[0].refused_at == last.now
    assert rejected(engine, 1, "vip", True, None, 1) == found[:1]
    assert rejected(engine, 1, "vip", True, 1, 5) == found[1:2]
    assert rejected(engine, 1, "vip", False, None, 5) == found[2:]
    assert [count_rejected(engine, 1, "vip", which) for which in (None, True, False)] == [3, 2, 1]
    assert count_rejected(engine, 1, "gold", None) == 0


def test_a_person_refused_under_two_addresses_is_listed_once_by_the_newest_word(engine: Any) -> None:
    town(engine, "a@x")
    deliver(engine, ASKED)
    world = town(engine, "a@x")
    world.profiles[1].ltv = 11.0
    write_world(engine, world, NOW)
    update = after(ASKED)
    deliver(engine, update, Fate.REJECTED)
    town(engine, "b@x")
    moved = after(update, hours=0.5)
    deliver(engine, moved, Fate.REJECTED)
    [found] = rejected(engine, 1, "vip", None, None, 10)
    assert (found.refused_at, count_rejected(engine, 1, "vip", None)) == (moved.now, 1)


def test_who_was_quarantined_and_left_the_segment_begins_anew(engine: Any) -> None:
    town(engine, "a@x")
    last = quarantine(engine)
    town(engine, "a@x", members=set())
    deliver(engine, after(last))
    town(engine, "a@x")
    assert make_plan(engine, after(after(last))).to_add == 1
