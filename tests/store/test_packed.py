"""Rows as the parameters of one statement come out as they went in."""

from __future__ import annotations

import sqlite3
from typing import Any

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from hub.store.packed import pack
from tests.searching import search

KINDS = pa.schema([("number", pa.int64()), ("text", pa.string()), ("data", pa.binary())])

Row = tuple[int | None, str | None, bytes | None]
rows_drawn = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.text(st.characters(exclude_categories=("Cs",)), max_size=5),
        st.none() | st.binary(max_size=4),
    ),
    min_size=1,
    max_size=6,
)


def read_by_sqlite(rows: pa.Table, first: int) -> list[tuple[Any, ...]]:
    packed = pack(rows)
    number = len(packed.values) + 1
    with sqlite3.connect(":memory:") as connection:
        sql = packed.selected(f"${number} + i").replace("$", "?")
        return connection.execute(sql, [*packed.values, first]).fetchall()


@search(60)
@given(rows_drawn, st.integers(0, 1))
@example([(1, "", b"")], 0)
@example([(1, "", b""), (-22, "ä", b"\x00")], 1)
@example([(None, None, None)], 0)
def test_rows_come_out_as_they_went_in(rows: list[Row], skipped: int) -> None:
    columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), KINDS.types, strict=True)]
    table = pa.concat_tables([pa.table(columns, schema=KINDS)] * 2).slice(skipped)
    expected = [(7 + at, *row) for at, row in enumerate([*rows, *rows][skipped:])]
    assert read_by_sqlite(table, 7) == expected
