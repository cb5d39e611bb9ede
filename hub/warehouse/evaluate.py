"""Who is in a segment now: runs a compiled rule and keeps the memberships, as set operations.

`as_of` is naive, in UTC. A membership belongs to a lens: the live one, or the one that `asOf` evaluations keep for
themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.again import tried_again
from hub.core.records import Lens
from hub.core.rules.judge import Event, Person
from hub.core.rules.tree import Column
from hub.warehouse.engine import Engine, Reader, Transaction

DDL = (
    "CREATE TABLE memberships (segment BIGINT NOT NULL, lens VARCHAR NOT NULL, pid BIGINT NOT NULL, "
    "entered_at TIMESTAMP NOT NULL)",
)
CLOCK = "WITH clock AS (SELECT CAST($as_of AS TIMESTAMP) AS as_of)"


@dataclass(frozen=True, slots=True)
class Counts:
    """`entered` and `left` are against the evaluation before this one, under the same lens."""

    size: int
    entered: int
    left: int


@dataclass(frozen=True, slots=True)
class Match:
    """What a rule would match; `entering` and `leaving` are None unless a segment was compared with."""

    size: int
    sample: tuple[int, ...]
    entering: int | None = None
    leaving: int | None = None


@dataclass(frozen=True, slots=True)
class Member:
    pid: int
    external_id: str
    entered_at: datetime


@tried_again
def evaluate(engine: Engine, segment: int, lens: Lens, sql: str, as_of: datetime) -> Counts:
    """Make the membership equal to what the rule's SQL selects; those who stay keep their `entered_at`."""
    with engine.write() as tx:
        return evaluate_in(tx, segment, lens, sql, as_of)


def evaluate_in(tx: Transaction, segment: int, lens: Lens, sql: str, as_of: datetime) -> Counts:
    """As `evaluate`, inside a transaction that others share."""
    of = {"segment": segment, "lens": lens.value}
    held = int(tx.rows(f"SELECT count(*) FROM ({_HELD}) AS held", of)[0][0])
    if not held:
        matched = f"({CLOCK} SELECT pid FROM ({sql}) AS rule) AS matched"
        entered = tx.execute(f"{_ENTER} FROM {matched} ORDER BY pid", {**of, "as_of": as_of})
        return Counts(entered, entered, 0)
    entered, left = _changed(tx, of, sql, as_of)
    return Counts(held + entered - left, entered, left)


def _changed(tx: Transaction, of: dict[str, Any], sql: str, as_of: datetime) -> tuple[int, int]:
    """How many entered and left. Where nobody did, as most of the time, the memberships are only read."""
    entered = left = 0
    if tx.execute(f"CREATE TEMP TABLE differing AS {_side_by_side(sql)} {_DIFFERING}", {**of, "as_of": as_of}):
        left = tx.execute(_LEAVE, of)
        entered = tx.execute(f"{_ENTER} FROM differing WHERE entering ORDER BY pid", {**of, "as_of": as_of})
    tx.execute("DROP TABLE differing")
    return entered, left


def _side_by_side(sql: str) -> str:
    """Who the rule's SQL selects, and who is held to be a member."""
    return f"{CLOCK}, matched AS (SELECT pid FROM ({sql}) AS rule), held AS ({_HELD})"


_HELD = "SELECT pid FROM memberships WHERE segment = CAST($segment AS BIGINT) AND lens = $lens"
_ENTER = (
    "INSERT INTO memberships (segment, lens, pid, entered_at) "
    "SELECT CAST($segment AS BIGINT), CAST($lens AS VARCHAR), pid, CAST($as_of AS TIMESTAMP)"
)
_LEAVE = (
    "DELETE FROM memberships WHERE segment = $segment AND lens = $lens "
    "AND pid IN (SELECT pid FROM differing WHERE NOT entering)"
)
_DIFFERING = (
    "SELECT coalesce(m.pid, h.pid) AS pid, h.pid IS NULL AS entering "
    "FROM matched AS m FULL JOIN held AS h ON h.pid = m.pid WHERE m.pid IS NULL OR h.pid IS NULL"
)


