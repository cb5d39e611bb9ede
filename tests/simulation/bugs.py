"""Planted bugs of the machine and of the process around it; see `planting` and, for settling, `bugs_in_settling`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from hub.core.delivery import machine as machine_module
from hub.core.delivery import unlogged as unlogged_module
from hub.core.delivery import verdicts as verdicts_module
from hub.core.delivery.ahead import Ahead
from hub.core.delivery.batches import OpenBatches, Phase
from hub.core.delivery.machine import Delivery
from hub.core.delivery.messages import ChunkRead, OpenJob, Send, Verdict
from hub.core.delivery.rows import Row, Rows
from hub.core.delivery.verdicts import Attempt
from hub.core.planning import Fate
from hub.sdk.contract import OutcomeKind, Result
from hub.sdk.errors import RefusedError
from tests.simulation import bugs_in_jobs, bugs_in_settling  # noqa: F401 - plant their own
from tests.simulation.course import KeysInFlight
from tests.simulation.planting import BUGS, planted
from tests.simulation.rim import Hub

__all__ = ["BUGS"]

# Consent and sending.


@planted
def skip_consent_on_retry() -> Iterator[None]:
    def woken(self: Delivery, event: Any) -> None:
        if batch := self._batches.expecting(event.batch, event.attempt, Phase.WAITING):
            batch.phase = Phase.SENDING
            self._commands.append(Send(batch.number, event.attempt, batch.rows))

    with patch.object(Delivery, "_woken", woken):
        yield


@planted
def ignore_withheld() -> Iterator[None]:
    with patch.object(machine_module, "drops", lambda row, withheld: False):
        yield


@planted
def withheld_are_dropped_without_a_word() -> Iterator[None]:
    with patch.object(Attempt, "dropped", lambda self, rows, withheld: []):
        yield


@planted
def two_attempts_in_flight() -> Iterator[None]:
    """The process lets a request begin for people for whom another one is under way."""
    with patch.object(KeysInFlight, "take", lambda self, keys, then: then()):
        yield


@planted
def ignore_concurrency() -> Iterator[None]:
    with patch.object(OpenBatches, "slot_free", lambda self: True):
        yield


@planted
def send_the_batch_twice() -> Iterator[None]:
    begin = OpenBatches.begin

    def twice(self: OpenBatches, rows: Rows, attempt: Attempt, failures: int = 0) -> Any:
        begin(self, rows, attempt, failures)
        return begin(self, rows, attempt, failures)

    with patch.object(OpenBatches, "begin", twice):
        yield


# Answers.


@planted
def mark_sent_before_the_answer() -> Iterator[None]:
    gated = Delivery._gated

    def too_soon(self: Delivery, event: Any) -> None:
        gated(self, event)
        batch = self._batches.expecting(event.batch, event.attempt, Phase.SENDING)
        if batch:
            self._close(batch, [batch.attempt.verdict(batch.rows, Fate.ACCEPTED)])

    with patch.object(Delivery, "_gated", too_soon):
        yield


def _all_as(fate: Fate) -> Callable[[Attempt, Rows, Result], list[Verdict]]:
    return lambda self, rows, result, job=None: [self.verdict(rows, fate)]


@planted
def accept_2xx_with_errors() -> Iterator[None]:
    with patch.object(Attempt, "read", _all_as(Fate.ACCEPTED)):
        yield


@planted
def the_first_rows_word_for_the_whole_batch() -> Iterator[None]:
    read = Attempt.read

    def first(self: Attempt, rows: Rows, result: Result, job: OpenJob | None = None) -> list[Verdict]:
        said = read(self, rows, result, job)
        [one] = [one for one in said if rows[0] in list(one.rows)]
        return [one._replace(rows=rows)]

    with patch.object(Attempt, "read", first):
        yield


def _misread(**changed: Any) -> Any:
    """A result is read as if it were another one."""
    read = Attempt.read
    misread = lambda self, rows, result, job=None: read(self, rows, replace(result, **changed), job)  # noqa: E731
    return patch.object(Attempt, "read", misread)


@planted
def take_a_vague_answer_for_a_yes() -> Iterator[None]:
    with _misread(rest=OutcomeKind.ACCEPTED):
        yield


@planted
def take_an_open_job_for_a_yes() -> Iterator[None]:
    with _misread(job=None):
        yield


def _fate(kind: OutcomeKind, fate: Fate) -> Any:
    return patch.dict(verdicts_module.FATES, {kind: fate})


@planted
def suppressed_counts_as_accepted() -> Iterator[None]:
    with _fate(OutcomeKind.SUPPRESSED, Fate.ACCEPTED):
        yield


@planted
def rejected_counts_as_nothing_to_do() -> Iterator[None]:
    with _fate(OutcomeKind.REJECTED, Fate.NOOP):
        yield


@planted
def come_again_counts_as_rejected() -> Iterator[None]:
    with _fate(OutcomeKind.RETRY, Fate.REJECTED):
        yield


@planted
def give_up_at_the_first_fault() -> Iterator[None]:
    def refused(self: Delivery, batch: Any, reason: str, retry_after: Any, *, sent: bool) -> None:
        self._close(batch, [batch.attempt.verdict(batch.rows, Fate.REJECTED, reason)])

    with patch.object(Delivery, "_unanswered", refused):
        yield


@planted
def never_bisect() -> Iterator[None]:
    refused = Delivery._refused

    def whole(self: Delivery, batch: Any, error: RefusedError) -> None:
        refused(self, batch, RefusedError(error.reason))

    with patch.object(Delivery, "_refused", whole):
        yield


@planted
def forget_the_second_half() -> Iterator[None]:
    def first_half(self: OpenBatches, batch: Any) -> None:
        self.close(batch)
        self.begin(batch.rows[: len(batch.rows) // 2], Attempt(batch.attempt.number + 1), batch.failures)

    with patch.object(OpenBatches, "split", first_half):
        yield


@planted
def forget_retry_rows() -> Iterator[None]:
    def read_result(self: Delivery, batch: Any, result: Result, until: Any) -> None:
        said = batch.attempt.read(batch.rows, result)
        self._close(batch, [one for one in said if one.fate is not Fate.RETRY])

    with patch.object(Delivery, "_read_result", read_result):
        yield


@planted
def never_wake() -> Iterator[None]:
    with patch.object(Delivery, "_woken", lambda self, event: None):
        yield


# What went unanswered.


@planted
def lose_the_unknown() -> Iterator[None]:
    with patch.object(unlogged_module, "with_traces", list):
        yield


@planted
def forget_who_went_unanswered() -> Iterator[None]:
    with patch.object(machine_module, "doubted", lambda rows, attempt: tuple(rows)):
        yield


@planted
def a_timeout_never_reached_the_vendor() -> Iterator[None]:
    unanswered = Delivery._unanswered

    def unsent(self: Delivery, batch: Any, reason: str, retry_after: Any, *, sent: bool) -> None:
        unanswered(self, batch, reason, retry_after, sent=False)

    with patch.object(Delivery, "_unanswered", unsent):
        yield


@planted
def a_cancel_forgets_what_is_in_flight() -> Iterator[None]:
    with patch.object(machine_module.OpenBatch, "resting", True):
        yield


@planted
def a_crash_doubts_nobody() -> Iterator[None]:
    with patch.object(Hub, "doubtful", lambda self, run: []):
        yield


# The plan.


def _reading(change: Callable[[Sequence[Row], ChunkRead], ChunkRead]) -> Any:
    add = Ahead.add
    return patch.object(Ahead, "add", lambda self, chunk: add(self, change(chunk.rows, chunk)))


@planted
def drop_removes() -> Iterator[None]:
    with _reading(lambda rows, chunk: replace(chunk, rows=tuple(row for row in rows if row.op.adds))):
        yield


@planted
def stop_after_the_first_chunk() -> Iterator[None]:
    with _reading(lambda rows, chunk: replace(chunk, end=True)):
        yield


@planted
def read_the_last_of_a_chunk_twice() -> Iterator[None]:
    with _reading(lambda rows, chunk: replace(chunk, last=chunk.last - (len(rows) > 1))):
        yield
