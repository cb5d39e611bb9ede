"""What becomes of outcomes: who is there, who may be, what is said again, and what is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from hub.core.delivery.messages import OpenJob, Verdict
from hub.core.delivery.rows import Row, Stretch
from hub.core.planning import Fate, PlanRequest
from hub.core.records import WithheldReason
from hub.core.scopes import Scope
from hub.warehouse import erasure
from hub.warehouse.outcomes import append_outcomes, progress, withheld
from hub.warehouse.payload import read_people
from hub.warehouse.plan import KEPT_RUNS, forget_sync, make_plan, plan_summary, preview_plan, withdrawn_since
from hub.warehouse.resume import attempts_made, doubt_accepted, doubt_unlogged
from hub.warehouse.settle import audiences, fold_so_far, repeats, settle
from hub.warehouse.views import count_rejections, deliveries_of, rejections
from tests.warehouse.planes import naive, open_plane, write_world
from tests.warehouse.town import ASKED, HOUR, NOW, after, deliver, log, states, town


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    with open_plane(request.param) as plane:
        yield plane


def test_an_update_that_is_refused_leaves_the_person_there_to_be_removed(engine: Any) -> None:
    world = town(engine, "a@x")
    deliver(engine, ASKED)
    world.profiles[1].ltv = 11.0
    write_world(engine, world, NOW)
    update = after(ASKED)
    deliver(engine, update, Fate.REJECTED)
    assert states(engine) == {"a@x": "present"}
    assert preview_plan(engine, after(update)).summary.rejected == 1
    town(engine, "a@x", members=set())
    assert make_plan(engine, after(update)).leavers == 1


def test_the_vendors_suppression_is_withheld_in_this_run_and_later(engine: Any) -> None:
    town(engine, "a@x")
    deliver(engine, ASKED, Fate.SUPPRESSED)
    assert withheld(engine, 1) == {WithheldReason.SUPPRESSED: 1}
    assert make_plan(engine, after(ASKED)).withheld == {WithheldReason.SUPPRESSED: 1}


def test_someone_dropped_by_the_gate_is_withheld_and_if_delivered_removed(engine: Any) -> None:
    world = town(engine, "a@x")
    deliver(engine, ASKED)
    world.profiles[1].ltv = 11.0
    write_world(engine, world, NOW)
    update = after(ASKED)
    make_plan(engine, update)
    town(engine, "a@x", denied={1})
    [person] = read_people(engine, update, 0, 10).rows
    verdict = Verdict((Row(1, 1, "a@x", person.op),), 1, Fate.WITHHELD, person.reason)
    append_outcomes(engine, update.run, [verdict], NOW)
    counts = settle(engine, update, now=NOW, in_flight_s=900)
    assert (counts.withheld, counts.updated, withheld(engine, update.run)) == (1, 0, {WithheldReason.NO_CONSENT: 1})
    removal = after(update, scope=Scope.WITHDRAWN)
    assert (make_plan(engine, removal).withdrawn, plan_summary(engine, removal.run).members) == (1, 0)


def test_neighbours_who_were_accepted_as_planned_take_one_line_and_still_count_and_settle_one_by_one(
    engine: Any,
) -> None:
    world = town(engine, "a@x", "b@x", "c@x")
    deliver(engine, ASKED)
    assert engine.rows('SELECT run, "position", upto FROM taken') == [(1, 1, 3)]
    assert engine.rows("SELECT count(*) FROM outcomes") == [(0,)]
    assert progress(engine, 1).added == 3
    assert states(engine) == dict.fromkeys(("a@x", "b@x", "c@x"), "present")
    world.profiles[2].ltv = 11.0
    write_world(engine, replace(world, members={2, 3}), NOW)
    deliver(engine, after(ASKED))
    counts = progress(engine, 2)
    assert (counts.updated, counts.removed, counts.unchanged) == (1, 1, 1)
    assert states(engine) == {"b@x": "present", "c@x": "present"}
    assert [one.state for one in deliveries_of(engine, [1])[1]] == ["absent"]


def test_how_far_a_run_is_follows_from_each_line_of_the_log_whatever_it_does_about_people(engine: Any) -> None:
    def lengthening(request: PlanRequest) -> Iterator[tuple[int, int, int]]:
        make_plan(engine, request)
        reading = read_people(engine, request, 0, 1000)
        for at in range(len(reading)):
            append_outcomes(engine, request.run, [Verdict(Stretch(reading, at, at + 1), 1, Fate.ACCEPTED)], NOW)
            counts = progress(engine, request.run)
            yield counts.added, counts.updated, counts.removed
        settle(engine, request, now=NOW, in_flight_s=900)

    world = town(engine, "a@x", "b@x", "c@x")
    assert list(lengthening(ASKED)) == [(1, 0, 0), (2, 0, 0), (3, 0, 0)]
    world.profiles[2].ltv = world.profiles[3].ltv = 11.0
    write_world(engine, replace(world, members={2, 3}), NOW)
    assert list(lengthening(after(ASKED))) == [(0, 0, 1), (0, 1, 1), (0, 2, 1)]


def test_whoever_has_changed_since_the_plan_is_known_with_the_payload_that_was_sent(engine: Any) -> None:
    world = town(engine, "a@x", "b@x")
    make_plan(engine, ASKED)
    world.profiles[2].ltv = 11.0
    write_world(engine, world, NOW)
    reading = read_people(engine, ASKED, 0, 10)
    log(engine, ASKED, reading, Fate.ACCEPTED)
    assert engine.rows("SELECT count(*) FROM taken") == [(0,)]
    settle(engine, ASKED, now=NOW, in_flight_s=900)
    assert make_plan(engine, after(ASKED)).unchanged == 2


def test_one_commit_holds_who_is_in_a_job_and_who_is_not(engine: Any) -> None:
    town(engine, "a@example.com", "b@example.com", "c@example.com")
    make_plan(engine, ASKED)
    first, second, third = Stretch(reading := read_people(engine, ASKED, 0, 1000), 0, len(reading))
    job = OpenJob("job 1", NOW + HOUR)
    verdicts = [
        Verdict((first,), 1, Fate.UNKNOWN, "broke off"),
        Verdict((second,), 1, Fate.SUBMITTED, job=job),
        Verdict((third,), 1, Fate.RETRY, "throttled"),
    ]
    append_outcomes(engine, ASKED.run, verdicts, NOW)
    told = engine.rows("SELECT key, kind, job, late_until FROM outcomes ORDER BY key")
    assert told == [
        ("a@example.com", "unknown", None, None),
        ("b@example.com", "submitted", "job 1", naive(NOW + HOUR)),
        ("c@example.com", "retry", None, None),
    ]


def test_a_stretch_with_a_gap_says_nothing_about_whoever_is_missing_in_it(engine: Any) -> None:
    town(engine, "a@x", "b@x", "c@x")
    make_plan(engine, ASKED)
    reading = read_people(engine, ASKED, positions=[1, 3])
    log(engine, ASKED, reading, Fate.ACCEPTED)
    counts = settle(engine, ASKED, now=NOW, in_flight_s=900)
    assert (counts.added, counts.pending) == (2, 1)
    assert sorted(states(engine)) == ["a@x", "c@x"]


def test_whoever_was_accepted_before_is_neither_read_nor_doubted_again(engine: Any) -> None:
    town(engine, "a@x", "b@x", "c@x")
    make_plan(engine, ASKED)
    append_outcomes(engine, 1, [Verdict(Stretch(read_people(engine, ASKED, 0, 10), 0, 2), 1, Fate.ACCEPTED)], NOW)
    assert [row.key for row in read_people(engine, ASKED, 0, 10).rows] == ["c@x"]
    assert (doubt_unlogged(engine, 1, 10, NOW), attempts_made(engine, 1)) == (1, 1)
    assert doubt_accepted(engine, 1, NOW) == 2
    assert progress(engine, 1).pending == 3


def test_the_no_of_another_holder_takes_out_the_address_at_once_and_nobody_else(engine: Any) -> None:
    town(engine, "a@x", "b@x", "c@x")
    deliver(engine, ASKED)
    world = town(engine, "a@x", "b@x", "c@x", "d@x", members={1, 2, 3}, denied={4})
    world.profiles[4].older.add("b@x")
    write_world(engine, world, NOW)
    removal = after(ASKED, scope=Scope.WITHDRAWN)
    assert make_plan(engine, removal).withdrawn == 1
    assert [row.key for row in read_people(engine, removal, 0, 10).rows] == ["b@x"]


@pytest.mark.parametrize("first", [0, 1])
def test_words_of_runs_side_by_side_count_in_the_order_in_which_they_were_said(engine: Any, first: int) -> None:
    """Added without an answer, withdrawn and removed, consented again and added: there, whichever run ends first."""
    town(engine, "a@x", "b@x")
    make_plan(engine, ASKED)
    adding = read_people(engine, ASKED, 0, 10)
    log(engine, ASKED, adding, Fate.UNKNOWN)
    fold_so_far(engine, ASKED, now=NOW, in_flight_s=900)
    town(engine, "a@x", "b@x", denied={1, 2})
    removal = after(ASKED, scope=Scope.WITHDRAWN)
    make_plan(engine, removal)
    log(engine, removal, read_people(engine, removal, 0, 10), Fate.ACCEPTED)
    town(engine, "a@x", "b@x", denied={2})
    again = [Verdict((row,), 2, Fate.ACCEPTED) for row in Stretch(adding, 0, 1)]
    append_outcomes(engine, ASKED.run, again, NOW)
    for request in ((ASKED, removal), (removal, ASKED))[first]:
        settle(engine, request, now=NOW, in_flight_s=900)
    # The unanswered add may still land on the second.
    assert states(engine) == {"a@x": "present", "b@x": "possible"}


@pytest.mark.parametrize("first", [0, 1])
def test_whoever_is_removed_by_a_run_beside_the_one_that_added_them_is_gone(engine: Any, first: int) -> None:
    town(engine, "a@x", "b@x")
    make_plan(engine, ASKED)
    log(engine, ASKED, read_people(engine, ASKED, 0, 10), Fate.ACCEPTED)
    fold_so_far(engine, ASKED, now=NOW, in_flight_s=900)
    town(engine, "a@x", "b@x", denied={1})
    removal = after(ASKED, scope=Scope.WITHDRAWN)
    make_plan(engine, removal)
    log(engine, removal, read_people(engine, removal, 0, 10), Fate.ACCEPTED)
    for request in ((ASKED, removal), (removal, ASKED))[first]:
        settle(engine, request, now=NOW, in_flight_s=900)
    assert states(engine) == {"b@x": "present"}


def in_a_job(engine: Any, request: PlanRequest, fate: Fate, at: datetime) -> None:
    """One more word on everybody in the run, who are all in one job."""
    reading = read_people(engine, request, positions=list(range(1, 10)))
    job = OpenJob("job 1", NOW + 24 * HOUR)
    rows = tuple(Stretch(reading, 0, len(reading)))
    append_outcomes(engine, request.run, [Verdict(rows, 1, fate, "why", job=job)], at)


def looked_at_in_between(engine: Any, fate: Fate) -> None:
    """Two people are in a job when another run looks at the log, and an hour later the job has ended."""
    town(engine, "a@x", "b@x")
    make_plan(engine, ASKED)
    in_a_job(engine, ASKED, Fate.SUBMITTED, NOW)
    fold_so_far(engine, ASKED, now=NOW, in_flight_s=900)
    [trace] = {erasure.trace(engine, f"p{pid}", [1])[:2] for pid in (1, 2)}
    assert trace == (True, NOW + 24 * HOUR)
    in_a_job(engine, ASKED, fate, NOW + HOUR)
    settle(engine, ASKED, now=NOW + HOUR, in_flight_s=900)


@pytest.mark.parametrize("fate", [Fate.ACCEPTED, Fate.NOOP])
def test_the_good_end_of_a_job_leaves_no_doubt_behind(engine: Any, fate: Fate) -> None:
    looked_at_in_between(engine, fate)
    assert (states(engine), quiet_since(engine)) == (dict.fromkeys(("a@x", "b@x"), "present"), None)
    town(engine, "a@x", "b@x", denied={1})
    deliver(engine, after(ASKED, hours=2, scope=Scope.WITHDRAWN))
    assert (states(engine), repeats(engine)) == ({"b@x": "present"}, [])


@pytest.mark.parametrize(("fate", "then"), [(Fate.REJECTED, "rejected"), (Fate.SUPPRESSED, "suppressed")])
def test_whom_a_job_did_not_take_is_not_there(engine: Any, fate: Fate, then: str) -> None:
    looked_at_in_between(engine, fate)
    assert (states(engine), quiet_since(engine)) == (dict.fromkeys(("a@x", "b@x"), then), None)
    assert not erasure.trace(engine, "p1", [1]).there


def test_a_job_that_failed_leaves_nothing_behind(engine: Any) -> None:
    looked_at_in_between(engine, Fate.RETRY)
    assert states(engine) == {}


def test_where_nobody_knows_what_became_of_a_job_its_people_are_possibly_there_until_its_deadline(engine: Any) -> None:
    looked_at_in_between(engine, Fate.UNKNOWN)
    assert states(engine) == dict.fromkeys(("a@x", "b@x"), "possible")
    assert quiet_since(engine) == naive(NOW + 24 * HOUR)


def test_a_job_that_nobody_asks_after_any_more_leaves_its_people_possibly_there_until_its_deadline(engine: Any) -> None:
    town(engine, "a@x")
    make_plan(engine, ASKED)
    in_a_job(engine, ASKED, Fate.SUBMITTED, NOW)
    assert settle(engine, ASKED, now=NOW + HOUR, in_flight_s=900).pending == 1
    assert (states(engine), quiet_since(engine)) == ({"a@x": "possible"}, naive(NOW + 24 * HOUR))
    assert engine.rows("SELECT count(job_until) FROM delivered") == [(0,)]


def test_the_end_of_a_job_does_not_end_what_an_earlier_request_may_still_do(engine: Any) -> None:
    town(engine, "a@x")
    deliver(engine, ASKED, Fate.UNKNOWN)
    later = after(ASKED)
    make_plan(engine, later)
    in_a_job(engine, later, Fate.SUBMITTED, NOW)
    fold_so_far(engine, later, now=NOW, in_flight_s=900)
    in_a_job(engine, later, Fate.ACCEPTED, NOW)
    settle(engine, later, now=NOW, in_flight_s=900)
    assert (states(engine), quiet_since(engine)) == ({"a@x": "present"}, naive(NOW + timedelta(seconds=900)))


def test_a_remove_while_a_job_was_open_is_repeated_when_the_job_has_ended_well_and_not_later(engine: Any) -> None:
    town(engine, "a@x")
    make_plan(engine, ASKED)
    in_a_job(engine, ASKED, Fate.SUBMITTED, NOW)
    fold_so_far(engine, ASKED, now=NOW, in_flight_s=900)
    town(engine, "a@x", denied={1})
    removal = after(ASKED, scope=Scope.WITHDRAWN)
    deliver(engine, removal)
    assert make_plan(engine, after(removal)).leavers == 0
    in_a_job(engine, ASKED, Fate.ACCEPTED, NOW + HOUR)
    settle(engine, ASKED, now=NOW + HOUR, in_flight_s=900)
    assert [one.at for one in repeats(engine)] == [NOW + HOUR]
    deliver(engine, replace(removal, run=4, now=NOW + 2 * HOUR))
    assert (states(engine), repeats(engine)) == ({}, [])


def test_a_remove_while_a_job_was_open_stands_if_nothing_came_of_the_job(engine: Any) -> None:
    town(engine, "a@x")
    make_plan(engine, ASKED)
    in_a_job(engine, ASKED, Fate.SUBMITTED, NOW)
    fold_so_far(engine, ASKED, now=NOW, in_flight_s=900)
    town(engine, "a@x", denied={1})
    deliver(engine, after(ASKED, scope=Scope.WITHDRAWN))
    in_a_job(engine, ASKED, Fate.RETRY, NOW + HOUR)
    settle(engine, ASKED, now=NOW + HOUR, in_flight_s=900)
    assert (states(engine), repeats(engine)) == ({}, [])


def quiet_since(engine: Any) -> datetime | None:
    """Until when anything may still land."""
    [(until,)] = engine.rows("SELECT max(late_until) FROM standing")
    return until  # type: ignore[no-any-return]


def test_another_audience_begins_from_nothing_and_the_old_one_can_be_emptied(engine: Any) -> None:
    town(engine, "a@x")
    deliver(engine, ASKED)
    gold = after(ASKED, audience="gold")
    deliver(engine, gold)
    assert audiences(engine, 1) == {"vip": 1, "gold": 1}
    emptying = after(gold, audience="vip", scope=Scope.EMPTY)
    deliver(engine, emptying)
    assert audiences(engine, 1) == {"gold": 1}
    assert progress(engine, emptying.run).removed == 1


def test_a_remove_after_an_unanswered_add_goes_out_at_once_and_again_at_the_deadline(engine: Any) -> None:
    town(engine, "a@x")
    deliver(engine, ASKED, Fate.UNKNOWN)
    assert states(engine) == {"a@x": "possible"}
    town(engine, "a@x", members=set())
    remove = after(ASKED, hours=0.1)
    deliver(engine, remove)
    [repeat] = repeats(engine)
    assert (states(engine), repeat.at) == ({"a@x": "possible"}, NOW + timedelta(seconds=900))
    waiting, due = after(remove, hours=0.1), after(remove, hours=1)
    assert preview_plan(engine, waiting).summary.leavers == 0
    assert audiences(engine, 1, removable_at=waiting.now) == {}
    assert preview_plan(engine, replace(due, scope=Scope.REPEAT)).summary.leavers == 1
    deliver(engine, due)
    assert (states(engine), repeats(engine)) == ({}, [])


def test_an_accepted_retry_does_not_make_the_unanswered_attempt_forgotten(engine: Any) -> None:
    town(engine, "a@x")
    make_plan(engine, ASKED)
    reading = read_people(engine, ASKED, 0, 10)
    log(engine, ASKED, reading, Fate.UNKNOWN)
    log(engine, ASKED, reading, Fate.ACCEPTED)
    settle(engine, ASKED, now=NOW, in_flight_s=900)
    assert states(engine) == {"a@x": "present"}
    town(engine, "a@x", members=set())
    deliver(engine, after(ASKED))
    assert states(engine) == {"a@x": "possible"} and len(repeats(engine)) == 1


def test_a_late_add_of_other_values_is_not_forgotten_when_newer_ones_were_doubted_and_then_refused(engine: Any) -> None:
    world = town(engine, "a@x")
    deliver(engine, ASKED, Fate.UNKNOWN)
    world.profiles[1].ltv = 11.0
    write_world(engine, world, NOW)
    newer = after(ASKED)
    make_plan(engine, newer)
    reading = read_people(engine, newer, 0, 10)
    log(engine, newer, reading, Fate.UNKNOWN)
    log(engine, newer, reading, Fate.REJECTED)
    settle(engine, newer, now=NOW, in_flight_s=900)
    again = after(newer, scope=Scope.RETRY_REJECTED)
    deliver(engine, again)
    assert states(engine) == {"a@x": "present"}
    assert preview_plan(engine, after(again, hours=1, scope=Scope.ALL)).summary.to_update == 1


def test_a_late_add_of_other_values_is_not_forgotten_when_whoever_was_removed_is_in_a_job_again(engine: Any) -> None:
    world = town(engine, "a@x")
    deliver(engine, ASKED, Fate.UNKNOWN)
    world.profiles[1].ltv = 11.0
    write_world(engine, world, NOW)
    newer = after(ASKED)
    deliver(engine, newer)
    write_world(engine, replace(world, members=set()), NOW)
    remove = after(newer)
    deliver(engine, remove)
    write_world(engine, world, NOW)
    back = after(remove)
    make_plan(engine, back)
    in_a_job(engine, back, Fate.SUBMITTED, NOW)
    fold_so_far(engine, back, now=NOW, in_flight_s=900)
    in_a_job(engine, back, Fate.ACCEPTED, NOW)
    settle(engine, back, now=NOW, in_flight_s=900)
    assert len(repeats(engine)) == 1


def test_an_add_after_an_unanswered_remove_is_repeated_with_the_next_run(engine: Any) -> None:
    world = town(engine, "a@x")
    deliver(engine, ASKED)
    write_world(engine, replace(world, members=set()), NOW)
    remove = after(ASKED)
    deliver(engine, remove, Fate.UNKNOWN)
    write_world(engine, world, NOW)
    back = after(remove)
    deliver(engine, back)
    assert preview_plan(engine, after(back)).summary.unchanged == 1
    assert preview_plan(engine, after(back, hours=1)).summary.to_update == 1


def test_an_unanswered_remove_of_someone_removed_meanwhile_can_still_undo_a_later_add(engine: Any) -> None:
    world = town(engine, "a@x")
    deliver(engine, ASKED)
    write_world(engine, replace(world, members=set()), NOW)
    one, other = after(ASKED), after(after(ASKED))
    make_plan(engine, one)
    make_plan(engine, other)
    for request, fate in ((one, Fate.ACCEPTED), (other, Fate.UNKNOWN)):
        log(engine, request, read_people(engine, request, 0, 10), fate)
        settle(engine, request, now=NOW, in_flight_s=900)
    assert states(engine) == {"a@x": "absent"}
    write_world(engine, world, NOW)
    deliver(engine, after(other))
    assert len(repeats(engine)) == 1


def test_a_late_add_of_other_values_is_not_forgotten_when_the_person_was_removed_in_between(engine: Any) -> None:
    world = town(engine, "a@x")
    deliver(engine, ASKED, Fate.UNKNOWN)
    world.profiles[1].ltv = 11.0
    write_world(engine, world, NOW)
    newer = after(ASKED)
    deliver(engine, newer)
    write_world(engine, replace(world, members=set()), NOW)
    remove = after(newer)
    deliver(engine, remove)
    write_world(engine, world, NOW)
    back = after(remove)
    deliver(engine, back)
    assert len(repeats(engine)) == 1
    assert preview_plan(engine, after(back, hours=1)).summary.to_update == 1


def test_settling_twice_changes_nothing_and_settling_early_takes_in_what_there_is(engine: Any) -> None:
    town(engine, "a@x", "b@x")
    make_plan(engine, ASKED)
    reading = read_people(engine, ASKED, 0, 1)
    log(engine, ASKED, reading, Fate.REJECTED)
    fold_so_far(engine, ASKED, now=NOW, in_flight_s=900)
    assert states(engine) == {"a@x": "rejected"}
    log(engine, ASKED, read_people(engine, ASKED, 1, 1), Fate.ACCEPTED)
    counts = settle(engine, ASKED, now=NOW, in_flight_s=900)
    held = engine.rows("SELECT * FROM delivered ORDER BY key")
    assert settle(engine, ASKED, now=NOW + HOUR, in_flight_s=900) == counts
    assert engine.rows("SELECT * FROM delivered ORDER BY key") == held
    assert [row[9] for row in held] == [1, 0]


def test_a_person_without_an_outcome_was_never_sent(engine: Any) -> None:
    town(engine, "a@x")
    make_plan(engine, ASKED)
    counts = settle(engine, ASKED, now=NOW, in_flight_s=900)
    assert (counts.pending, states(engine)) == (1, {})


def test_who_was_refused_before_is_listed_with_the_reason_of_then(engine: Any) -> None:
    town(engine, "a@x", "b@x", "c@x")
    deliver(engine, ASKED, a=Fate.REJECTED, b=Fate.REJECTED)
    again = after(ASKED, scope=Scope.RETRY_REJECTED)
    deliver(engine, again, b=Fate.REJECTED, a=Fate.REJECTED)
    town(engine, "a@x", "b@x", "c@x", "d@x")
    later = after(again, scope=Scope.ALL)
    deliver(engine, later, Fate.REJECTED)
    assert progress(engine, later.run).rejected == count_rejections(engine, later.run) == 3
    found = rejections(engine, later.run, None, 10)
    assert [(one.person and one.person.pid, one.reason, one.attempts) for one in found] == [
        (4, "why", 1),
        (1, "why", 1),
        (2, "why", 1),
    ]
    first, second = rejections(engine, later.run, None, 2), rejections(engine, later.run, found[1].position, 2)
    assert [*first, *second] == found
    for _ in range(KEPT_RUNS - 1):
        later = after(later)
        deliver(engine, later)
    assert count_rejections(engine, again.run + 1) == count_rejections(engine, later.run) == 3


def test_a_withdrawal_waits_since_it_was_recorded_or_linked_whichever_came_later(engine: Any) -> None:
    town(engine, "a@x", "b@x")
    deliver(engine, ASKED)
    town(engine, "a@x", "b@x", denied={1, 2})
    said = {"at": (NOW - HOUR).replace(tzinfo=None)}
    removal = after(ASKED, scope=Scope.WITHDRAWN)
    make_plan(engine, removal)
    assert withdrawn_since(engine, removal.run, ("ads",)) is None
    with engine.write() as tx:
        tx.execute("INSERT INTO consent_entries VALUES (1, 's', 'ads', 'DENY', $at, $at, NULL)", said)
    assert withdrawn_since(engine, removal.run, ("ads", "news")) == NOW
    with engine.write() as tx:
        tx.execute("UPDATE identifiers SET linked_at = $at WHERE pid = 2", said)
    assert withdrawn_since(engine, removal.run, ("ads",)) == NOW - HOUR
    assert withdrawn_since(engine, removal.run, ("news",)) is None


def test_plans_of_older_runs_go_and_what_was_refused_stays(engine: Any) -> None:
    town(engine, "a@x", "b@x", None)
    request = ASKED
    for _ in range(KEPT_RUNS + 2):
        deliver(engine, request, Fate.REJECTED, b=Fate.UNKNOWN)
        request = after(request, scope=Scope.RETRY_REJECTED)
    planned = {run for (run,) in engine.rows("SELECT DISTINCT run FROM plan WHERE op = 'add'")}
    assert planned == set(range(3, KEPT_RUNS + 3))
    assert engine.rows("SELECT DISTINCT run FROM plan WHERE op = 'withheld'") == [(KEPT_RUNS + 2,)]
    refused = engine.rows("SELECT count(*) FROM outcomes WHERE kind = 'rejected'")
    assert refused == [(KEPT_RUNS + 2,)]


def test_of_a_sync_that_is_forgotten_only_those_stay_whom_it_leaves_at_the_vendor(engine: Any) -> None:
    town(engine, "a@x", "b@x")
    deliver(engine, ASKED, b=Fate.REJECTED)
    other = replace(ASKED, run=2, sync=2)
    deliver(engine, other)
    forget_sync(engine, 1)
    assert engine.rows("SELECT DISTINCT sync FROM plans") == [(2,)]
    assert engine.rows("SELECT key, state FROM delivered WHERE sync = 1") == [("a@x", "present")]
    for table in ("plan", "taken"):
        assert engine.rows(f"SELECT DISTINCT run FROM {table}") == [(2,)]
    assert engine.rows("SELECT count(*) FROM outcomes") == [(0,)]
