"""The people of a plan as the delivery machine handles them: single rows, and stretches of neighbours read together.

People go through a run by the million and almost all alike, so what holds for a whole stretch is said once; a row of
its own is made only where something sets one person apart.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

from hub.core.planning import Op, PlannedPerson, Reading
from hub.sdk.contract import Person


class Unanswered(NamedTuple):
    """An attempt of this process that may have reached the vendor, with this payload, and got no answer."""

    attempt: int
    fingerprint: str


class Row(NamedTuple):
    """One person of the plan, without the payload: only its fingerprint, as of the last gate.

    `key` is the vendor's and occurs once in a plan. `unanswered` is the last attempt that was.
    """

    position: int
    pid: int
    key: str
    op: Op
    fingerprint: str = ""
    unanswered: Unanswered | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Stretch(Sequence[Row]):
    """Rows `start` to `stop` of a reading. Nothing in it has gone unanswered."""

    reading: Reading
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[Row]:
        return (self._row(at) for at in range(self.start, self.stop))

    @overload
    def __getitem__(self, which: int) -> Row: ...
    @overload
    def __getitem__(self, which: slice) -> Stretch: ...
    def __getitem__(self, which: int | slice) -> Row | Stretch:
        found = range(self.start, self.stop)[which]
        return self._row(found) if isinstance(found, int) else Stretch(self.reading, found.start, found.stop)

    def _row(self, at: int) -> Row:
        read = self.reading
        return Row(read.positions[at], read.pids[at], read.people[at].key, read.ops[at], read.fingerprints[at])


Rows = tuple[Row, ...] | Stretch


class Waiting:
    """Rows in line, as they came in: a batch is cut from one stretch wherever it can be."""

    def __init__(self) -> None:
        self._parts: deque[Rows] = deque()

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    def add(self, rows: Rows) -> None:
        if rows:
            self._parts.append(rows)

    def take(self, most: int) -> Rows:
        """At most so many from the front; there must be somebody."""
        rows = self._cut(most)
        while len(rows) < most and self._parts:
            rows = (*rows, *self._cut(most - len(rows)))
        return rows

    def _cut(self, most: int) -> Rows:
        part = self._parts.popleft()
        if len(part) > most:
            self._parts.appendleft(part[most:])
        return part[:most]


def keys_of(rows: Rows) -> frozenset[str]:
    people = rows.reading.people[rows.start : rows.stop] if isinstance(rows, Stretch) else rows
    return frozenset([one.key for one in people])


def renewed(rows: Rows, reading: Reading) -> Rows:
    """The rows with their payloads of this reading: `""` for whoever is no longer in the data plane."""
    if isinstance(rows, Stretch) and list(reading.positions) == list(rows.reading.positions[rows.start : rows.stop]):
        return Stretch(reading, 0, len(reading))
    return tuple(row._replace(fingerprint=planned(row, reading).fingerprint) for row in rows)


def planned(row: Row, reading: Reading) -> PlannedPerson:
    """The person as read; of one who is no longer in the data plane there is only the key, and that only to remove."""
    at = reading.find(row.position)
    if at is None:
        return PlannedPerson(row.position, row.pid, row.op, Person(row.key, row.key), "", row.op is Op.REMOVE, None)
    return reading[at]


def all_may_go(rows: Stretch) -> bool:
    """Whether everybody here may be sent, and for good, as almost always."""
    among = slice(rows.start, rows.stop)
    return all(rows.reading.allowed[among]) and not any(rows.reading.until[among])


def addressed(rows: Rows, reading: Reading) -> tuple[list[Person], list[Person]]:
    """The people to speak about: whom to add or update, and whom to remove."""
    if not isinstance(rows, Stretch):
        people = [(planned(row, reading).person, row.op) for row in rows]
    elif Op.REMOVE not in reading.ops[rows.start : rows.stop]:
        return list(reading.people[rows.start : rows.stop]), []
    else:
        among = slice(rows.start, rows.stop)
        people = list(zip(reading.people[among], reading.ops[among], strict=True))
    return [one for one, op in people if op.adds], [one for one, op in people if not op.adds]


def apart(rows: Rows) -> list[Rows]:
    """Those to add and those to remove; the rows as they are where there is only one kind."""
    if len({op.adds for op in ops_of(rows)}) < 2:
        return [rows]
    return [tuple(row for row in rows if row.op.adds), tuple(row for row in rows if not row.op.adds)]


def ops_of(rows: Rows) -> Mapping[Op, int]:
    """How many rows there are of each kind."""
    ops = rows.reading.ops[rows.start : rows.stop] if isinstance(rows, Stretch) else [row.op for row in rows]
    # Almost always one kind, and that is seen at a glance.
    return {ops[0]: len(ops)} if ops and ops.count(ops[0]) == len(ops) else Counter(ops)
