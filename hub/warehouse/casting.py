"""Numbers and instants told by their looks: whole columns of text that become typed ones while a file is still read.

What is cast here is what `values` reads from text, to the same value. A column is what its first rows say it is; should
a later row say otherwise, `SurpriseError` is raised, and the file is read again as text and judged there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from hub.core.imports import Shape
from hub.core.instants import microseconds
from hub.core.records import TraitType
from hub.warehouse.files.block import Native
from hub.warehouse.inference import guesses

# A part of what `values.FIGURES` takes: nothing here is infinite, and fifteen digits are kept by a double.
PLAIN_NUMBER = r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?$"
# Arrow also reads an hour without minutes: 2025-01-31T12, or 2025-01-31T12+02:00 with an offset.
LONE_HOUR = 13
SHORTEST_ZONED = 20
# Arrow goes through a whole column before it says that it cannot cast it.
GLANCE = 50
# In microseconds since 1970, since Arrow's instants reach further than Python's.
YEARS = (microseconds(datetime(1001, 1, 1, tzinfo=UTC)), microseconds(datetime(2999, 1, 1, tzinfo=UTC)))


class SurpriseError(Exception):
    """A value is not what the first rows of its column promised."""


@dataclass(slots=True)
class Casting:
    """Turns the columns of block after block into what the first block shows them to be: `kinds`. Where that is said to
    be nothing at all, they stay text."""

    shape: Shape
    kinds: dict[str, TraitType] | None = None

    def cast(self, columns: Mapping[str, pa.Array], native: Mapping[str, frozenset[Native]]) -> dict[str, pa.Array]:
        """The same columns, typed where `kinds` says so. Raises SurpriseError."""
        if self.kinds is None:
            found = {
                name: self._first_look(name, column, native.get(name, frozenset())) for name, column in columns.items()
            }
            self.kinds = {name: kind for name, (kind, _) in found.items() if kind is not TraitType.TEXT}
            return {name: column for name, (_, column) in found.items()}
        return {**columns, **{name: _surely(kind, columns.get(name)) for name, kind in self.kinds.items()}}

    def _first_look(self, name: str, column: pa.Array, native: Collection[Native]) -> tuple[TraitType, pa.Array]:
        possible = () if _says_nothing(column) else self.shape.possible(name)
        glance = column.slice(0, GLANCE)
        for kind in set(CASTS).intersection(possible, guesses(native)):
            promising = _says_nothing(glance) or CASTS[kind](glance) is not None
            if promising and (typed := CASTS[kind](column)) is not None:
                return kind, typed
        return TraitType.TEXT, column


def _surely(kind: TraitType, column: pa.Array | None) -> pa.Array:
    if column is not None and _says_nothing(column):
        return pa.nulls(len(column), STORED[kind])
    if column is None or (typed := CASTS[kind](column)) is None:
        raise SurpriseError
    return typed


def _says_nothing(column: pa.Array) -> bool:
    return not column.null_count and bool(pc.all(pc.equal(column, ""), min_count=0).as_py())


def as_numbers(column: pa.Array) -> pa.Array | None:
    """The text column as doubles, null where it is empty; None unless every row is empty or plainly a number."""
    filled = _filled(column)
    plain = not column.null_count and pc.all(pc.match_substring_regex(filled, PLAIN_NUMBER)).as_py()
    return filled.cast(pa.float64()) if plain else None


def as_instants(column: pa.Array) -> pa.Array | None:
    """The text column as UTC-naive microseconds, null where it is empty; None unless every row is empty or plainly an
    instant, all with an offset or all without."""
    filled = _filled(column)
    lengths = pc.unique(pc.binary_length(filled))
    if column.null_count or pc.any(pc.equal(lengths, LONE_HOUR)).as_py():
        return None
    found = _parsed(filled, pa.timestamp("us"))
    if found is None and pc.min(lengths).as_py() >= SHORTEST_ZONED:
        found = _parsed(filled, pa.timestamp("us", "UTC"))
    return found


def _filled(column: pa.Array) -> pa.Array:
    """The column with null for empty."""
    blank = pc.equal(column, "")
    return pc.if_else(blank, None, column) if pc.any(blank).as_py() else column


def _parsed(texts: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        instants = texts.cast(kind).cast(STORED[TraitType.DATETIME])
    except pa.ArrowInvalid:
        return None
    span = pc.min_max(instants.cast(pa.int64())).as_py()
    return instants if YEARS[0] <= span["min"] and span["max"] < YEARS[1] else None


STORED: Mapping[TraitType, pa.DataType] = {TraitType.NUMBER: pa.float64(), TraitType.DATETIME: pa.timestamp("us")}
CASTS: Mapping[TraitType, Callable[[pa.Array], pa.Array | None]] = {
    TraitType.NUMBER: as_numbers,
    TraitType.DATETIME: as_instants,
}
