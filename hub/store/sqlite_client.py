"""Tortoise's SQLite client, with transactions that are safe to share one connection.

They begin IMMEDIATE, so that two processes never both read and then both try to write; a task cancelled while it begins
lets go of the connection; and a script inside one does not commit it, as `sqlite3.executescript` would.
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

from tortoise.backends.base.client import NestedTransactionContext, TransactionContext
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionContext, SqliteTransactionWrapper
from tortoise.connection import get_connections
from tortoise.exceptions import OperationalError

# Two that turn a new file to WAL at once: SQLite tells one at once that it is locked, without waiting.
OPENING_TRIES, OPENING_PAUSE_S = 100, 0.05


class Client(SqliteClient):
    async def create_connection(self, with_db: bool) -> None:
        for tries_left in reversed(range(OPENING_TRIES)):
            try:
                return await super().create_connection(with_db)
            except sqlite3.OperationalError as error:
                await self.close()
                if not tries_left or "locked" not in str(error):
                    raise
                await asyncio.sleep(OPENING_PAUSE_S)
        return None

    def _in_transaction(self) -> TransactionContext:
        return ImmediateTransaction(ImmediateWrapper(self), self._lock)


class ImmediateWrapper(SqliteTransactionWrapper):
    def _in_transaction(self) -> TransactionContext:
        return NestedTransactionContext(ImmediateWrapper(self))

    async def begin(self) -> None:
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise OperationalError(error) from None

    async def execute_script(self, query: str) -> None:
        for statement in statements(query):
            await self.execute_query(statement)


class ImmediateTransaction(SqliteTransactionContext):
    __slots__ = ()

    async def __aenter__(self) -> Any:
        await self._trxlock.acquire()
        entered = None
        try:
            await self.ensure_connection()
            entered = self.token = get_connections().set(self.connection_name, self.connection)
            await self.connection.begin()
        except BaseException:  # a cancel too: the next one in line must get in
            get_connections().reset(entered)
            await self._abandon()
            raise
        return self.connection

    async def _abandon(self) -> None:
        """The driver's thread may still carry the BEGIN out: roll back behind it, then let the next one in."""
        try:
            if self.connection._connection:
                await asyncio.shield(self.connection._connection.rollback())
        finally:
            self._trxlock.release()


def statements(script: str) -> list[str]:
    """The statements of a script; a trigger with semicolons inside stays whole."""
    found, start = [], 0
    for end in (place + 1 for place, letter in enumerate(script) if letter == ";"):
        if sqlite3.complete_statement(script[start:end]):
            found.append(script[start:end].strip())
            start = end
    return [*found, *([script[start:].strip()] if script[start:].strip() else [])]


client_class = Client
