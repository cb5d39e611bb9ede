"""One operation at a time per audience and person, also where two runs of a sync are under way side by side."""

from __future__ import annotations

import asyncio
from collections import defaultdict


class KeysInFlight:
    """Which vendor keys of which sync a request is under way for, in this process."""

    def __init__(self) -> None:
        self._held: defaultdict[int, set[str]] = defaultdict(set)
        self._changed = asyncio.Condition()

    async def take(self, sync: int, keys: frozenset[str]) -> None:
        """Wait until nothing is under way for any of these people, then have them. All at once, so nobody deadlocks."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._held[sync].isdisjoint(keys))
            self._held[sync] |= keys

    async def give_back(self, sync: int, keys: frozenset[str]) -> None:
        async with self._changed:
            self._held[sync] -= keys
            self._changed.notify_all()