@tried_again
def forget(engine: Engine, segment: int) -> None:
    """Drop every membership of a segment that is deleted, under all lenses."""
    with engine.write() as tx:
        tx.execute("DELETE FROM memberships WHERE segment = $segment", {"segment": segment})


def match(reader: Reader, sql: str, as_of: datetime, sample: int, segment: int | None = None) -> Match:
    """Count what the rule's SQL selects, with a sample in the order of `pid`, and compare with that segment's live
    members. Writes nothing."""
    of = {"as_of": as_of, "sample": sample, "segment": segment, "lens": Lens.LIVE.value}
    rows = reader.rows(_side_by_side(sql) + _COMPARED, of)
    size, entering, leaving, _ = rows[0]
    people = tuple(pid for *_, pid in rows if pid is not None)
    return Match(size, people) if segment is None else Match(size, people, entering, leaving)


_COMPARED = """,
sums AS (
  SELECT count(m.pid) AS size, count(*) FILTER (WHERE h.pid IS NULL) AS entering,
    count(*) FILTER (WHERE m.pid IS NULL) AS leaving
  FROM matched AS m FULL JOIN held AS h ON h.pid = m.pid)
SELECT sums.size, sums.entering, sums.leaving, sampled.pid
FROM sums LEFT JOIN (SELECT pid FROM matched ORDER BY pid LIMIT $sample) AS sampled ON TRUE ORDER BY sampled.pid
"""


def members(reader: Reader, segment: int, lens: Lens, after: int = -1, first: int = 1_000) -> list[Member]:
    """A page of members by `pid`, those after the last one of the page before."""
    rows = reader.rows(
        "SELECT m.pid, p.external_id, m.entered_at FROM memberships AS m JOIN profiles AS p ON p.pid = m.pid "
        "WHERE m.segment = $segment AND m.lens = $lens AND m.pid > $after ORDER BY m.pid LIMIT $first",
        {"segment": segment, "lens": lens.value, "after": after, "first": first},
    )
    return [Member(*row) for row in rows]


def entered_at(reader: Reader, segment: int, pid: int) -> datetime | None:
    """Since when the person is a live member; None for who is not."""
    rows = reader.rows(
        "SELECT entered_at FROM memberships WHERE segment = $segment AND lens = $lens AND pid = $pid",
        {"segment": segment, "lens": Lens.LIVE.value, "pid": pid},
    )
    return rows[0][0] if rows else None


def person(reader: Reader, external_id: str, columns: Sequence[Column], as_of: datetime) -> tuple[int, Person] | None:
    """The person's pid with the traits and events in the columns that a rule names; None if nobody has that id."""
    traits = _columns(columns, of_event=False)
    chosen = "".join(f', "{physical}"' for physical, _ in traits)
    found = reader.rows(
        f"SELECT pid{chosen} FROM profiles WHERE external_id = $external_id", {"external_id": external_id}
    )
    if not found:
        return None
    pid, *values = found[0]
    known = {name: value for (_, name), value in zip(traits, values, strict=True) if value is not None}
    return pid, Person(known, _events(reader, pid, _columns(columns, of_event=True), as_of))


def _events(reader: Reader, pid: int, properties: Sequence[tuple[str, str]], as_of: datetime) -> list[Event]:
    chosen = "".join(f', "{physical}"' for physical, _ in properties)
    rows = reader.rows(
        f"SELECT name, ts{chosen} FROM events WHERE pid = $pid AND ts <= $as_of ORDER BY ts",
        {"pid": pid, "as_of": as_of},
    )
    names = [name for _, name in properties]
    pairs = ((row, zip(names, row[2:], strict=True)) for row in rows)
    return [Event(row[0], row[1], {name: value for name, value in pair if value is not None}) for row, pair in pairs]


def _columns(columns: Sequence[Column], *, of_event: bool) -> list[tuple[str, str]]:
    """Physical column and name, each column once."""
    wanted = {column.column: column.name for column in columns if column.of_event is of_event and column.column}
    return sorted(wanted.items())
