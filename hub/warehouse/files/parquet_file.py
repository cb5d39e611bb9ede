"""Reading Parquet: row groups as text, with what the file's own types say. A row's number stands for its line."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from hub.warehouse.files.block import DAMAGE, Block, Native, Tape, check_names, range_of, unreadable

ROWS = 20_000


def read_parquet(path: Path, tape: Tape) -> Generator[Block, None, None]:
    try:
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            names = [name.strip() for name in file.schema_arrow.names]
            check_names(names)
            row = 1
            for batch in file.iter_batches(ROWS, use_threads=False):
                yield _block(batch, names, row)
                row += batch.num_rows
            if row == 1:
                yield _block(pa.RecordBatch.from_pylist([], file.schema_arrow), names, row)
    except (pa.ArrowException, OSError):
        raise unreadable(
            "The file is not a Parquet file that can be read: it is broken, cut off or encrypted."
        ) from None
    while tape.read(1 << 20):
        pass


def _block(batch: pa.RecordBatch, names: list[str], row: int) -> Block:
    columns = {name: text_of(column) for name, column in zip(names, batch.columns, strict=True)}
    native = {name: frozenset({native_of(column.type)}) for name, column in zip(names, batch.columns, strict=True)}
    nested = {
        name: column.is_valid()
        for name, column in zip(names, batch.columns, strict=True)
        if pa.types.is_nested(column.type)
    }
    return Block(range_of(row, batch.num_rows), columns, native, nested=nested)


def native_of(kind: pa.DataType) -> Native:
    if pa.types.is_dictionary(kind):
        return native_of(kind.value_type)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Native.NUMBER
    if pa.types.is_boolean(kind):
        return Native.BOOLEAN
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return Native.LIST
    return Native.TEXT


def text_of(column: pa.Array) -> pa.Array:
    """The column as text, null as the empty text."""
    if pa.types.is_nested(column.type):
        return pa.array([_json(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type) and column.type.tz:
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return pa.array([_decoded(value) for value in column.to_pylist()], pa.string())
    return pc.fill_null(column.cast(pa.string()), "")


def _decoded(value: bytes | None) -> str:
    try:
        return (value or b"").decode()
    except UnicodeDecodeError:
        return DAMAGE


def _json(value: object) -> str:
    return "" if value is None else orjson.dumps(value, default=str).decode()
