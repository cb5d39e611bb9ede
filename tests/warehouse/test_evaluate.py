"""Memberships follow the rule, and remember since when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hub.core.records import Lens
from hub.warehouse import evaluate as memberships
from hub.warehouse.duckdb import open_duckdb
from hub.warehouse.evaluate import Counts, Match
from hub.warehouse.schema import create_or_upgrade
from tests.warehouse.planes import BOTH, open_plane

NOON = datetime(2025, 6, 15, 12)
LATER = NOON + timedelta(days=1)
EVEN = "SELECT pid FROM profiles WHERE pid % 2 = 0"
ALL = "SELECT pid FROM profiles"
NONE = "SELECT pid FROM profiles WHERE FALSE"
OLD = "SELECT pid FROM profiles WHERE first_seen <= (SELECT as_of FROM clock)"


@pytest.fixture(params=BOTH)
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    with open_plane(request.param) as opened:
        with opened.write() as tx:
            for pid in range(10):
                seen = {"pid": pid, "id": f"p{pid}", "at": NOON + timedelta(hours=pid)}
                columns = "pid, external_id, first_seen, changed_at"
                tx.execute(f"INSERT INTO profiles ({columns}) VALUES ($pid, $id, $at, $at)", seen)
        yield opened


def test_who_stays_keeps_the_day_of_entering(engine: Any) -> None:
    assert memberships.evaluate(engine, 1, Lens.LIVE, EVEN, NOON) == Counts(5, 5, 0)
    assert memberships.evaluate(engine, 1, Lens.LIVE, ALL, LATER) == Counts(10, 5, 0)
    assert memberships.entered_at(engine, 1, 2) == NOON
    assert memberships.entered_at(engine, 1, 3) == LATER


def test_who_leaves_and_comes_back_enters_anew(engine: Any) -> None:
    memberships.evaluate(engine, 1, Lens.LIVE, ALL, NOON)
    assert memberships.evaluate(engine, 1, Lens.LIVE, EVEN, NOON) == Counts(5, 0, 5)
    assert memberships.entered_at(engine, 1, 3) is None
    memberships.evaluate(engine, 1, Lens.LIVE, ALL, LATER)
    assert memberships.entered_at(engine, 1, 3) == LATER


def test_evaluating_again_changes_nothing(engine: Any) -> None:
    memberships.evaluate(engine, 1, Lens.LIVE, EVEN, NOON)
    assert memberships.evaluate(engine, 1, Lens.LIVE, EVEN, LATER) == Counts(5, 0, 0)
    assert memberships.evaluate(engine, 1, Lens.LIVE, NONE, LATER) == Counts(0, 0, 5)


def test_where_nobody_enters_or_leaves_nothing_is_written(tmp_path: Path) -> None:
    opened = open_duckdb(tmp_path / "hub.duckdb", threads=1)
    create_or_upgrade(opened)
    with opened.write() as tx:
        tx.execute(
            "INSERT INTO profiles (pid, external_id, first_seen, changed_at) VALUES (2, 'p2', $at, $at)", {"at": NOON}
        )
    memberships.evaluate(opened, 1, Lens.LIVE, EVEN, NOON)
    log = tmp_path / "hub.duckdb.wal"
    before = log.stat().st_size
    assert memberships.evaluate(opened, 1, Lens.LIVE, EVEN, LATER) == Counts(1, 0, 0)
    assert log.stat().st_size == before
    assert memberships.evaluate(opened, 1, Lens.LIVE, NONE, LATER) == Counts(0, 0, 1)
    assert log.stat().st_size > before
    opened.close()


def test_lenses_and_segments_leave_one_another_alone(engine: Any) -> None:
    memberships.evaluate(engine, 1, Lens.LIVE, ALL, NOON)
    memberships.evaluate(engine, 2, Lens.LIVE, EVEN, NOON)
    assert memberships.evaluate(engine, 1, Lens.AS_OF, EVEN, LATER) == Counts(5, 5, 0)
    assert len(memberships.members(engine, 1, Lens.LIVE)) == 10
    memberships.forget(engine, 1)
    assert memberships.members(engine, 1, Lens.LIVE) == memberships.members(engine, 1, Lens.AS_OF) == []
    assert len(memberships.members(engine, 2, Lens.LIVE)) == 5


def test_the_clock_of_the_rule_is_as_of(engine: Any) -> None:
    assert memberships.evaluate(engine, 1, Lens.LIVE, OLD, NOON + timedelta(hours=3)).size == 4


def test_a_rule_may_begin_with_names_of_its_own(engine: Any) -> None:
    named = f"WITH even AS ({EVEN}) SELECT pid FROM even"
    assert memberships.evaluate(engine, 1, Lens.LIVE, named, NOON) == Counts(5, 5, 0)
    assert memberships.evaluate(engine, 1, Lens.LIVE, named, NOON) == Counts(5, 0, 0)
    assert memberships.match(engine, named, NOON, sample=0, segment=1) == Match(5, (), 0, 0)


def test_members_come_in_pages_by_pid(engine: Any) -> None:
    memberships.evaluate(engine, 1, Lens.LIVE, EVEN, NOON)
    first = memberships.members(engine, 1, Lens.LIVE, first=3)
    rest = memberships.members(engine, 1, Lens.LIVE, after=first[-1].pid, first=3)
    assert [member.external_id for member in [*first, *rest]] == ["p0", "p2", "p4", "p6", "p8"]


def test_a_preview_counts_and_writes_nothing(engine: Any) -> None:
    memberships.evaluate(engine, 1, Lens.LIVE, "SELECT pid FROM profiles WHERE pid < 4", NOON)
    assert memberships.match(engine, EVEN, NOON, sample=2) == Match(5, (0, 2))
    assert memberships.match(engine, EVEN, NOON, sample=2, segment=1) == Match(5, (0, 2), 3, 2)
    assert memberships.match(engine, NONE, NOON, sample=2, segment=1) == Match(0, (), 0, 4)
    assert memberships.match(engine, ALL, NOON, sample=0) == Match(10, ())
    assert len(memberships.members(engine, 1, Lens.LIVE)) == 4
