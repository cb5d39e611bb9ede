"""Reading NDJSON: one JSON object a line, its keys the columns, parsed by a DuckDB of its own a block at a time."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from hub.core.imports import Rejection
from hub.warehouse.files.block import BLOCK_BYTES, DAMAGE, Block, Native, Tape, check_names, range_of, unreadable

LONGEST_LINE = 16 << 20
# After an even number of backslashes: after an odd one it is a backslash that is escaped, and no NUL.
ESCAPED_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")

NATIVE = {
    '"': Native.TEXT,
    "t": Native.BOOLEAN,
    "f": Native.BOOLEAN,
    "[": Native.LIST,
    "{": Native.OTHER,
}

NESTED = frozenset({Native.LIST, Native.OTHER})

# `json_type` fails on text that is not JSON, and only CASE keeps it from being asked.
IS_OBJECT = "CASE WHEN json_valid(text) THEN json_type(text) = 'OBJECT' ELSE FALSE END"

OBJECTS = f"CREATE OR REPLACE TEMP TABLE objects AS SELECT line, text FROM arriving WHERE {IS_OBJECT}"

KEYS = "SELECT DISTINCT unnest(json_keys(text)) FROM objects"

REFUSED = f"SELECT line, json_valid(text) FROM arriving WHERE trim(text) <> '' AND NOT {IS_OBJECT} ORDER BY line"

# Absent is NULL; null is the empty text; a string is what it says; anything else is its JSON.
VALUE = """
CASE WHEN {raw} = 'null' THEN '' WHEN NOT starts_with({raw}, '"') THEN {raw}
WHEN contains({raw}, '\\') THEN json_extract_string({raw}, '$') ELSE substr({raw}, 2, length({raw}) - 2) END"""


def read_ndjson(path: Path, tape: Tape) -> Generator[Block, None, None]:
    _check_encoding(path)
    with duckdb.connect(config={"enable_external_access": "false", "autoload_known_extensions": "false"}) as parser:
        line, objects = 1, 0
        for texts in _texts(tape):
            parser.register("arriving", pa.table({"line": range_of(line, len(texts)), "text": texts}))
            line += len(texts)
            block = _block(parser)
            objects += len(block.line)
            yield block
    if not objects:
        raise unreadable("No line of the file is a JSON object: the file must hold one JSON object a line.")


def _check_encoding(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(4096)
    if not head.strip():
        raise unreadable("The file is empty.")
    if b"\0" in head or head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise unreadable("The file is not UTF-8 text; it looks like UTF-16 or binary data. Save it as UTF-8.")


def _texts(tape: Tape) -> Iterator[pa.Array]:
    """The lines of the file, a block of them at a time."""
    begun = b""
    while chunk := tape.read(BLOCK_BYTES):
        whole, end, rest = (begun + chunk).rpartition(b"\n")
        if len(rest) > LONGEST_LINE:
            raise unreadable(f"A line is longer than {LONGEST_LINE >> 20} MB: the file must hold one object a line.")
        begun = rest
        if end:
            yield _lines(whole, tape)
    if begun:
        yield _lines(begun, tape)


def _lines(text: bytes, tape: Tape) -> pa.Array:
    if b"\\u0000" in text:
        # No database holds NUL in text; the row is rejected like any damaged one.
        text, found = ESCAPED_NUL.subn(rb"\1" + DAMAGE.encode(), text)
        tape.damaged = tape.damaged or found > 0
    return pa.array(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), pa.string())


def _block(parser: duckdb.DuckDBPyConnection) -> Block:
    parser.execute(OBJECTS)
    keys = sorted(key for (key,) in parser.execute(KEYS).fetchall())
    check_names(keys)
    paths = ["/" + key.replace("~", "~0").replace("/", "~1") for key in keys]
    parser.execute(
        "CREATE OR REPLACE TEMP TABLE raws AS SELECT line, json_extract(text, $paths)::VARCHAR[] AS raw FROM objects",
        {"paths": paths},
    )
    values = "".join(f", {VALUE.format(raw=f'raw[{at + 1}]')} AS c{at}" for at in range(len(keys)))
    table = parser.sql(f"SELECT line{values} FROM raws").to_arrow_table().combine_chunks()
    refused = tuple(Rejection(line, _reason(valid)) for line, valid in parser.execute(REFUSED).fetchall())
    columns = [column.combine_chunks() for column in table.columns]
    natives = _natives(parser, keys)
    nested = {key: _nested(parser, keys.index(key)) for key, kinds in natives.items() if kinds & NESTED}
    return Block(columns[0], dict(zip(keys, columns[1:], strict=True)), natives, refused, nested=nested)


def _nested(parser: duckdb.DuckDBPyConnection, at: int) -> pa.Array:
    """In which rows the value is a list or an object."""
    raw = f"raw[{at + 1}]"
    found = parser.sql(f"SELECT coalesce(left({raw}, 1) IN ('[', '{{'), FALSE) AS nested FROM raws").to_arrow_table()
    return found["nested"].combine_chunks()


def _natives(parser: duckdb.DuckDBPyConnection, keys: list[str]) -> dict[str, frozenset[Native]]:
    """Which kinds of JSON values each key has, told by their first character."""
    if not keys:
        return {}
    seen = ", ".join(f"list(DISTINCT left(raw[{at + 1}], 1))" for at in range(len(keys)))
    [firsts] = parser.execute(f"SELECT {seen} FROM raws").fetchall()
    return {
        key: frozenset(NATIVE.get(first, Native.NUMBER) for first in found or () if first not in (None, "n"))
        for key, found in zip(keys, firsts, strict=True)
    }


def _reason(valid: bool | None) -> str:
    return "is not a JSON object" if valid else "is not valid JSON"
