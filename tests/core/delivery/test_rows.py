"""Rows of a plan, single and in stretches: the same people either way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hub.core.delivery.rows import (
    Row,
    Rows,
    Stretch,
    Unanswered,
    Waiting,
    addressed,
    all_may_go,
    keys_of,
    ops_of,
    planned,
    renewed,
)
from hub.core.planning import Op, PlannedPerson, Reading
from hub.sdk.contract import Person


def reading(*positions: int, fingerprint: str = "f") -> Reading:
    count = len(positions)
    people = [Person(f"p{n}", f"k{n}") for n in positions]
    ops = [Op.REMOVE if n % 5 == 0 else Op.ADD for n in positions]
    columns = (positions, positions, ops, people, [fingerprint] * count, [True] * count, [None] * count, [""] * count)
    return Reading((1, 1), max(positions), *columns)


def stretch(*positions: int, fingerprint: str = "f") -> Stretch:
    return Stretch(reading(*positions, fingerprint=fingerprint), 0, len(positions))


def taken(*parts: Rows, batch: int) -> list[Rows]:
    waiting = Waiting()
    for part in parts:
        waiting.add(part)
    return [waiting.take(batch) for _ in range(-(-sum(map(len, parts)) // batch))]


def test_a_stretch_is_the_rows_that_were_read() -> None:
    part = stretch(1, 2, 3, 5)[1:]
    assert tuple(part) == (
        Row(2, 2, "k2", Op.ADD, "f"),
        Row(3, 3, "k3", Op.ADD, "f"),
        Row(5, 5, "k5", Op.REMOVE, "f"),
    )
    assert (part[-1], len(part), len(part[:2])) == (Row(5, 5, "k5", Op.REMOVE, "f"), 3, 2)
    assert keys_of(part) == keys_of(tuple(part)) == {"k2", "k3", "k5"}
    assert ops_of(part) == ops_of(tuple(part)) == {Op.ADD: 2, Op.REMOVE: 1}
    assert ops_of(part[:2]) == {Op.ADD: 2} and ops_of(part[2:]) == {Op.REMOVE: 1} and ops_of(()) == {}


def test_a_batch_within_one_reading_stays_a_stretch_and_one_across_two_is_made_of_rows() -> None:
    first, across, last = taken(stretch(1, 2, 3), stretch(4, 6, 7), batch=2)
    assert isinstance(first, Stretch) and isinstance(last, Stretch)
    assert [row.position for rows in (first, across, last) for row in rows] == [1, 2, 3, 4, 6, 7]


def test_whoever_has_gone_meanwhile_is_left_with_the_key_alone() -> None:
    rows = renewed(stretch(1, 2), reading(2, fingerprint="new"))
    assert [row.fingerprint for row in rows] == ["", "new"]
    gone = planned(rows[0], reading(2))
    assert gone == PlannedPerson(1, 1, Op.ADD, Person("k1", "k1"), "", False, None)
    assert planned(Row(5, 5, "k5", Op.REMOVE), reading(2)).allowed


def test_what_was_read_anew_keeps_what_went_unanswered() -> None:
    doubted = (Row(1, 1, "k1", Op.ADD, "old", Unanswered(1, "old")),)
    assert renewed(doubted, reading(1, fingerprint="new")) == (Row(1, 1, "k1", Op.ADD, "new", Unanswered(1, "old")),)
    assert isinstance(renewed(stretch(1, 2), reading(1, 2)), Stretch)


def test_a_reading_that_ends_with_a_batch_leaves_the_next_one_a_stretch() -> None:
    assert all(isinstance(rows, Stretch) for rows in taken(stretch(1, 2), stretch(3, 4), batch=2))


def test_all_may_go_where_each_is_allowed_for_good_whatever_becomes_of_the_neighbours() -> None:
    read, soon = reading(1, 2, 3, 4), datetime(2026, 1, 1, tzinfo=UTC)
    middle = Stretch(read, 1, 3)
    assert all_may_go(middle)
    assert all_may_go(replace(middle, reading=replace(read, allowed=[False, True, True, False])))
    assert all_may_go(replace(middle, reading=replace(read, until=[soon, None, None, soon])))
    assert not all_may_go(replace(middle, reading=replace(read, allowed=[True, True, False, True])))
    assert not all_may_go(replace(middle, reading=replace(read, until=[None, soon, None, None])))


def test_those_who_are_addressed_are_those_of_the_batch_with_what_is_to_be_done() -> None:
    read = reading(1, 4, 5, 6)
    part = Stretch(read, 1, 3)
    assert addressed(part, read) == ([Person("p4", "k4")], [Person("p5", "k5")])
    assert addressed(tuple(part), read) == addressed(part, read)
    assert addressed(part[:1], read) == ([Person("p4", "k4")], [])
    assert addressed(part[1:], read) == ([], [Person("p5", "k5")])
