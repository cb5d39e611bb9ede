"""The engine on a server: a schema of a PostgreSQL, which any number of processes may share."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
from psycopg.adapt import Loader
from psycopg.sql import SQL, Identifier
from psycopg.types.numeric import Int8Dumper
from psycopg_pool import ConnectionPool, PoolTimeout

from hub.again import BEATEN
from hub.errors import ErrorCode, StoreError, refuse
from hub.warehouse.engine import Claimed, Params
from hub.warehouse.postgres_rows import SQL_TYPES, arrow, batches, copy_into, csv, insert_few
from hub.warehouse.sleepers import Watch
from hub.warehouse.turns import WRITER, asking

NOTHING: Mapping[str, Any] = {}
# Seconds to wait for the server at the start, and later for a connection that is free or can be made.
CONNECTIONS, WAIT_S, FREE_S = 16, 30.0, 10.0
# The pool waits longer from one attempt to the next for so long, then begins anew: a server that is back is soon found.
RECONNECT_S = 5.0
# PostgreSQL's code for a disk without room.
FULL = "53100"
# Timestamps are UTC-naive everywhere; casts from text with an offset go through this zone.
SCHEMA = "warehouse"
SESSION = f"-c TimeZone=UTC -c client_min_messages=warning -c search_path={SCHEMA}"
# Whoever has waited for its turn would else read what was there before it waited.
ISOLATION = "-c default_transaction_isolation=read\\ committed"
MANY = 1_000
# At a fifth of the rows that the server would usually look at, which is enough to know many from few.
LOOK = "SET LOCAL default_statistics_target = 20; ANALYZE {}; SET LOCAL default_statistics_target TO DEFAULT"
# Rows that go in quicker as parameters than by COPY.
A_FEW = 8
GROWING = re.compile(r"\s*(CREATE TEMP TABLE|INSERT INTO) \"?(?P<table>\w+)")


class Number(Loader):
    """Sums of whole numbers are numeric: whole again, as the embedded engine has them."""

    def load(self, data: Any) -> int | float:
        text = bytes(data).decode()
        return float(text) if "." in text or "N" in text else int(text)


def open_postgres(url: str) -> PostgresEngine:
    """Connect to the server, and make the schema if it is not there; raises UNSUPPORTED when the URL is not understood
    or nothing answers there."""
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    settings = _settings(url)
    pool = ConnectionPool(
        url,
        min_size=1,
        max_size=CONNECTIONS,
        open=False,
        kwargs=settings,
        configure=_configure,
        timeout=FREE_S,
        reconnect_timeout=RECONNECT_S,
    )
    try:
        pool.open(wait=True, timeout=WAIT_S)
        _make_schema(pool)
    except (psycopg.Error, PoolTimeout):
        pool.close()
        message = "No PostgreSQL answers there: start it, or correct the address, the user and the password."
        raise refuse(ErrorCode.UNSUPPORTED, message, "HUB_WAREHOUSE_URL") from None
    return PostgresEngine(pool, Watch(partial(psycopg.connect, url, **settings)))


def _make_schema(pool: ConnectionPool[Any]) -> None:
    """The control plane may live in the same database: the data plane keeps to a schema of its own."""
    with pool.connection() as connection, connection.transaction():
        # Two that start at once would both find it missing.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (WRITER,))
        connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(SCHEMA)))


def _configure(connection: psycopg.Connection[Any]) -> None:
    connection.adapters.register_loader("numeric", Number)
    # Else a number would be of the smallest type that holds it, and a function of several types ambiguous.
    connection.adapters.register_dumper(int, Int8Dumper)


def _settings(url: str) -> dict[str, Any]:
    # What the URL says comes later, and so counts, but for what the order of writers rests on.
    given = psycopg.conninfo.conninfo_to_dict(url).get("options")
    # A trait adds a column to a table, after which a prepared statement on it fails.
    return {"autocommit": True, "prepare_threshold": None, "options": f"{SESSION} {given or ''} {ISOLATION}"}


class PostgresReader:
    """Reads on a connection of its own per call, so that any number of threads may ask at once."""

    dialect = "postgres"

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    @contextmanager
    def _asking(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            with self._pool.connection() as connection:
                yield connection
        except psycopg.OperationalError as fault:
            if not isinstance(fault, PoolTimeout):
                # If it went away, others that are idle point to where it was as well.
                self._pool.check()
            kind = " ".join(filter(None, (type(fault).__name__, fault.sqlstate)))
            full, beaten = fault.sqlstate == FULL, fault.sqlstate in BEATEN
            raise StoreError(f"The data plane's server failed ({kind}).", full=full, beaten=beaten) from None

    def query(self, sql: str, params: Params = NOTHING) -> pa.Table:
        with self._asking() as connection:
            return arrow(_executed(connection, sql, params))

    def rows(self, sql: str, params: Params = NOTHING) -> list[tuple[Any, ...]]:
        with self._asking() as connection:
            return _executed(connection, sql, params).fetchall()


class PostgresTransaction(PostgresReader):
    """The writer's connection; its temporary tables go with the transaction."""

    def __init__(self, pool: ConnectionPool[Any], connection: psycopg.Connection[Any]) -> None:
        super().__init__(pool)
        self._connection = connection
        self.made_tables = False

    @contextmanager
    def _asking(self) -> Iterator[psycopg.Connection[Any]]:
        yield self._connection

    def execute(self, sql: str, params: Params = NOTHING) -> int:
        self.made_tables = self.made_tables or sql.lstrip().startswith("CREATE TEMP")
        changed = max(_executed(self._connection, sql, params).rowcount, 0)
        if grown := GROWING.match(sql):
            self._note_growth(grown["table"], changed)
        return changed

    def load(self, name: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        columns = [SQL("{} " + SQL_TYPES[field.type]).format(Identifier(field.name)) for field in rows.schema]
        make, self.made_tables = SQL("CREATE TEMP TABLE {} ({})"), True
        self._connection.execute(SQL("DROP TABLE IF EXISTS {}").format(Identifier("pg_temp", name)))
        self._connection.execute(make.format(Identifier(name), SQL(", ").join(columns)))
        self.append(name, rows)
        self._note_growth(name, rows.num_rows if isinstance(rows, pa.Table) else MANY)

    def append(self, table: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        if isinstance(rows, pa.Table) and 0 < rows.num_rows <= A_FEW:
            self._connection.execute(*insert_few(table, rows))
            return
        with self._connection.cursor().copy(copy_into(table, rows.schema.names)) as copy:
            for batch in rows.to_batches() if isinstance(rows, pa.Table) else rows:
                copy.write(csv(batch))

    def _note_growth(self, table: str, rows: int) -> None:
        """Have the planner look at a table that has just got many rows: it would take it for an empty one."""
        if rows >= MANY:
            self._connection.execute(SQL(LOOK).format(Identifier(table)))


class PostgresEngine(PostgresReader):
    shared = True
    epoch = folder = None

    def __init__(self, pool: ConnectionPool[Any], watch: Watch) -> None:
        super().__init__(pool)
        self._watch = watch

    @contextmanager
    def stream(self, sql: str, params: Params = NOTHING, rows: int = 10_000) -> Iterator[Iterator[pa.RecordBatch]]:
        with self._asking() as connection, connection.transaction(), connection.cursor("stream") as cursor:
            cursor.execute(*_spelled(sql, params))
            yield batches(cursor, rows)

    @contextmanager
    def write(self, sync: int | None = None, under: Claimed | None = None) -> Iterator[PostgresTransaction]:
        with self._writing(asking(sync, under)) as tx:
            yield tx

    @contextmanager
    def rehearse(self) -> Iterator[PostgresTransaction]:
        with self._writing(asking(None, None), stays=False) as tx:
            yield tx

    @contextmanager
    def _writing(self, asks: bytes, *, stays: bool = True) -> Iterator[PostgresTransaction]:
        with self._asking() as connection:
            tx = PostgresTransaction(self._pool, connection)
            try:
                with connection.transaction(force_rollback=not stays):
                    with self._watch.waiting():
                        connection.execute(asks)
                    yield tx
            finally:
                if tx.made_tables and not connection.broken:
                    connection.execute("DISCARD TEMP")

    def copy_to(self, target: Path, meanwhile: Callable[[], None]) -> None:  # noqa: ARG002 - it has its own tools
        """Raises UNSUPPORTED."""
        message = "A data plane on PostgreSQL is backed up with pg_dump, together with the control plane."
        raise refuse(ErrorCode.UNSUPPORTED, message, "HUB_WAREHOUSE_URL")

    def close(self) -> None:
        self._watch.close()
        self._pool.close()


def _executed(connection: psycopg.Connection[Any], sql: str, params: Params) -> psycopg.Cursor[Any]:
    return connection.execute(*_spelled(sql, params))


def _spelled(sql: str, params: Params) -> tuple[bytes, dict[str, Any] | None]:
    """As PostgreSQL and its driver write it: types by their names here, parameters as `%(name)s`."""
    if sql.lstrip().startswith(("CREATE", "ALTER")):
        sql = sql.replace(" USING COMPRESSION uncompressed", "").replace("BLOB", "BYTEA")
        sql = re.sub(r"\bDOUBLE\b(?! PRECISION)", "DOUBLE PRECISION", sql)
    if not params:
        return sql.encode(), None
    return re.sub(r"\$([a-z_]+\d*)", r"%(\1)s", sql.replace("%", "%%")).encode(), dict(params)
