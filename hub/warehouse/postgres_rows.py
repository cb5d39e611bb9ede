"""How rows go into PostgreSQL and come out of it: as CSV, which Arrow writes and COPY reads, a few as parameters, and
column by column as Arrow."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv
from psycopg.sql import SQL, Composed, Identifier

PLAIN_CSV = pyarrow.csv.WriteOptions(include_header=False)
ARROW = {
    16: pa.bool_(),
    17: pa.binary(),
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    25: pa.string(),
    701: pa.float64(),
    1043: pa.string(),
    1114: pa.timestamp("us"),
}
BYTES = (pa.binary(), pa.binary(16))
SQL_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.binary(): "BYTEA",
    pa.binary(16): "BYTEA",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.string(): "VARCHAR",
    pa.float64(): "DOUBLE PRECISION",
    pa.timestamp("us"): "TIMESTAMP",
    pa.null(): "VARCHAR",
}


def arrow(cursor: psycopg.Cursor[Any]) -> pa.Table:
    described = cursor.description or []
    columns = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(described)
    arrays = [pa.array(column, ARROW.get(one.type_code)) for one, column in zip(described, columns, strict=True)]
    return pa.Table.from_arrays(arrays, [one.name for one in described])


def batches(cursor: Any, rows: int) -> Iterator[pa.RecordBatch]:
    names = [(one.name, ARROW.get(one.type_code)) for one in cursor.description]
    while found := cursor.fetchmany(rows):
        arrays = [pa.array(column, kind) for column, (_, kind) in zip(zip(*found, strict=True), names, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, [name for name, _ in names])


def insert_few(table: str, rows: pa.Table) -> tuple[Composed, list[Any]]:
    """The statement and its values, row after row."""
    line = SQL("({})").format(SQL(", ").join([SQL("%s")] * rows.num_columns))
    names = SQL(", ").join(map(Identifier, rows.column_names))
    into = SQL("INSERT INTO {} ({}) VALUES {}").format(Identifier(table), names, SQL(", ").join([line] * rows.num_rows))
    columns = map(pa.ChunkedArray.to_pylist, rows.columns)
    return into, [value for row in zip(*columns, strict=True) for value in row]


def copy_into(table: str, columns: Sequence[str]) -> Composed:
    names = SQL(", ").join(map(Identifier, columns))
    return SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(Identifier(table), names)


def csv(batch: pa.RecordBatch) -> bytes:
    """Text is quoted and a missing value is not, which is how COPY tells them apart."""
    written = io.BytesIO()
    arrays = [_in_hex(column) if column.type in BYTES else column for column in batch.columns]
    pyarrow.csv.write_csv(pa.RecordBatch.from_arrays(arrays, batch.schema.names), written, PLAIN_CSV)
    return written.getvalue()


def _in_hex(column: pa.Array) -> pa.Array:
    return pa.array([None if value is None else "\\x" + value.hex() for value in column.to_pylist()], pa.string())
