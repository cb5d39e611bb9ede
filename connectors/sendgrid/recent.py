"""Whom this process has added a short while ago: SendGrid's search may not find them yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable


class Recent:
    """Keys for `seconds` after they were last noted, at most `most` of them. After a restart nobody is remembered,
    which is why a job counts as done only when its contacts can be found."""

    def __init__(self, seconds: float, most: int = 200_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._noted: dict[str, float] = {}

    def note(self, keys: Iterable[str]) -> None:
        now = self._clock()
        for key in keys:
            self._noted.pop(key, None)
            self._noted[key] = now
        while self._noted and (len(self._noted) > self._most or not self._fresh(next(iter(self._noted)))):
            del self._noted[next(iter(self._noted))]

    def forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._noted.pop(key, None)

    def __contains__(self, key: str) -> bool:
        return key in self._noted and self._fresh(key)

    def _fresh(self, key: str) -> bool:
        return self._clock() - self._noted[key] < self._seconds
