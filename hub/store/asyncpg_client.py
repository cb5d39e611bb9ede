"""Tortoise's PostgreSQL client; a transaction gives its connection back when its task is cancelled as it begins.

It sees what was committed before each statement, whatever the database or the role is set to: whoever has waited for
its turn would else read what was there before it waited.
"""

from __future__ import annotations

from typing import Any

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import TransactionContext, TransactionContextPooled
from tortoise.connection import get_connections

ASLEEP_MS = 10_000


class Client(AsyncpgDBClient):
    def _in_transaction(self) -> TransactionContext:
        return ReturningTransaction(ReadCommitted(self), self._pool_init_lock)

    async def create_pool(self, **kwargs: Any) -> asyncpg.Pool:
        # One connection to begin with, which says whether the server is there. But with a least number asyncpg makes a
        # lost one anew by a task of its own, for ever while the server is away, also when nobody has the pool any more.
        usual = {**kwargs, "init_size": 1, "min_size": 0}
        return await super().create_pool(init=_is_not_waited_for, reset=_nothing_is_left, **usual)


class ReadCommitted(TransactionWrapper):
    async def begin(self) -> None:
        self.transaction = self._connection.transaction(isolation="read_committed")
        await self.transaction.start()


class ReturningTransaction(TransactionContextPooled):
    __slots__ = ()

    async def __aenter__(self) -> Any:
        await self.ensure_connection()
        self.client._connection = await self.client._parent._pool.acquire()
        self.token = get_connections().set(self.connection_name, self.client)
        try:
            await self.client.begin()
        except BaseException:  # a cancel too: the pool would miss the connection
            get_connections().reset(self.token)
            await self.client._parent._pool.release(self.client._connection)
            raise
        return self.client


async def _is_not_waited_for(connection: asyncpg.Connection) -> None:
    """A process that is put to sleep in the middle of a transaction loses it, and with it the rows that it locked: a
    run of which nobody else could see that it may be claimed."""
    await connection.execute(f"SET idle_in_transaction_session_timeout = {ASLEEP_MS:d}")


async def _nothing_is_left(_: asyncpg.Connection) -> None:
    """A connection goes back as it came: asyncpg has ended its transaction, and the locks and settings of a session
    that its usual reset undoes, the store never makes. That reset is a question to the server after each other one.
    """


client_class = Client
