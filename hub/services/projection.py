"""Bringing the data plane up to the head of the ledger, so that whoever reads consent there reads all of it.

Safe to stop at any point: each stretch of the ledger goes in together with the watermark that says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary

import pyarrow as pa

from hub.again import tried_again
from hub.services.hub import Hub
from hub.warehouse import consent
from hub.warehouse.consent import Position
from hub.warehouse.engine import Engine

STRETCH = 200_000

_turns: WeakKeyDictionary[Engine, asyncio.Lock] = WeakKeyDictionary()
_looks: WeakKeyDictionary[Engine, asyncio.Task[Position]] = WeakKeyDictionary()
_known: WeakKeyDictionary[Engine, tuple[int, Position]] = WeakKeyDictionary()


async def catch_up(hub: Hub) -> Position:
    """The position of a projection that holds every entry which was in the ledger when this was called.

    Where nothing is missing this costs one small read of each plane, shared by all who call at the same moment. Whoever
    comes while another call is catching up waits for it, then looks again.
    """
    look = _looks.get(hub.engine)
    if look is None or look.done():
        look = _looks[hub.engine] = asyncio.create_task(_look(hub))
        # Whoever asked may have gone when it fails.
        look.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(look)


async def _look(hub: Hub) -> Position:
    # A task begins in a later round of the loop: all who have asked until now came before it, whoever comes next has
    # one of their own.
    del _looks[hub.engine]
    head, position = await asyncio.gather(hub.store.ledger.head(), _position(hub.engine))
    return position if position.watermark == head else await _in_turn(hub)


async def _position(engine: Engine) -> Position:
    """A gate looks before every request, so what cannot have changed is not asked again."""
    epoch, (seen, position) = engine.epoch, _known.get(engine, (None, None))
    if epoch is None:
        return await asyncio.to_thread(consent.watermark, engine)
    if position is None or seen != epoch:
        position = await asyncio.to_thread(consent.watermark, engine)
        _known[engine] = epoch, position
    return position


async def take_in(hub: Hub, entries: pa.Table) -> Position:
    """As `catch_up`, with the ledger's newest entries at hand, committed and in order: unless others lie before or
    between them, they need not be read back."""
    async with _turn(hub):
        position = await asyncio.to_thread(consent.watermark, hub.engine)
        if _follow(entries, position.watermark):
            return await asyncio.to_thread(_take_in, hub.engine, entries)
    return await catch_up(hub)


@dataclass(slots=True)
class Alongside:
    """Takes in what an import appends to the ledger, while the import goes on; on leaving, all that is left."""

    hub: Hub
    waiting: list[pa.Table] = field(default_factory=list)
    _working: asyncio.Task[Position] | None = None

    async def offer(self, entries: pa.Table) -> None:
        """Returns at once, unless a stretch is waiting while another is being taken in."""
        self.waiting.append(entries)
        if sum(table.num_rows for table in self.waiting) >= STRETCH:
            await self._begin()

    async def _begin(self) -> None:
        if self._working:
            await self._working
        entries, self.waiting = pa.concat_tables(self.waiting), []
        self._working = asyncio.create_task(take_in(self.hub, entries))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        if kind is None and self.waiting:
            await self._begin()
        if self._working:
            # A thread cannot be stopped: it comes to its end even when the import failed.
            await asyncio.wait([self._working])
            if kind is None:
                await self._working


async def rebuild(hub: Hub) -> Position:
    """Make the projection anew from the whole ledger, in one transaction. A restore must call it: entries recorded
    since may carry numbers that the projection believes it knows."""
    async with _turn(hub):
        return await _rebuild(hub)


async def _in_turn(hub: Hub) -> Position:
    async with _turn(hub):
        # In this order: the watermark never passes a head that is read after it, unless the ledger is an older copy.
        position = await asyncio.to_thread(consent.watermark, hub.engine)
        head = await hub.store.ledger.head()
        if position.watermark > head:
            return await _rebuild(hub)
        while position.watermark < head:
            entries = await hub.store.ledger.since(position.watermark, STRETCH)
            position = await asyncio.to_thread(_take_in, hub.engine, entries)
        return position


def _turn(hub: Hub) -> asyncio.Lock:
    return _turns.setdefault(hub.engine, asyncio.Lock())


def _follow(entries: pa.Table, watermark: int) -> bool:
    first, last = entries["seq"][0].as_py(), entries["seq"][-1].as_py()
    return bool(first == watermark + 1 and last == watermark + entries.num_rows)


@tried_again
def _take_in(engine: Engine, entries: pa.Table) -> Position:
    with engine.write() as tx:
        consent.apply_entries(tx, entries)
        return consent.watermark(tx)


async def _rebuild(hub: Hub) -> Position:
    loop = asyncio.get_running_loop()

    def stretches() -> Iterator[pa.RecordBatch]:
        seen = 0
        while (
            entries := asyncio.run_coroutine_threadsafe(hub.store.ledger.since(seen, STRETCH), loop).result()
        ).num_rows:
            yield from entries.to_batches()
            seen = entries["seq"][-1].as_py()

    def build() -> Position:
        with hub.engine.write() as tx:
            consent.rebuild(tx, pa.RecordBatchReader.from_batches(consent.ENTRIES, stretches()))
            return consent.watermark(tx)

    return await asyncio.to_thread(build)
