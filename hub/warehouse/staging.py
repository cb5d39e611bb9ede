"""The way in of every file: read it block by block into a temporary table of text, with each row's line.

    staged = read(tx, path, FileFormat.CSV, Shape(required=("id",), identifiers={"id": "id", "email": "email"}),
                  mapping={"E-Mail": "email"}, progress=print)
    staged.column("email")          # the physical column, or None when the file has no such column
    staged.reject(tx, "c3 = 'x'", "is not …", "action")      # rows leave the table and are listed by line
    staged.report(accepted=…, unchanged=…)

The table `staged` has `line BIGINT` and one column per column of the file: VARCHAR, where NULL means that the row has
no such column (JSON) and `''` that it is empty or null; or, where all values of all rows are plainly numbers or
instants (`staged.typed`), of that type, with NULL for empty. Identifier columns are normalised already, and rows that
lack a required value, hold an identifier that cannot be normalised, or are not text at all are rejected already.
`spared` holds the first required column of rows rejected since: known persons, though their row did not go in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from hub.core.imports import FileFormat, ImportReport, Rejection, Shape
from hub.core.records import TraitType
from hub.errors import ErrorCode, nearest, refuse
from hub.warehouse.casting import STORED, Casting, SurpriseError
from hub.warehouse.engine import Transaction
from hub.warehouse.files.block import MOST_COLUMNS, Block, FileReader, Native, Tape, unreadable
from hub.warehouse.files.csv_file import read_csv
from hub.warehouse.files.ndjson_file import read_ndjson
from hub.warehouse.files.parquet_file import read_parquet
from hub.warehouse.sieve import Sieve, Sifted
from hub.warehouse.values import FORMS

MOST_REJECTIONS = 1000
MOST_SPARED = 50_000

READERS: Mapping[FileFormat, FileReader] = {
    FileFormat.CSV: read_csv,
    FileFormat.NDJSON: read_ndjson,
    FileFormat.PARQUET: read_parquet,
}

# Rows read so far, and bytes of the file read so far.
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Rejections:
    """Every rejection is counted, the first ones are kept."""

    count: int = 0
    kept: list[Rejection] = field(default_factory=list)

    def add(self, *rejections: Rejection, count: int | None = None) -> None:
        self.count += len(rejections) if count is None else count
        self.kept.extend(rejections[: max(0, MOST_REJECTIONS - len(self.kept))])


@dataclass(frozen=True, slots=True)
class Misfit:
    """A SQL condition under which rows of `staged` cannot go in, and what is wrong with them."""

    condition: str
    reason: str
    column: str | None = None


@dataclass(slots=True)
class Staged:
    """A file in the table `staged`. `columns` maps the names of its columns to physical ones; `typed` has those that
    are not text; `native` says what the file itself said of their types; `nameless` counts rejected rows of which not
    even the first required column is known."""

    shape: Shape
    columns: dict[str, str] = field(default_factory=dict)
    typed: dict[str, TraitType] = field(default_factory=dict)
    native: dict[str, frozenset[Native]] = field(default_factory=dict)
    rejections: Rejections = field(default_factory=Rejections)
    rows: int = 0
    last_line: int = 0
    nameless: int = 0
    content_hash: str = ""

    def column(self, name: str) -> str | None:
        return self.columns.get(name)

    def reject(self, tx: Transaction, condition: str, reason: str, column: str | None = None) -> int:
        """Take the rows for which the SQL condition holds out of `staged` and list them; how many there were."""
        listed = tx.rows(f"SELECT line FROM staged WHERE {condition} ORDER BY line LIMIT {MOST_REJECTIONS}")
        if not listed:
            return 0
        if self.shape.required:
            key = self.columns[self.shape.required[0]]
            tx.execute(f"INSERT INTO spared SELECT {key} FROM staged WHERE {condition}")
        gone = tx.execute(f"DELETE FROM staged WHERE {condition}")
        self.rejections.add(*(Rejection(line, reason, column) for (line,) in listed), count=gone)
        return gone

    def reject_misfits(self, tx: Transaction, tests: Sequence[Misfit]) -> None:
        """Reject by many conditions, after one pass that finds which of them hold anywhere."""
        if not tests:
            return
        counts = ", ".join(f"count(*) FILTER (WHERE {test.condition})" for test in tests)
        for test, count in zip(tests, tx.rows(f"SELECT {counts} FROM staged")[0], strict=True):
            if count:
                self.reject(tx, test.condition, test.reason, test.column)

    def report(self, accepted: int, unchanged: int) -> ImportReport:
        kept = tuple(sorted(self.rejections.kept, key=lambda rejection: rejection.line))
        count = self.rejections.count
        return ImportReport(accepted, unchanged, count, kept, truncated=count > len(kept))


def read(
    tx: Transaction,
    path: Path,
    file_format: FileFormat,
    shape: Shape,
    *,
    mapping: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Staged:
    """Read the whole file into `staged`; `mapping` renames columns (column of the file → name in the hub).

    Raises HubError INVALID, with nothing staged, for a file that cannot be read as a whole: a wrong header, a required
    or mapped column that it does not have, an encoding other than UTF-8, a broken Parquet file.
    """
    source = Renaming(dict(mapping or {}))
    try:
        staged = _read(tx, path, READERS[file_format], source, Casting(shape), progress)
    except SurpriseError:
        staged = _read(tx, path, READERS[file_format], source, Casting(shape, kinds={}), progress)
    source.check_mapping()
    _check_required(staged)
    return staged


def _read(
    tx: Transaction, path: Path, blocks_of: FileReader, source: Renaming, casting: Casting, progress: Progress | None
) -> Staged:
    staged = Staged(casting.shape)
    for name, column in (("staged", "line BIGINT"), ("spared", "key VARCHAR")):
        tx.execute(f"DROP TABLE IF EXISTS {name}")
        tx.execute(f"CREATE TEMP TABLE {name} ({column})")
    with closing(Tape(path)) as tape:
        with closing(blocks_of(path, tape)) as blocks:
            told = _told(_sifted(blocks, source, casting, tape), staged, tape, progress)
            following = next(told, None)
            staged.typed = casting.kinds or {}
            while following:
                _widen(tx, staged, following[0])
                stretch = Stretch(staged, following, told)
                tx.append("staged", pa.RecordBatchReader.from_batches(stretch.schema, stretch.batches()))
                tx.append("spared", pa.table({"key": pa.array(stretch.spared, pa.string())}))
                following = stretch.following()
        staged.content_hash = tape.hash
    return staged


@dataclass(slots=True)
class Renaming:
    """The columns of a file under the names they are mapped to."""

    mapping: dict[str, str]
    seen: dict[str, str] = field(default_factory=dict)

    def renamed(self, block: Block) -> Block:
        for name in block.columns:
            target = self.mapping.get(name, name)
            if self.seen.setdefault(target, name) != name:
                raise unreadable(f"Two columns, {self.seen[target]!r} and {name!r}, are both read as {target!r}.")
        names = {name: self.mapping.get(name, name) for name in block.columns}
        return Block(
            block.line,
            {names[name]: column for name, column in block.columns.items()},
            {names[name]: kinds for name, kinds in block.native.items()},
            block.rejections,
            block.blank_lines,
            {names[name]: rows for name, rows in block.nested.items()},
        )

    def check_mapping(self) -> None:
        for column in self.mapping:
            if column not in self.seen.values():
                raise refuse(
                    ErrorCode.INVALID,
                    f"The mapping names a column {column!r} that the file does not have.",
                    "mapping",
                    column,
                    suggestion=nearest(column, self.seen.values()),
                )


def _check_required(staged: Staged) -> None:
    for name in staged.shape.required:
        if name not in staged.columns:
            near = nearest(name, staged.columns)
            raise refuse(
                ErrorCode.INVALID,
                f"The file has no column {name!r}, which every row needs; map one to it.",
                "file",
                name,
                suggestion=f"--map {near}={name}" if near else None,
            )


def _sifted(blocks: Iterator[Block], source: Renaming, casting: Casting, tape: Tape) -> Iterator[tuple[Block, Sifted]]:
    for block in map(source.renamed, blocks):
        rows = Sieve(block, casting.shape).sifted(damaged=tape.damaged)
        yield block, replace(rows, columns=casting.cast(rows.columns, block.native))


Item = tuple[Block, Sifted]


def _told(items: Iterator[Item], staged: Staged, tape: Tape, progress: Progress | None) -> Iterator[Item]:
    """The same items, counted and told of as they pass."""
    for block, rows in items:
        for name in block.columns:
            staged.native[name] = staged.native.get(name, frozenset()) | block.native.get(name, frozenset())
        staged.rows += len(block.line) + len(block.rejections) - rows.blank
        staged.last_line = max(staged.last_line, pc.max(rows.line).as_py() or 0)
        staged.rejections.add(*block.rejections, *rows.rejections)
        staged.nameless += len(block.rejections) + rows.nameless
        if progress:
            progress(staged.rows, tape.bytes)
        yield block, rows


@dataclass(slots=True)
class Stretch:
    """Blocks for which `staged` has all columns: they go in as one stream, which the engine reads ahead on a thread of
    its own, at half the cost of a statement for each."""

    staged: Staged
    first: Item
    rest: Iterator[Item]
    spared: list[str] = field(default_factory=list)
    _following: Item | None = None
    _problem: Exception | None = None

    @property
    def schema(self) -> pa.Schema:
        told = {name: self.staged.typed.get(name, TraitType.TEXT) for name in self.staged.columns}
        kinds = [(self.staged.columns[name], STORED.get(kind, pa.string())) for name, kind in told.items()]
        return pa.schema([("line", pa.int64()), *kinds])

    def batches(self) -> Iterator[pa.RecordBatch]:
        item: Item | None = self.first
        while item and item[0].columns.keys() <= self.staged.columns.keys() and len(self.spared) < MOST_SPARED:
            self.spared += item[1].spared
            yield self._batch(item[1])
            try:
                item = next(self.rest, None)
            except Exception as problem:  # noqa: BLE001 - kept for `following`: the engine would make its own of it
                self._problem, item = problem, None
        self._following = item

    def following(self) -> Item | None:
        """The block after the stretch. Raises what ended it, if it was an error."""
        if self._problem:
            raise self._problem
        return self._following

    def _batch(self, rows: Sifted) -> pa.RecordBatch:
        schema, absent = self.schema, pa.nulls(len(rows.line), pa.string())
        columns = [rows.columns.get(name, absent) for name in self.staged.columns]
        return pa.RecordBatch.from_arrays([rows.line, *columns], schema=schema)


def _widen(tx: Transaction, staged: Staged, block: Block) -> None:
    for name in block.columns:
        if name in staged.columns:
            continue
        if len(staged.columns) >= MOST_COLUMNS:
            raise unreadable(f"The file has more than {MOST_COLUMNS} columns.")
        physical = f"c{len(staged.columns)}"
        kind = FORMS[staged.typed.get(name, TraitType.TEXT)].storage
        tx.execute(f"ALTER TABLE staged ADD COLUMN {physical} {kind}")
        staged.columns[name] = physical
