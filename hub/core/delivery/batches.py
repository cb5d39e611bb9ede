"""The batches that a run has begun and not finished, and how many of them may be open at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from hub.core.delivery.jobs import Inquiry
from hub.core.delivery.messages import Limits
from hub.core.delivery.rows import Rows, Stretch
from hub.core.delivery.verdicts import Attempt


class Phase(Enum):
    READY = auto()
    GATING = auto()
    SENDING = auto()
    WAITING = auto()
    POLLING = auto()


@dataclass(slots=True)
class OpenBatch:
    """People under way together. `failures` counts the retries so far, for the back-off; `throttled` says that the
    vendor itself asked for the wait. `inquiry` is about the job that they are in, while POLLING."""

    number: int
    rows: Rows
    attempt: Attempt
    failures: int = 0
    phase: Phase = Phase.READY
    throttled: bool = False
    inquiry: Inquiry | None = None

    @property
    def moving(self) -> bool:
        return self.phase in {Phase.GATING, Phase.SENDING}

    @property
    def resting(self) -> bool:
        return not self.moving

    @property
    def in_doubt(self) -> bool:
        """A crash now would leave open whether these people were reached."""
        return self.moving or self._unanswered()

    def _unanswered(self) -> bool:
        return not isinstance(self.rows, Stretch) and any(row.unanswered is not None for row in self.rows)


class OpenBatches:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: dict[int, OpenBatch] = {}
        self._numbers = 0

    def __iter__(self) -> Iterator[OpenBatch]:
        return iter(list(self._open.values()))

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, rows: Rows, attempt: Attempt, failures: int = 0) -> OpenBatch:
        self._numbers += 1
        batch = OpenBatch(self._numbers, rows, attempt, failures)
        self._open[batch.number] = batch
        return batch

    def follow(self, rows: Rows, attempt: Attempt, inquiry: Inquiry) -> OpenBatch:
        """People who are in a job of the vendor's now."""
        batch = self.begin(rows, attempt)
        batch.phase, batch.inquiry = Phase.POLLING, inquiry
        return batch

    def split(self, batch: OpenBatch) -> None:
        self.close(batch)
        middle = len(batch.rows) // 2
        for half in (batch.rows[:middle], batch.rows[middle:]):
            self.begin(half, Attempt(batch.attempt.number + 1), batch.failures)

    def moving(self, number: int) -> bool:
        batch = self._open.get(number)
        return batch is not None and batch.moving

    def close(self, batch: OpenBatch) -> None:
        del self._open[batch.number]

    def expecting(self, number: int, attempt: int, phase: Phase) -> OpenBatch | None:
        """The batch that this event is about, unless the event comes late, twice or out of nowhere."""
        batch = self._open.get(number)
        return batch if batch and batch.attempt.number == attempt and batch.phase is phase else None

    def slot_free(self) -> bool:
        """A batch that backs off keeps its slot, and one that the vendor throttles holds all others back as well. One
        that is in a job has none."""
        busy = [batch for batch in self._open.values() if batch.phase not in {Phase.READY, Phase.POLLING}]
        return len(busy) < self._limits.concurrency and not any(batch.throttled for batch in busy)

    def in_doubt(self) -> int:
        return sum(batch.in_doubt for batch in self._open.values())

    def jobs(self) -> int:
        return sum(batch.phase is Phase.POLLING for batch in self._open.values())

    def ready(self) -> list[OpenBatch]:
        """Halves and retries, before any fresh batch: what has begun is finished first."""
        return [batch for batch in self._open.values() if batch.phase is Phase.READY]
