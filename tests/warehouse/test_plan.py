"""What a plan promises, one promise at a time; `test_plan_model` holds it to a naive planner as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from hub.core.planning import Fate, Op, needs_approval
from hub.core.records import SyncMode, WithheldReason
from hub.core.scopes import Scope
from hub.warehouse.outcomes import progress
from hub.warehouse.payload import read_people
from hub.warehouse.plan import make_plan, plan_summary, preview_plan
from tests.warehouse.planes import open_plane, write_world
from tests.warehouse.town import ASKED, HOUR, NOW, after, deliver, log, town


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    with open_plane(request.param) as plane:
        yield plane


def test_a_plan_once_written_is_kept_whatever_happens_since(engine: Any) -> None:
    town(engine, "a@x", "b@x")
    planned = make_plan(engine, ASKED)
    town(engine, "a@x")
    assert make_plan(engine, ASKED) == planned == plan_summary(engine, 1)


def test_a_preview_writes_nothing_and_names_a_few_people(engine: Any) -> None:
    town(engine, "a@x", "b@x", "c@x")
    deliver(engine, ASKED)
    town(engine, "a@x", None, "c@x", "d@x", members={1, 4})
    preview = preview_plan(engine, after(ASKED), sample=1)
    assert (preview.adds, preview.removes) == ((4,), (2,))
    assert (preview.summary.to_add, preview.summary.leavers) == (1, 2)
    assert engine.rows("SELECT max(run) FROM plans") == [(1,)]


def test_whoever_withdraws_first_and_the_rest_by_pid(engine: Any) -> None:
    town(engine, "a@x", "b@x", "c@x")
    deliver(engine, ASKED)
    town(engine, None, "b@x", "c@x", "d@x", denied={3})
    make_plan(engine, after(ASKED))
    rows = read_people(engine, after(ASKED), 0, 10).rows
    assert [(one.key, one.op, one.reason) for one in rows] == [
        ("c@x", Op.REMOVE, "withdrawn"),
        ("a@x", Op.REMOVE, "leaver"),
        ("d@x", Op.ADD, ""),
    ]


def test_an_address_that_changes_is_added_and_the_old_one_removed_without_the_brake(engine: Any) -> None:
    town(engine, "a@x")
    deliver(engine, ASKED)
    town(engine, "new@x")
    summary = make_plan(engine, after(ASKED))
    assert (summary.to_add, summary.leavers, summary.moved) == (1, 1, 1)
    assert not needs_approval(summary, 0.0)


def test_an_address_that_vanishes_is_a_leaver(engine: Any) -> None:
    town(engine, "a@x")
    deliver(engine, ASKED)
    town(engine, None)
    summary = make_plan(engine, after(ASKED))
    assert (summary.leavers, summary.moved, summary.withheld) == (1, 0, {WithheldReason.NO_IDENTIFIER: 1})
    assert needs_approval(summary, 0.5)


def test_nobody_may_be_sent_without_a_purpose(engine: Any) -> None:
    town(engine, "a@x")
    assert make_plan(engine, replace(ASKED, purposes=())).withheld == {WithheldReason.NO_CONSENT: 1}


def test_a_shared_address_goes_out_once_for_the_lowest_pid_and_the_others_are_counted(engine: Any) -> None:
    town(engine, "a@x", "a@x", members={1, 2})
    summary = make_plan(engine, ASKED)
    [person] = read_people(engine, ASKED, 0, 10).rows
    assert (person.pid, summary.withheld) == (1, {WithheldReason.SHARED_IDENTIFIER: 1})


def test_one_holder_who_denies_speaks_for_the_address_though_no_member(engine: Any) -> None:
    town(engine, "a@x", "a@x", members={1}, denied={2})
    assert make_plan(engine, ASKED).withheld == {WithheldReason.SHARED_IDENTIFIER: 1}


def test_a_holder_who_denies_in_mid_run_is_seen_at_the_next_reading(engine: Any) -> None:
    town(engine, "a@x", "a@x", members={1})
    make_plan(engine, ASKED)
    town(engine, "a@x", "a@x", members={1}, denied={2})
    [person] = read_people(engine, ASKED, 0, 10).rows
    assert (person.allowed, person.reason) == (False, "SHARED_IDENTIFIER")


def test_a_holder_linked_in_mid_run_is_seen_as_well(engine: Any) -> None:
    town(engine, "a@x", None, members={1}, denied={2})
    make_plan(engine, ASKED)
    town(engine, "a@x", "a@x", members={1}, denied={2})
    [person] = read_people(engine, ASKED, 0, 10).rows
    assert not person.allowed


def test_a_withdrawal_or_an_erasure_in_mid_run_is_seen_at_the_next_reading(engine: Any) -> None:
    town(engine, "a@x", "b@x", "c@x")
    make_plan(engine, ASKED)
    world = town(engine, "a@x", "b@x", "c@x", denied={2})
    del world.profiles[3]
    write_world(engine, world, NOW)
    rows = read_people(engine, ASKED, positions=[1, 2, 3]).rows
    assert [(one.allowed, one.reason) for one in rows] == [(True, ""), (False, "NO_CONSENT"), (False, "")]


def test_a_withdrawal_between_the_look_at_a_stretch_and_its_reading_is_seen(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    town(engine, "a@x", "b@x")
    make_plan(engine, ASKED)
    read = engine.query

    def withdrawn_meanwhile(*asked: Any) -> Any:
        monkeypatch.setattr(engine, "query", read)
        town(engine, "a@x", "b@x", denied={2})
        return read(*asked)

    monkeypatch.setattr(engine, "query", withdrawn_meanwhile)
    rows = read_people(engine, ASKED, 0, 10).rows
    assert [(one.allowed, one.reason) for one in rows] == [(True, ""), (False, "NO_CONSENT")]


def test_the_payload_is_todays_and_so_is_its_fingerprint(engine: Any) -> None:
    world = town(engine, "a@x")
    make_plan(engine, ASKED)
    before = read_people(engine, ASKED, 0, 10).rows[0]
    world.profiles[1].ltv = 2.5
    write_world(engine, world, NOW)
    now = read_people(engine, ASKED, 0, 10).rows[0]
    assert (dict(before.person.fields), dict(now.person.fields)) == (
        {"MAIL": "a@x", "LTV": 10},
        {"MAIL": "a@x", "LTV": 2.5},
    )
    assert isinstance(before.person.fields["LTV"], int) and before.fingerprint != now.fingerprint


def test_a_field_may_be_our_own_id_and_a_mapping_may_be_empty(engine: Any) -> None:
    town(engine, "a@x")
    own = replace(ASKED, fields=(("WHO", "external_id"), ("WHO_ELSE", "external_id")))
    deliver(engine, own)
    assert make_plan(engine, after(own)).unchanged == 1
    none = replace(after(after(own)), fields=())
    assert make_plan(engine, none).to_update == 1
    assert read_people(engine, none, 0, 10).rows[0].person.fields == {}


def test_the_permission_ends_with_the_first_purpose_that_does(engine: Any) -> None:
    world = town(engine, "a@x")
    world.consents |= {(1, "ads"): NOW + 2 * HOUR, (1, "news"): NOW + HOUR}
    write_world(engine, world, NOW)
    both = replace(ASKED, purposes=("ads", "news"))
    make_plan(engine, both)
    assert read_people(engine, both, 0, 10).rows[0].allowed_until == NOW + HOUR
    assert preview_plan(engine, after(both, hours=1)).summary.withheld == {WithheldReason.NO_CONSENT: 1}


def test_reading_goes_on_behind_those_who_have_a_final_outcome(engine: Any) -> None:
    town(engine, "a@x", "b@x", "c@x")
    make_plan(engine, ASKED)
    log(engine, ASKED, read_people(engine, ASKED, 0, 2), Fate.UNKNOWN, a=Fate.REJECTED)
    reading = read_people(engine, ASKED, 0, 2)
    assert ([one.key for one in reading.rows], reading.last) == (["b@x"], 2)
    log(engine, ASKED, reading, Fate.ACCEPTED)
    assert (read_people(engine, ASKED, 0, 2).rows, read_people(engine, ASKED, 0, 2).last) == ([], 2)
    assert [one.key for one in read_people(engine, ASKED, 2, 2).rows] == ["c@x"]
    assert read_people(engine, ASKED, 3, 2).last == 3
    assert [one.key for one in read_people(engine, ASKED, positions=[1, 3]).rows] == ["a@x", "c@x"]


def test_the_refused_are_tried_again_when_their_payload_changes_or_when_asked(engine: Any) -> None:
    world = town(engine, "a@x")
    deliver(engine, ASKED, Fate.REJECTED)
    again = after(ASKED)
    assert make_plan(engine, again).rejected == 1
    assert progress(engine, again.run).rejected == 1
    assert preview_plan(engine, after(again, scope=Scope.RETRY_REJECTED)).summary.to_add == 1
    world.profiles[1].ltv = 11.0
    write_world(engine, world, NOW)
    assert preview_plan(engine, after(again)).summary.to_add == 1


@pytest.mark.parametrize("mode", list(SyncMode))
def test_whoever_may_no_longer_be_sent_is_removed_in_every_mode(engine: Any, mode: SyncMode) -> None:
    town(engine, "a@x", "b@x")
    deliver(engine, ASKED)
    town(engine, "a@x", "b@x", members={1}, denied={2})
    assert preview_plan(engine, after(ASKED, mode=mode)).summary.withdrawn == 1
    assert preview_plan(engine, after(ASKED, mode=mode, scope=Scope.WITHDRAWN)).summary.leavers == 1


def test_each_mode_does_what_its_name_says(engine: Any) -> None:
    town(engine, "a@x", "b@x")
    deliver(engine, ASKED)
    town(engine, "a@x", "b@x", "c@x", members={1, 3})

    def planned(mode: SyncMode) -> tuple[int, ...]:
        found = preview_plan(engine, after(ASKED, mode=mode)).summary
        return found.to_add, found.to_keep, found.unchanged, found.leavers, found.withheld.get(WithheldReason.MODE, 0)

    assert planned(SyncMode.MIRROR) == (1, 0, 1, 1, 0)
    assert planned(SyncMode.ADD_ONLY) == (1, 0, 1, 0, 0)
    assert planned(SyncMode.REMOVE_ONLY) == (0, 0, 1, 1, 1)
    assert planned(SyncMode.REPLACE) == (1, 1, 0, 1, 0)
