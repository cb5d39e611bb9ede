"""Tortoise's PostgreSQL client; a transaction gives its connection back when its task is cancelled as it begins."""

from __future__ import annotations

from typing import Any

from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import TransactionContext, TransactionContextPooled
from tortoise.connection import get_connections


class Client(AsyncpgDBClient):
    def _in_transaction(self) -> TransactionContext:
        return ReturningTransaction(TransactionWrapper(self), self._pool_init_lock)


class ReturningTransaction(TransactionContextPooled):
    __slots__ = ()

    async def __aenter__(self) -> Any:
        await self.ensure_connection()
        self.client._connection = await self.client._parent._pool.acquire()
        self.token = get_connections().set(self.connection_name, self.client)
        try:
            await self.client.begin()
        except BaseException:
            get_connections().reset(self.token)
            await self.client._parent._pool.release(self.client._connection)
            raise
        return self.client


client_class = Client
