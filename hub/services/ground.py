"""Whether both stores take writes. While one does not, nothing is begun that could not be written down.

Found out by writing a little: now and then, and at once when somebody doubts. Reads say nothing about it, and what is
under way finds out by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import monotonic

import structlog

from hub.errors import StoreError
from hub.room import try_room
from hub.services import metrics
from hub.store import Store
from hub.warehouse.engine import Engine
from hub.warehouse.trial_write import try_writing

# A store that is slow, or whose writer is at work, has not failed: no word from it leaves things as they were.
PATIENCE_S = 5.0
ROUND_S, AGAIN_S = 30.0, 1.0

log = structlog.get_logger()


class Footing:
    """One store, as far as it takes writes. `fault` is what the newest try came to."""

    def __init__(self, name: str, write: Callable[[], Awaitable[None]]) -> None:
        self.fault: StoreError | None = None
        self.name = name
        self._write = write
        self._tried_at = -float("inf")
        self._trial: asyncio.Task[None] | None = None

    async def look(self, most_s: float, patience_s: float = PATIENCE_S) -> None:
        """Try it, unless that was done so many seconds ago at most; two who look at once make one try. One that takes
        no writes is tried again sooner."""
        if self._trial is None and monotonic() - self._tried_at >= (min(most_s, AGAIN_S) if self.fault else most_s):
            self._tried_at = monotonic()
            self._trial = asyncio.create_task(self._try())
        if trial := self._trial:
            await asyncio.wait({trial}, timeout=patience_s)
            if trial.done() and not trial.cancelled():
                trial.result()

    def forget(self) -> None:
        """What is known is too old from now on."""
        self._tried_at = -float("inf")

    async def _try(self) -> None:
        fault = None
        try:
            await self._write()
        except StoreError as error:
            fault = error
        finally:
            self._trial = None
        self._take(fault)

    def _take(self, fault: StoreError | None) -> None:
        if fault and not self.fault:
            log.error("store takes no writes", phase=self.name, kind="full" if fault.full else "failed")
        elif self.fault and not fault:
            log.warning("store takes writes again", phase=self.name)
        self.fault = fault
        metrics.WRITABLE.labels(self.name).set(fault is None)

    async def close(self) -> None:
        if trial := self._trial:
            trial.cancel()
            await asyncio.gather(trial, return_exceptions=True)


class Ground:
    """Both stores. `watch` is to be run over and over."""

    def __init__(self, store: Store, engine: Engine) -> None:
        async def control_plane() -> None:
            await store.try_writing()
            await _try_room_beside(store)

        async def data_plane() -> None:
            await asyncio.to_thread(try_writing, engine)
            await _try_room_beside(engine)

        self._footings = [Footing(write.__name__, write) for write in (control_plane, data_plane)]
        self._doubted = asyncio.Event()

    @property
    def holds(self) -> bool:
        return not self.faults

    @property
    def faults(self) -> Mapping[str, StoreError]:
        """By the name of the store, those that take no writes as far as is known."""
        return {footing.name: footing.fault for footing in self._footings if footing.fault}

    def doubt(self) -> None:
        """A store has failed somebody: both are to be looked at now."""
        for footing in self._footings:
            footing.forget()
        self._doubted.set()

    async def look(self, most_s: float = 0.0, patience_s: float = PATIENCE_S) -> None:
        """Find out, unless that was done so many seconds ago at most; who has no time leaves it to the next one."""
        await asyncio.gather(*(footing.look(most_s, patience_s) for footing in self._footings))

    async def watch(self) -> None:
        """Look, then wait for the next time: soon while a store takes no writes, else seldom or when there is doubt."""
        self._doubted.clear()
        await self.look()
        if self.faults:
            await asyncio.sleep(AGAIN_S)
            return
        # Not `wait_for`, which may swallow a cancellation in Python 3.11.
        with suppress(TimeoutError):
            async with asyncio.timeout(ROUND_S):
                await self._doubted.wait()

    async def aclose(self) -> None:
        for footing in self._footings:
            await footing.close()


async def _try_room_beside(place: Store | Engine) -> None:
    """An embedded store writes over what it has already before it takes more of the disk."""
    if place.folder:
        await asyncio.to_thread(try_room, place.folder)
