"""Verdicts on their way into the log, and how many people a crash would leave in doubt until they are there."""

from __future__ import annotations

from collections.abc import Sequence

from hub.core.delivery.messages import Commit, Verdict
from hub.core.delivery.verdicts import with_traces


class Unlogged:
    """`claimed` counts the people begun of whom the log does not speak yet."""

    def __init__(self) -> None:
        self.claimed = 0
        self._verdicts: list[Verdict] = []
        self._answers = 0
        self._batches: set[int] = set()
        self._writing: frozenset[int] = frozenset()
        self._committing: tuple[int, int] | None = None

    def __bool__(self) -> bool:
        return bool(self._verdicts or self._committing)

    def add(self, verdicts: Sequence[Verdict], answers: int = 0, *, batch: int | None = None) -> None:
        """`answers` is how many batches these are the end of, as far as a crash could leave those in doubt; `batch` the
        one that is over with them."""
        self._verdicts += verdicts
        self._answers += answers
        if verdicts and batch is not None:
            self._batches.add(batch)

    def holds(self, batch: int) -> bool:
        """Whether what has become of people of this batch is not durable yet."""
        return batch in self._batches or batch in self._writing

    @property
    def answers(self) -> int:
        return self._answers + (self._committing[0] if self._committing else 0)

    def commit(self) -> Commit | None:
        """All that has come in since the last one, once that is durable."""
        if self._committing or not self._verdicts:
            return None
        first_words = sum(len(verdict.rows) for verdict in self._verdicts if verdict.is_first)
        self._committing = (self._answers, first_words)
        self._writing = frozenset(self._batches)
        commit = Commit(tuple(with_traces(self._verdicts)), self._writing)
        self._verdicts, self._answers, self._batches = [], 0, set()
        return commit

    def committed(self) -> None:
        if self._committing:
            self.claimed -= self._committing[1]
            self._committing, self._writing = None, frozenset()
