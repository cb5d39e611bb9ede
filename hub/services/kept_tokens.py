"""A destination's keeper of refresh tokens that rotate: what the vendor gave last is in the store before it is used."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog

from hub.core.records import Destination
from hub.errors import StoreError
from hub.sdk.errors import TransientError
from hub.sdk.keeping import Turn
from hub.services.hub import Hub
from hub.store.kept_tokens import Kept

# Longer than two exchanges take that the client cuts off: whoever holds it then is dead.
MOST_S = 90.0
# Consent was read before this wait. Whoever waits longer begins anew, with another reading.
PATIENCE_S = 5.0
POLL_S = 0.1

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Unkept:
    """What the store would not take when the vendor gave it."""

    was: Kept
    given: str = field(repr=False)
    newest: str = field(repr=False)


class DestinationKeeper:
    """One for each connector at work; the store sees to it that they take turns, in whatever process they are."""

    def __init__(self, hub: Hub, destination: Destination) -> None:
        self._tokens = hub.store.kept_tokens
        self._destination = destination
        self._unkept: Unkept | None = None

    @asynccontextmanager
    async def turn(self, given: str) -> AsyncIterator[Turn]:
        holder = secrets.token_hex(16)
        try:
            yield _Turn(self, given, await self._hold(holder))
        finally:
            # Also where the wait was cut off, and it is not known who came first. If the store is away, the hold runs
            # out by itself.
            with suppress(StoreError):
                await self._tokens.let_go(self._destination, holder)

    def newest(self, given: str, kept: Kept) -> str | None:
        mine = self._unkept
        if mine and mine.given == given and mine.was == kept:
            return mine.newest
        return kept.newest if kept.given == given else None

    async def keep(self, given: str, newest: str, was: Kept) -> None:
        if was.given not in {None, given} and was.version > self._destination.version:
            return  # The admin has given another one, which this connector does not know of yet.
        self._unkept = Unkept(was, given, newest)
        try:
            await self._tokens.swap(self._destination, was, given, newest)
        except StoreError as error:
            log.error("refresh token not kept yet", destination=self._destination.key, error_type=type(error).__name__)
        else:
            self._unkept = None

    async def _hold(self, holder: str) -> Kept:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    if kept := await self._tokens.hold(self._destination, holder, MOST_S):
                        return kept
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise TransientError("another worker is exchanging the refresh token", sent=False) from None
        except StoreError:
            raise TransientError("the hub cannot look up its refresh token", sent=False) from None


class _Turn:
    def __init__(self, keeper: DestinationKeeper, given: str, kept: Kept) -> None:
        self.newest = keeper.newest(given, kept)
        self._keeper, self._given, self._kept = keeper, given, kept

    async def keep(self, newest: str) -> None:
        await self._keeper.keep(self._given, newest, self._kept)
