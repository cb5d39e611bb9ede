"""A table of Arrow as the parameters of one SQLite statement, which takes all rows in without asking Python for each:
at half the cost, and other threads run meanwhile.

Every column is one blob of its values end to end, which the statement cuts up again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# Digits of a place in a blob; SQLite takes blobs of up to 1 GB.
DIGITS = 10
NO_LENGTH = -1


@dataclass(frozen=True, slots=True)
class Packed:
    """A query of the rows in order, over their position `i`, and its parameters, written `$1`, `$2` …"""

    columns: tuple[str, ...]
    values: list[Any]

    def selected(self, first: str) -> str:
        """SELECT `first` (an expression of `i`) and the columns."""
        every = "WITH RECURSIVE places(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM places WHERE i + 1 < $1)"
        return f"{every} SELECT {', '.join([first, *self.columns])} FROM places"


def pack(rows: pa.Table) -> Packed:
    """At least one row, of texts, bytes and whole numbers. Any of them may be null."""
    values = Parameters([rows.num_rows])
    return Packed(tuple(_column(values, column.combine_chunks()) for column in rows.columns), values.placed)


@dataclass(slots=True)
class Parameters:
    placed: list[Any] = field(default_factory=list)

    def place(self, value: Any) -> str:
        self.placed.append(value)
        return f"${len(self.placed)}"


def _column(values: Parameters, column: pa.Array) -> str:
    if column.null_count == len(column):
        return "NULL"
    if pa.types.is_binary(column.type):
        return _cut(values, column)
    if pa.types.is_integer(column.type):
        return f"CAST({_cut(values, column.cast(pa.string()))} AS INTEGER)"
    return f"CAST({_cut(values, column)} AS TEXT)"


def _cut(values: Parameters, column: pa.Array) -> str:
    lengths = pc.binary_length(column)
    # SQLite takes an empty blob for NULL when it cuts it.
    data = values.place(_joined(column) + b" ")
    if not column.null_count and (width := pc.min(lengths).as_py()) == pc.max(lengths).as_py():
        wide = values.place(width)
        return f"substr({data}, i * {wide} + 1, {wide})"
    filled = pc.fill_null(lengths, 0).cast(pa.int64())
    starts = pc.add(pc.subtract(pc.cumulative_sum(filled), filled), 1)
    length = f"nullif({_place(values, pc.fill_null(lengths, NO_LENGTH))}, {NO_LENGTH})"
    return f"substr({data}, {_place(values, starts)}, {length})"


def _place(values: Parameters, numbers: pa.Array) -> str:
    return f"CAST({_cut(values, pc.ascii_lpad(numbers.cast(pa.string()), DIGITS))} AS INTEGER)"


def _joined(column: pa.Array) -> bytes:
    data = pc.fill_null(column.cast(pa.binary()), b"")
    joined: bytes = pc.binary_join(pa.ListArray.from_arrays([0, len(data)], data), b"")[0].as_py()
    return joined
