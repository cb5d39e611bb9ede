"""One open control plane: where it is, the connection that a task may use, and its transactions.

Tortoise keeps its context and the current transaction in context variables. A request runs in another task than the one
that opened the store, and a task spawned inside a transaction would inherit it; `stored` enters the right context for
each call, so that neither matters to anyone else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.context import TortoiseContext, _current_context
from tortoise.transactions import in_transaction

from hub.again import rests
from hub.errors import ErrorCode, StoreError, refuse
from hub.store.failures import database_errors, translate

APP = "hub"
MIGRATIONS = "hub.store.migrations"
BUSY_MS = 10_000
# Recursive triggers, or REPLACE INTO would delete a ledger entry without asking its trigger. The cache (64 MiB) holds
# the ledger's indexes, which are written all over; a checkpoint only every 32 MiB of log spares most of its syncs.
SQLITE = {
    "busy_timeout": BUSY_MS,
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "foreign_keys": "ON",
    "recursive_triggers": "ON",
    "cache_size": -65_536,
    "wal_autocheckpoint": 8_000,
    "journal_size_limit": 67_108_864,
}
# On a server it makes a new file where it may, so that there must be room for one, and entries in its log.
TRIAL_WRITE = {
    "sqlite": "PRAGMA user_version = 1",
    "postgres": """DO $$ BEGIN
      IF has_database_privilege(current_database(), 'TEMP') THEN
        CREATE TEMP TABLE trial_write ON COMMIT DROP AS SELECT repeat('x', 1000) FROM generate_series(1, 64);
      ELSE
        PERFORM pg_logical_emit_message(true, 'hub', 'trial write');
      END IF;
    END $$""",
}

P = ParamSpec("P")
T = TypeVar("T")

_dialect_in_use: list[str] = []


class Database:
    def __init__(self, context: TortoiseContext, dialect: str, folder: Path | None = None) -> None:
        self.dialect, self.folder = dialect, folder
        self._context = context
        self._root = context.connections.get("default")
        self._owner: ContextVar[asyncio.Task[Any] | None] = ContextVar("transaction_owner", default=None)

    @classmethod
    async def open(cls, url: str, **pragmas: Any) -> Database:
        """Connect; HubError when the URL is not understood, StoreError when nothing answers there."""
        connection, dialect = read_url(url, **pragmas)
        _keep_one_dialect(dialect)
        _silence_drivers()
        context = TortoiseContext()
        with context:
            await context.init(config=configuration(connection), use_tz=True, timezone="UTC")
        database = cls(context, dialect, _folder_of(connection))
        with _translated():
            await database._root.create_connection(with_db=True)
        return database

    async def close(self) -> None:
        await self._root.close()

    @property
    def connection(self) -> BaseDBAsyncClient:
        """The transaction's connection inside one, else the plain one. Only under `entered`."""
        return self._context.connections.get("default")

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """The rows of a query whose parameters are written `$1`, `$2` …"""
        return list((await self.connection.execute_query(self.sql(sql), list(values)))[1])

    async def now(self) -> datetime:
        """The time by the one clock that all who share the database go by: the server's, or this machine's. Only under
        `entered`."""
        if self.dialect == "sqlite":
            return datetime.now(UTC)
        found: datetime = (await self.fetch("SELECT clock_timestamp()"))[0][0]
        return found

    def sql(self, text: str) -> str:
        return text.replace("$", "?") if self.dialect == "sqlite" else text

    @property
    def in_transaction(self) -> bool:
        """Whether this task has begun one that has not ended."""
        with self.entered():
            return self.connection is not self._root

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Makes this database the one that models speak to, outside any transaction that another task began."""
        context = _current_context.set(self._context)
        connections = self._context.connections
        stranger = self.connection is not self._root and self._owner.get() is not asyncio.current_task()
        outside = connections.set("default", self._root) if stranger else None
        try:
            yield
        finally:
            connections.reset(outside)
            _current_context.reset(context)

    async def try_writing(self) -> None:
        """A small write that changes nothing. Raises StoreError if none is taken."""
        async with self.transaction():
            with self.entered():
                await self.connection.execute_script(TRIAL_WRITE[self.dialect])

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """All or nothing; one inside another is a savepoint. On SQLite every other task waits meanwhile, so only store
        calls belong inside."""
        with _translated(), self.entered():
            async with in_transaction("default"):
                owner = self._owner.set(asyncio.current_task())
                try:
                    yield
                finally:
                    self._owner.reset(owner)


class Stored(Protocol):
    _database: Database


S = TypeVar("S", bound=Stored)


def stored(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """A method that reads or writes the database: enters it, and lets no driver's message out. Where it is a
    transaction of its own, it is tried again when another was let past."""

    async def once(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with self._database.entered():
                return await method(self, *args, **kwargs)
        except database_errors() as error:
            failure = translate(error)
        # Raised out here, so that the driver's error is not even its context.
        raise failure

    @wraps(method)
    async def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        for rest in () if self._database.in_transaction else rests():
            try:
                return await once(self, *args, **kwargs)
            except StoreError as error:
                if not error.beaten:
                    raise
            await asyncio.sleep(rest)
        return await once(self, *args, **kwargs)

    return call


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except database_errors() as error:
        raise translate(error) from None


def configuration(connection: dict[str, Any]) -> dict[str, Any]:
    app = {"models": ["hub.store.models"], "default_connection": "default", "migrations": MIGRATIONS}
    return {"connections": {"default": connection}, "apps": {APP: app}}


def read_url(url: str, **pragmas: Any) -> tuple[dict[str, Any], str]:
    """Tortoise's connection settings and the dialect behind a `sqlite:///PATH` or `postgresql://…` URL."""
    scheme = url.partition(":")[0]
    if scheme == "sqlite" and url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        path = _private_file(Path(url.removeprefix("sqlite:///")))
        settings = {"file_path": str(path), **SQLITE, **pragmas}
        return {"engine": "hub.store.sqlite_client", "credentials": settings}, "sqlite"
    if scheme in {"postgresql", "postgres"}:
        return {"engine": "hub.store.asyncpg_client", "credentials": _postgres_credentials(url)}, "postgres"
    raise refuse(ErrorCode.UNSUPPORTED, "HUB_DATABASE_URL must be sqlite:///PATH or postgresql://…", "HUB_DATABASE_URL")


