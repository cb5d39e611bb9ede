"""Where the newest of a refresh token that rotates is kept, so that whoever asks next begins with that one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol


class Turn(Protocol):
    """One exchange at a time: `newest` is what was kept of the refresh token that the admin gave, if anything was."""

    newest: str | None

    async def keep(self, newest: str) -> None: ...


class Keeper(Protocol):
    """The hub hands a connector the destination's, inside `Http`; it outlives the process, and is one for all who speak
    to the vendor. `turn` waits for others who exchange one just now; raises TransientError where that takes long."""

    def turn(self, given: str) -> AbstractAsyncContextManager[Turn]: ...


class InMemory:
    """For a client that belongs to no destination."""

    def __init__(self) -> None:
        self._newest: dict[str, str] = {}
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def turn(self, given: str) -> AsyncIterator[Turn]:
        async with self._lock:
            yield _InMemory(self._newest, given)


class _InMemory:
    def __init__(self, kept: dict[str, str], given: str) -> None:
        self.newest = kept.get(given)
        self._kept = kept
        self._given = given

    async def keep(self, newest: str) -> None:
        self._kept[self._given] = newest
