"""Reading the plan one chunk ahead, so that nobody waits for a reading while there is something to send."""

from __future__ import annotations

from hub.core.delivery.messages import ChunkRead, Limits, Read
from hub.core.delivery.rows import Rows, Waiting, apart


class Ahead:
    """The people read who are not begun yet."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._fresh = Waiting()
        self._read_to = 0
        self._reading = False
        self._all_read = False

    def add(self, chunk: ChunkRead) -> None:
        self._reading = False
        self._read_to = max(self._read_to, chunk.last)
        self._all_read = chunk.end
        self._fresh.add(chunk.rows)

    @property
    def done(self) -> bool:
        return self._all_read and not self._fresh

    @property
    def next(self) -> int:
        """How many people the next batch has: only whole batches until the plan is read to its end."""
        whole = len(self._fresh) >= self._limits.batch or self._all_read
        return min(self._limits.batch, len(self._fresh)) if whole else 0

    def take(self) -> list[Rows]:
        """The next people, as one batch, or as two where adds and removes go apart."""
        rows = self._fresh.take(self._limits.batch)
        return apart(rows) if self._limits.apart else [rows]

    def read_on(self) -> Read | None:
        """The first reading is short, so that sending begins at once, and each one after it is longer, so that it is
        there before everybody read so far is sent."""
        at_once = self._limits.batch * self._limits.concurrency
        if self._reading or self._all_read or len(self._fresh) > max(self._limits.chunk, at_once):
            return None
        self._reading = True
        return Read(self._read_to, min(self._limits.chunk, at_once + self._read_to))