def _folder_of(connection: dict[str, Any]) -> Path | None:
    path = connection["credentials"].get("file_path")
    return Path(path).absolute().parent if path else None


def _private_file(path: Path) -> Path:
    """The database file, made readable by its owner alone; SQLite gives its WAL the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return path


def _postgres_credentials(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    found = {
        "host": options.pop("host", None) or parts.hostname,
        "port": parts.port or 5432,
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "database": unquote(parts.path.lstrip("/")) or None,
        "maxsize": int(options.pop("maxsize", 10)),
        "application_name": options.pop("application_name", "hub"),
    }
    return {**found, **_encryption(options.pop("sslmode", None)), **options}


def _encryption(mode: str | None) -> dict[str, Any]:
    return {"ssl": ssl.create_default_context() if mode == "verify-full" else mode} if mode else {}


def _keep_one_dialect(dialect: str) -> None:
    if not _dialect_in_use:
        _dialect_in_use.append(dialect)
    if _dialect_in_use != [dialect]:
        message = "This process already uses the other kind of control plane: open it from a process of its own."
        raise refuse(ErrorCode.UNSUPPORTED, message, "HUB_DATABASE_URL")


def _silence_drivers() -> None:
    # At DEBUG both write every statement with its values.
    for name in ("tortoise", "aiosqlite"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It writes a stack trace every time that a server which is away does not answer its pool.
    logging.getLogger("asyncpg").setLevel(logging.ERROR)
