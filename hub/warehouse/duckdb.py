"""The embedded engine: one DuckDB file, owned by one process, many reading threads and one writer at a time.

Once open, the database reaches no file but its own and its spill directory, loads no extension, and its settings
are locked; data comes in as Arrow, never by a path inside a statement.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from hub.errors import ErrorCode, HubError, StoreError, refuse
from hub.warehouse.engine import Claimed, Params

NOTHING: Mapping[str, Any] = {}
MEMORY = ":memory:"
# How long a question that is being answered when the file is closed may take to hear of it.
LAST_CALL_S = 5.0
# What a disk does to the engine. After the second it answers nothing any more until the file is opened anew.
FAULTS = (duckdb.IOException, duckdb.TransactionException, duckdb.FatalException)
# Rows that go in quicker as parameters than as Arrow.
A_FEW = 8
# Bytes of Arrow that may stay in memory until their transaction ends; scanning a table is quicker than a stream.
SMALL = 8_000_000

LOCKS = (
    # Timestamps are UTC-naive everywhere; a cast from text with an offset goes through TIMESTAMPTZ in this zone.
    "SET TimeZone = 'UTC'",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


def open_duckdb(path: str | Path, memory_limit: str | None = None, threads: int | None = None) -> DuckDbEngine:
    """Open or create the file (`:memory:` for none); `memory_limit` as DuckDB writes it, such as `4GB`.

    Raises CONFLICT if another process owns the file, INVALID if it is not a DuckDB file this version reads.
    """
    # Rows come in on threads of their own, and Arrow's own allocator would keep what each of them held.
    pa.set_memory_pool(pa.system_memory_pool())
    connect = partial(_connect, path, _settings(path, memory_limit, threads))
    try:
        return DuckDbEngine(connect, Path(path))
    except (duckdb.Error, RuntimeError) as problem:
        raise _refusal(problem) from problem


def _connect(path: str | Path, settings: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    root = duckdb.connect(str(path), config=settings)
    for statement in LOCKS:
        root.execute(statement)
    return root


def _settings(path: str | Path, memory_limit: str | None, threads: int | None) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "python_enable_replacements": "false",
        # Nothing here relies on the order of rows in a table, and keeping it costs memory on every large insert.
        "preserve_insertion_order": "false",
        # Most of what a run writes is gone again after a few runs: tidied up every 16 MB, as is usual, it takes a fifth
        # of a small run. What is not tidied up is replayed when the file is opened after a crash: half a second.
        "checkpoint_threshold": "256MB",
    }
    if str(path) != MEMORY:
        settings["temp_directory"] = str(Path(path).absolute().parent / "spill")
    if memory_limit:
        settings["memory_limit"] = memory_limit
    if threads:
        settings["threads"] = threads
    return settings


def _refusal(problem: Exception) -> HubError:
    text = str(problem)
    if "Could not set lock" in text or "being used by another process" in text:
        return refuse(
            ErrorCode.CONFLICT,
            "Another process has the data plane open, and DuckDB allows one: use that running hub by setting HUB_URL "
            "(and HUB_TOKEN), or stop it first.",
            suggestion="HUB_URL",
        )
    if "memory_limit" in text or "Memory" in text or "memory" in text:
        return refuse(ErrorCode.INVALID, "HUB_MEMORY_LIMIT must be a size such as 4GB.", "HUB_MEMORY_LIMIT")
    return refuse(
        ErrorCode.INVALID,
        "The data plane's file cannot be opened: it is not a DuckDB database, was written by a newer version, "
        "or its directory cannot be written to.",
        "HUB_WAREHOUSE_URL",
    )


def _failure(problem: Exception) -> StoreError:
    full = "No space left on device" in str(problem)
    return StoreError(f"The data plane's file failed ({type(problem).__name__}).", full=full)


class DuckDbReader:
    """Reads on a connection of its own per call, so that any number of threads may ask at once."""

    dialect = "duckdb"

    def __init__(self, root: duckdb.DuckDBPyConnection) -> None:
        self._root = root
        self._broken = False
        # The root connection serves one call at a time and refuses a second one instead of waiting; nor can it be
        # closed while any of its cursors is at work.
        self._door = threading.Condition()
        self._inside: set[duckdb.DuckDBPyConnection] = set()
        self._closing = False

    @contextmanager
    def _asking(self) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = self._enter()
        try:
            yield connection
        except FAULTS as fault:
            self._broken = self._broken or isinstance(fault, duckdb.FatalException)
            raise _failure(fault) from None
        finally:
            self._leave(connection)

    def _enter(self) -> duckdb.DuckDBPyConnection:
        with self._door:
            if self._closing:
                raise duckdb.ConnectionException("The data plane is being closed.")
            if self._broken:
                self._mend()
            connection = self._root.cursor()
            self._inside.add(connection)
            return connection

    def _mend(self) -> None:
        """Open what answers nothing any more anew, once everybody has heard so."""

    def _leave(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.close()
        with self._door:
            self._inside.remove(connection)
            self._door.notify_all()

    def query(self, sql: str, params: Params = NOTHING) -> pa.Table:
        with self._asking() as connection:
            return connection.sql(sql, params=dict(params)).to_arrow_table()

    def rows(self, sql: str, params: Params = NOTHING) -> list[tuple[Any, ...]]:
        with self._asking() as connection:
            return connection.execute(sql, dict(params)).fetchall()


class DuckDbTransaction(DuckDbReader):
    """The writer's connection between BEGIN and COMMIT; its temporary tables go with it."""

    @contextmanager
    def _asking(self) -> Iterator[duckdb.DuckDBPyConnection]:
        yield self._root

    def execute(self, sql: str, params: Params = NOTHING) -> int:
        answer = self._root.execute(sql, dict(params))
        counted = answer.description and answer.description[0][0] == "Count"
        first = answer.fetchone()
        return int(first[0]) if counted and first else 0

    def load(self, name: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        with self._arriving(rows):
            self._root.execute(f'CREATE OR REPLACE TEMP TABLE "{name}" AS SELECT * FROM arriving').fetchall()

    def append(self, table: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        if isinstance(rows, pa.Table) and 0 < rows.num_rows <= A_FEW:
            self._append_few(table, rows)
            return
        with self._arriving(rows):
            self._root.execute(f'INSERT INTO "{table}" BY NAME SELECT * FROM arriving').fetchall()

    def _append_few(self, table: str, rows: pa.Table) -> None:
        columns = ", ".join(f'"{name}"' for name in rows.column_names)
        line = f"({', '.join('?' * rows.num_columns)})"
        values = [value for row in zip(*map(pa.ChunkedArray.to_pylist, rows.columns), strict=True) for value in row]
        lines = ", ".join([line] * rows.num_rows)
        self._root.execute(f'INSERT INTO "{table}" ({columns}) VALUES {lines}', values).fetchall()

    @contextmanager
    def _arriving(self, rows: pa.Table | pa.RecordBatchReader) -> Iterator[None]:
        small = isinstance(rows, pa.Table) and rows.nbytes < SMALL
        source = Arriving(rows)
        self._root.register("arriving", rows if small else source)
        try:
            yield
        finally:
            self._root.unregister("arriving")
            source.rows = None


@dataclass(slots=True)
class Arriving:
    """Arrow rows as DuckDB reads them. It keeps whatever was registered until the transaction ends, so that must be
    something which can let go of the rows once they are in. Reading a stream also costs half of scanning a table."""

    rows: pa.Table | pa.RecordBatchReader | None

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.rows.__arrow_c_stream__(requested_schema)  # type: ignore[union-attr]


class DuckDbEngine(DuckDbReader):
    shared = False

    def __init__(self, connect: Callable[[], duckdb.DuckDBPyConnection], path: Path) -> None:
        super().__init__(connect())
        self.epoch = 0
        self._connect = connect
        self.folder = None if str(path) == MEMORY else path.absolute().parent
        self._path = path
        self._turn = threading.Lock()

    def _mend(self) -> None:
        # A handle that somebody still holds would keep what is broken alive.
        if not self._door.wait_for(lambda: not (self._broken and self._inside), LAST_CALL_S):
            raise StoreError("The data plane's file is to be opened anew, and is still in use.")
        if self._broken:
            self._root.close()
            try:
                self._root = self._connect()
            except (duckdb.Error, RuntimeError) as problem:
                raise _failure(problem) from None
            self._broken = False

    @contextmanager
    def stream(self, sql: str, params: Params = NOTHING, rows: int = 10_000) -> Iterator[Iterator[pa.RecordBatch]]:
        # An unfetched SELECT owns its connection: the reader is closed before the connection is.
        with self._asking() as connection, connection.sql(sql, params=dict(params)).to_arrow_reader(rows) as reader:
            yield iter(reader)

    @contextmanager
    def write(self, sync: int | None = None, under: Claimed | None = None) -> Iterator[DuckDbTransaction]:  # noqa: ARG002 - nobody else has it
        with self._turn, self._asking() as connection:
            connection.execute("BEGIN TRANSACTION")
            try:
                yield DuckDbTransaction(connection)
                connection.execute("COMMIT")
            except BaseException:
                # A failed COMMIT or an aborted transaction has nothing left to roll back.
                with suppress(duckdb.Error):
                    connection.execute("ROLLBACK")
                raise
            finally:
                self.epoch += sync is None

    @contextmanager
    def rehearse(self) -> Iterator[DuckDbTransaction]:
        with self._turn, self._asking() as connection:
            connection.execute("BEGIN TRANSACTION")
            try:
                yield DuckDbTransaction(connection)
            finally:
                with suppress(duckdb.Error):
                    connection.execute("ROLLBACK")

    def copy_to(self, target: Path, meanwhile: Callable[[], None]) -> None:
        with self._turn, self._asking() as connection:
            connection.execute("CHECKPOINT")
            shutil.copyfile(self._path, target)
            meanwhile()

    def close(self) -> None:
        with self._turn:
            with suppress(duckdb.Error, StoreError), self._asking() as connection:
                connection.execute("CHECKPOINT")
            with self._door:
                self._closing = True
                for connection in self._inside:
                    # One that has just got its answer is closed before it leaves.
                    with suppress(duckdb.ConnectionException):
                        connection.interrupt()
                self._door.wait_for(lambda: not self._inside, LAST_CALL_S)
                self._root.close()
