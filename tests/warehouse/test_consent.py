"""The projection says in sets what the pure fold says for one person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hub.core.consent import standings
from hub.core.records import ConsentAction, ConsentEntry
from hub.warehouse import consent
from hub.warehouse.consent import ENTRIES, Position
from tests.searching import search
from tests.warehouse.planes import BOTH, open_plane

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SUBJECTS = [bytes([number]) * 16 for number in range(4)]

days = st.integers(0, 5)
told = st.builds(
    lambda subject, purpose, action, day, recorded, expires: ConsentEntry(
        0,
        subject,
        purpose,
        action,
        "s",
        None,
        START + day * DAY,
        START + recorded * DAY,
        expires and START + expires * DAY,
    ),
    st.sampled_from(SUBJECTS),
    st.sampled_from(["newsletter", "ads"]),
    st.sampled_from(ConsentAction),
    days,
    days,
    st.none() | st.integers(1, 6),
)
ledgers = st.lists(told, max_size=12).map(lambda entries: [replace(one, seq=at + 1) for at, one in enumerate(entries)])
links = st.lists(st.tuples(st.integers(1, 3), st.sampled_from(SUBJECTS), days), max_size=8)


def table(entries: list[ConsentEntry]) -> pa.Table:
    names = ENTRIES.names
    rows = [{name: getattr(one, name) for name in names} for one in entries]
    for row in rows:
        row.update({name: row[name] and row[name].replace(tzinfo=None) for name in names if name.endswith("_at")})
    return pa.Table.from_pylist(rows, ENTRIES)


@pytest.fixture(params=BOTH)
def tx(request: pytest.FixtureRequest) -> Iterator[Any]:
    with open_plane(request.param) as plane, plane.write() as transaction:
        yield transaction


def empty(tx: Any) -> None:
    for name in ("identifiers", "consent", "consent_entries"):
        tx.execute(f"DELETE FROM {name}")
    tx.execute("UPDATE projection SET watermark = 0, generation = 0")


def link(tx: Any, pid: int, subject: bytes, day: int) -> None:
    at = (START + day * DAY).replace(tzinfo=None)
    values = {"pid": pid, "subject": subject, "at": at}
    tx.execute("INSERT INTO identifiers VALUES ($pid, 'email', 'x', $subject, $at, 1)", values)


def expected(ledger: list[ConsentEntry], linked: list[tuple[int, bytes, int]]) -> dict[int, Any]:
    theirs: dict[int, dict[bytes, datetime]] = {}
    for pid, subject, day in sorted(linked, key=lambda one: -one[2]):
        theirs.setdefault(pid, {})[subject] = START + day * DAY
    folded = {pid: standings(ledger, linked_at) for pid, linked_at in theirs.items()}
    return {pid: found for pid, found in folded.items() if found}


@search(30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ledger=ledgers, linked=links, cuts=st.lists(st.integers(0, 12), max_size=2), late=st.integers(0, 8))
def test_the_projection_equals_the_pure_fold_however_it_arrives(tx, ledger, linked, cuts, late):
    empty(tx)
    for pid, subject, day in linked[late:]:
        link(tx, pid, subject, day)
    edges = [0, *sorted(cuts), len(ledger)]
    for begin, end in pairwise(edges):
        consent.apply_entries(tx, table(ledger[begin:end]))
    for pid, subject, day in linked[:late]:
        link(tx, pid, subject, day)
    tx.execute("CREATE TEMP TABLE linked_now AS SELECT DISTINCT pid FROM identifiers")
    consent.refold(tx, "linked_now")
    tx.execute("DROP TABLE linked_now")
    assert consent.states(tx, [1, 2, 3]) == expected(ledger, linked)


@search(10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ledger=ledgers, linked=links)
def test_a_rebuild_from_the_ledger_says_the_same(tx, ledger, linked):
    empty(tx)
    for pid, subject, day in linked:
        link(tx, pid, subject, day)
    consent.apply_entries(tx, table(ledger[: len(ledger) // 2]))
    assert consent.rebuild(tx, table(ledger)) == len(ledger)
    assert consent.states(tx, [1, 2, 3]) == expected(ledger, linked)
    assert consent.watermark(tx) == Position(len(ledger), 1)


GRANT = ConsentEntry(1, SUBJECTS[0], "ads", ConsentAction.GRANT, "s", None, START, START)


def test_taking_in_the_same_stretch_again_changes_nothing(tx):
    link(tx, 1, SUBJECTS[0], 0)
    consent.apply_entries(tx, table([GRANT]))
    consent.apply_entries(tx, table([GRANT, replace(GRANT, seq=2, action=ConsentAction.WITHDRAW)]))
    assert tx.rows("SELECT seq FROM consent_entries ORDER BY seq") == [(1,), (2,)]
    assert consent.watermark(tx) == Position(2, 0)


def test_an_action_nobody_knows_counts_as_a_no(tx):
    link(tx, 1, SUBJECTS[0], 0)
    odd = table([GRANT, replace(GRANT, seq=2)]).set_column(3, "action", pa.array(["GRANT", "grant?"]))
    consent.apply_entries(tx, odd)
    assert tx.rows("SELECT state FROM consent") == [("DENIED",)]


def test_a_new_link_changes_the_generation_and_nothing_else(tx):
    consent.bump_generation(tx)
    assert consent.watermark(tx) == Position(0, 1)


def test_nobody_asked_is_nobody_found(tx):
    assert consent.states(tx, []) == {}


def said(*positions: int) -> pa.Table:
    columns = {
        "position": list(positions),
        "subject": [SUBJECTS[0]] * len(positions),
        "purpose": ["ads"] * len(positions),
    }
    return pa.table(columns)


def test_a_denial_that_a_grant_has_followed_is_found(tx):
    consent.apply_entries(
        tx, table([replace(GRANT, action=ConsentAction.DENY), replace(GRANT, seq=2, effective_at=START + DAY)])
    )
    assert consent.granted_since(tx, said(7)) == [(7, 2)]
    consent.apply_entries(tx, table([replace(GRANT, seq=3, action=ConsentAction.DENY, effective_at=START + 2 * DAY)]))
    assert consent.granted_since(tx, said(7)) == []


def test_a_grant_under_another_identifier_of_the_person_counts_as_following(tx):
    link(tx, 1, SUBJECTS[0], 0)
    link(tx, 1, SUBJECTS[1], 0)
    denial = replace(GRANT, action=ConsentAction.DENY)
    consent.apply_entries(tx, table([denial, replace(GRANT, seq=2, subject=SUBJECTS[1], effective_at=START + DAY)]))
    assert consent.granted_since(tx, said(7, 8)) == [(7, 2), (8, 2)]
