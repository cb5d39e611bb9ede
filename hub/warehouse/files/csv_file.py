"""Reading CSV: Arrow parses, and the line of every row is kept count of, through quoted line ends and rejected rows."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from hub.core.imports import Rejection
from hub.errors import HubError
from hub.warehouse.files.block import BLOCK_BYTES, Block, Native, Tape, check_names, range_of, unreadable

LONGEST_HEADER = 1 << 20
DELIMITERS = ",;\t|"
OTHER_ENCODINGS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


@dataclass(frozen=True, slots=True)
class Dialect:
    names: list[str]
    delimiter: str


@dataclass(slots=True)
class LineCount:
    """Turns Arrow's rows into lines. `refused` holds rows that Arrow left out: row number → line ends inside it and
    the reason; `row` is the number of the next row, `extra` the line ends inside all rows before it, `last_ends` those
    inside the last one."""

    row: int = 2
    extra: int = 0
    last_ends: int = 0
    refused: dict[int, tuple[int, str]] = field(default_factory=dict)

    def refuse(self, row: arrow_csv.InvalidRow) -> str:
        reason = f"has {row.actual_columns} cells where the header has {row.expected_columns}"
        self.refused[row.number] = (row.text.count("\n"), reason)
        return "skip"

    def lines(self, rows: int, inside: pa.Array | None) -> tuple[pa.Array, tuple[Rejection, ...]]:
        """The lines at which the next `rows` rows begin, and the rejections between them."""
        if inside is None and not self.refused:
            self.row += rows
            self.last_ends = 0
            return range_of(self.row - rows + self.extra, rows), ()
        ends = inside.to_pylist() if inside is not None else [0] * rows
        found: list[int] = []
        between: list[Rejection] = []
        for own in ends:
            between.extend(self._skipped())
            found.append(self.row + self.extra)
            self._pass(own)
        return pa.array(found, pa.int64()), (*between, *self._skipped())

    def _pass(self, ends: int) -> None:
        self.row += 1
        self.extra += ends
        self.last_ends = ends

    def rest(self) -> tuple[Rejection, ...]:
        """The rejections after the last row."""
        return tuple(self._skipped())

    def _skipped(self) -> Iterator[Rejection]:
        while self.row in self.refused:
            own, reason = self.refused.pop(self.row)
            yield Rejection(self.row + self.extra, reason)
            self._pass(own)


def read_csv(path: Path, tape: Tape) -> Generator[Block, None, None]:
    dialect = sniff(path)
    count = LineCount()
    try:
        with _open(tape, dialect, count) as rows:
            for batch in rows:
                yield _block(batch, dialect.names, count, tape)
        rest = count.rest()
    except pa.ArrowInvalid as problem:
        if "Could not skip initial" not in str(problem):
            raise _broken(count) from None
        rest = ()
    if tape.quotes % 2 and count.last_ends:
        # The last row runs over several lines and a quote is left over: it has swallowed the rows after it.
        raise _broken(count)
    yield Block(pa.array([], pa.int64()), dict.fromkeys(dialect.names, pa.array([], pa.string())), {}, rest)


def sniff(path: Path) -> Dialect:
    """The header: UTF-8, comma-separated (or semicolon, tab or bar, whichever the first line uses)."""
    with path.open("rb") as file:
        head = file.read(LONGEST_HEADER)
    if not head.strip():
        raise unreadable("The file is empty: its first line must name the columns.")
    if head.startswith(OTHER_ENCODINGS) or b"\0" in head:
        raise unreadable("The file is not UTF-8 text; it looks like UTF-16 or binary data. Save it as UTF-8.")
    first = head.split(b"\n", 1)[0]
    if first.count(b'"') % 2:
        raise unreadable("The header has a quote that is not closed on its line.", line=1)
    if len(first) == LONGEST_HEADER:
        raise unreadable("The first line is longer than 1 MB: it must name the columns.", line=1)
    try:
        text = first.decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError:
        raise unreadable("The header is not UTF-8 text. Save the file as UTF-8.", line=1) from None
    if not text.strip():
        raise unreadable("The first line is empty: it must name the columns.", line=1)
    if "\r" in text:
        raise unreadable("The lines end in a lone carriage return. Save the file with usual line ends.", line=1)
    delimiter = max(DELIMITERS, key=text.count)
    names = [name.strip() for name in next(csv.reader(io.StringIO(text), delimiter=delimiter), [])]
    check_names(names)
    return Dialect(names, delimiter)


def _open(tape: Tape, dialect: Dialect, count: LineCount) -> arrow_csv.CSVStreamingReader:
    # Numbered names: what a header may contain is none of Arrow's business.
    names = [str(at) for at in range(len(dialect.names))]
    return arrow_csv.open_csv(
        tape,
        # One thread: only then does Arrow number the rows it leaves out, and it is as fast.
        read_options=arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, skip_rows=1, column_names=names),
        parse_options=arrow_csv.ParseOptions(
            delimiter=dialect.delimiter,
            newlines_in_values=True,
            ignore_empty_lines=False,
            invalid_row_handler=count.refuse,
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, null_values=[]
        ),
    )


def _block(batch: pa.RecordBatch, names: list[str], count: LineCount, tape: Tape) -> Block:
    inside = _line_ends_inside(batch) if tape.quotes else None
    line, between = count.lines(batch.num_rows, inside)
    columns = dict(zip(names, batch.columns, strict=True))
    return Block(line, columns, dict.fromkeys(names, frozenset({Native.CELL})), between, blank_lines=True)


def _line_ends_inside(batch: pa.RecordBatch) -> pa.Array | None:
    """How many line ends the values of each row hold; None where no row has any."""
    if not any(_may_hold_line_ends(column) for column in batch.columns):
        return None
    ends = pa.repeat(0, batch.num_rows).cast(pa.int32())
    for column in batch.columns:
        ends = pc.add(ends, pc.count_substring(column, "\n"))
    return ends if pc.any(pc.greater(ends, 0), min_count=0).as_py() else None


def _may_hold_line_ends(texts: pa.Array) -> bool:
    """A look at all texts at once, at a tenth of the cost of looking at each."""
    data = texts.buffers()[2]
    return data is not None and b"\n" in data.to_pybytes()


def _broken(count: LineCount) -> HubError:
    return unreadable(
        f"The file cannot be read as CSV after line {count.row + count.extra - 1}: a quoted value is never closed, or "
        f"a row is longer than {BLOCK_BYTES >> 20} MB.",
        line=count.row + count.extra,
    )
