"""The vendor's own ids of people, found once and remembered while the process lives."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

Find = Callable[[Sequence[str]], Awaitable[Mapping[str, str]]]
"""Asks the vendor for the ids of these keys, and leaves out whom it does not know."""


class NativeIds:
    """Ids by key, at most `most` of them, those used longest ago forgotten first. Nobody's absence is remembered: they
    may have come since."""

    def __init__(self, most: int = 200_000) -> None:
        self._most = most
        self._known: OrderedDict[str, str] = OrderedDict()

    async def of(self, keys: Iterable[str], find: Find, at_once: int = 100) -> dict[str, str]:
        """The ids of those whom the vendor knows; it is asked about the others, so many `at_once`."""
        wanted = list(dict.fromkeys(keys))
        found = {key: self._known[key] for key in wanted if key in self._known}
        missing = [key for key in wanted if key not in found]
        for start in range(0, len(missing), at_once):
            found |= await find(missing[start : start + at_once])
        self.learn(found)
        return {key: found[key] for key in wanted if key in found}

    def learn(self, found: Mapping[str, str]) -> None:
        """Remember what an answer told by the way."""
        for key, native in found.items():
            self._known[key] = native
            self._known.move_to_end(key)
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def forget(self, keys: Iterable[str]) -> None:
        """Whom the vendor says it does not know by that id any more: merged, or deleted and made anew."""
        for key in keys:
            self._known.pop(key, None)
