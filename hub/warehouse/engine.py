"""The one thing the data plane asks of an engine: run set operations, Arrow in and Arrow out.

SQL uses `$name` parameters and the dialect shared by DuckDB and PostgreSQL wherever it can. All calls block:
services run them in a thread. Reads see a committed snapshot of their own; there is one writer at a time, or on a
server one about each sync.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

Params = Mapping[str, Any]


class Claimed(NamedTuple):
    """The claim of a run under which somebody writes; of two about one run, the one with the higher fence counts."""

    run: int
    fence: int


class Reader(Protocol):
    @property
    def dialect(self) -> str:
        """`duckdb` or `postgres`: also the name Ibis compiles for."""

    def query(self, sql: str, params: Params = ...) -> pa.Table:
        """All rows of a query, for results known to be small."""

    def rows(self, sql: str, params: Params = ...) -> list[tuple[Any, ...]]:
        """All rows as tuples, for a handful of values."""


class Transaction(Reader, Protocol):
    """The writer's transaction: sees its own changes, commits as one, rolls back on any exception."""

    def execute(self, sql: str, params: Params = ...) -> int:
        """Run a statement; the number of rows it changed."""

    def load(self, name: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        """Make a temporary table of Arrow rows; it is gone when the transaction ends."""

    def append(self, table: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        """Add Arrow rows to a table, matching columns by name; columns that the rows lack stay null."""


class Engine(Reader, Protocol):
    @property
    def shared(self) -> bool:
        """Whether other processes may have the same data plane open."""

    @property
    def folder(self) -> Path | None:
        """Where its files are; None where it has none on this machine."""

    @property
    def epoch(self) -> int | None:
        """Rises with every write that may touch more than one sync's rows: while it stands still, nothing else has
        changed. None where other processes may write."""

    def stream(
        self, sql: str, params: Params = ..., rows: int = 10_000
    ) -> AbstractContextManager[Iterator[pa.RecordBatch]]:
        """Rows in batches without ever holding all of them."""

    def write(self, sync: int | None = None, under: Claimed | None = None) -> AbstractContextManager[Transaction]:
        """A writer: waits for its turn, commits on leaving, rolls back on an exception.

        Nobody else writes meanwhile. With `sync` only rows about that sync may be touched: then a server lets writers
        about other syncs go on beside it, but nobody about the same one, so that a sync's lines in the log become
        visible in the order of their numbers."""

    def rehearse(self) -> AbstractContextManager[Transaction]:
        """As `write`, but nothing of it stays: for looking at what a change would lead to."""

    def copy_to(self, target: Path, meanwhile: Callable[[], None]) -> None:
        """Copy everything committed into one file; `meanwhile` runs before any writer has its next turn."""

    def close(self) -> None:
        """Checkpoint and let go of the files."""
