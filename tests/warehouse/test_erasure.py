"""Letting go of a person: nothing of them stays, nothing of anybody else changes, and nothing under way is broken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core.planning import Fate, PlanRequest
from hub.core.scopes import Scope
from hub.warehouse.erasure import forget_deliveries, forget_person, is_known, keys, trace
from hub.warehouse.outcomes import progress
from hub.warehouse.payload import read_people
from hub.warehouse.plan import KEPT_RUNS, make_plan, plan_summary
from hub.warehouse.settle import settle
from tests.searching import LONGER
from tests.warehouse.planes import open_plane
from tests.warehouse.town import ASKED, NOW, after, deliver, log, states, town


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    with open_plane(request.param) as plane:
        yield plane


def name_of(engine: Any, pid: int) -> str:
    return str(engine.rows("SELECT external_id FROM profiles WHERE pid = $pid", {"pid": pid})[0][0])


def rows_about(engine: Any, external_id: str, pid: int, *, others: bool = False) -> dict[str, list[Any]]:
    """What every table says of the person; or of everybody else."""
    told = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
    tables: dict[str, set[str]] = {}
    for table, column in engine.rows(told):
        tables.setdefault(table, set()).add(column)
    found = {}
    for table, columns in sorted(tables.items()):
        about = [f"{column} = $it" for column in ("pid",) if column in columns]
        if about:
            sign = "<>" if others else "="
            found[table] = sorted(
                map(repr, engine.rows(f'SELECT * FROM "{table}" WHERE pid {sign} $pid', {"pid": pid}))
            )
        if "external_id" in columns and not others:
            count = engine.rows(f'SELECT * FROM "{table}" WHERE external_id = $id', {"id": external_id})
            found[table] = found.get(table, []) + count
    return {table: rows for table, rows in found.items() if rows}


def test_nothing_of_somebody_who_was_sent_and_erased_stays(engine: Any) -> None:
    town(engine, "a@x", "b@x")
    deliver(engine, ASKED)
    who = name_of(engine, 1)
    seen = trace(engine, who, [1])
    assert (seen.there, seen.landing, seen.adding, seen.naming) == (True, None, (), ())
    assert not forget_person(engine, who, [1], NOW), "they are still there"
    others = rows_about(engine, who, 1, others=True)
    forget_deliveries(engine, who, [1])
    assert forget_person(engine, who, [1], NOW)
    assert rows_about(engine, who, 1) == {} and not is_known(engine, who)
    assert rows_about(engine, who, 1, others=True) == others
    assert states(engine) == {"b@x": "present"}


def test_every_key_they_were_sent_under_or_have_is_known(engine: Any) -> None:
    town(engine, "a@x", "b@x")
    deliver(engine, ASKED)
    with engine.write() as tx:
        tx.execute("UPDATE identifiers SET value = 'new@x' WHERE pid = 1 AND kind = 'email'")
    assert keys(engine, name_of(engine, 1), [1], ASKED) == ["a@x", "new@x"]
    assert keys(engine, name_of(engine, 1), [], ASKED) == ["new@x"]


def test_what_a_run_under_way_may_have_added_is_waited_for(engine: Any) -> None:
    town(engine, "a@x", "b@x")
    make_plan(engine, ASKED)
    who = name_of(engine, 1)
    assert trace(engine, who, [1]).adding == (1,)
    assert not forget_person(engine, who, [1], NOW)
    log(engine, ASKED, read_people(engine, ASKED, 0, 1000), Fate.UNKNOWN)
    settle(engine, ASKED, now=NOW, in_flight_s=900)
    seen = trace(engine, who, [1])
    assert seen.there and seen.landing and not seen.quiet(NOW)
    assert seen.quiet(seen.landing)


def test_a_run_that_withholds_them_neither_waits_nor_miscounts(engine: Any) -> None:
    town(engine, "a@x", "b@x", denied={1})
    make_plan(engine, ASKED)
    who, before = name_of(engine, 1), plan_summary(engine, 1)
    assert forget_person(engine, who, [1], NOW)
    assert rows_about(engine, who, 1) == {}
    assert plan_summary(engine, 1) == before
    log(engine, ASKED, read_people(engine, ASKED, 0, 1000), Fate.ACCEPTED)
    counts = settle(engine, ASKED, now=NOW, in_flight_s=900)
    assert (counts.members, counts.added, counts.withheld) == (2, 1, 1) and counts.balanced


def test_a_remove_under_way_is_settled_first_and_then_leaves_nothing(engine: Any) -> None:
    town(engine, "a@x", "b@x")
    deliver(engine, ASKED)
    who, emptying = name_of(engine, 1), after(ASKED, scope=Scope.EMPTY)
    make_plan(engine, emptying)
    seen = trace(engine, who, [1])
    assert (seen.adding, seen.naming) == ((), (2,))
    forget_deliveries(engine, who, [1])
    assert not forget_person(engine, who, [1], NOW)
    log(engine, emptying, read_people(engine, emptying, 0, 1000), Fate.ACCEPTED)
    settle(engine, emptying, now=NOW, in_flight_s=900)
    assert forget_person(engine, who, [1], NOW)
    assert rows_about(engine, who, 1) == {}


FATES = st.sampled_from([Fate.ACCEPTED, Fate.REJECTED, Fate.SUPPRESSED, Fate.UNKNOWN, Fate.RETRY])
SCOPES = st.sampled_from([Scope.ALL, Scope.FULL, Scope.RETRY_REJECTED, Scope.EMPTY])


@settings(max_examples=12 * LONGER)
@given(st.lists(st.tuples(SCOPES, FATES), max_size=4), st.integers(1, 3))
def test_whatever_has_happened_everybody_can_be_let_go_of_without_a_trace(
    story: list[tuple[Scope, Fate]], pid: int
) -> None:
    with open_plane("duckdb") as plane:
        town(plane, "a@x", "b@x", "a@x", denied={2})
        request: PlanRequest = ASKED
        for scope, fate in story:
            deliver(plane, request, fate) if request is ASKED else None
            request = after(request, hours=1, scope=scope)
            deliver(plane, request, fate)
        who, others = name_of(plane, pid), rows_about(plane, "", pid, others=True)
        seen = trace(plane, who, [1])
        late = seen.landing or request.now
        forget_deliveries(plane, who, [1])
        assert forget_person(plane, who, [1], late)
        assert rows_about(plane, who, pid) == {}
        assert rows_about(plane, "", pid, others=True) == others
        # Of older runs there is no whole plan any more.
        for run in range(max(1, request.run - KEPT_RUNS + 1), request.run + 1):
            assert progress(plane, run).balanced
