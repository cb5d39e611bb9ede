"""Planted bugs of what is done about a vendor's jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from hub.core.delivery.batches import OpenBatch, Phase
from hub.core.delivery.jobs import Inquiry
from hub.core.delivery.machine import Delivery
from hub.core.delivery.verdicts import Attempt
from hub.sdk.contract import Result
from hub.sdk.errors import TransientError
from tests.simulation.course import Run
from tests.simulation.planting import planted
from tests.simulation.rim import Hub
from tests.simulation.vendors import IN_FLIGHT_S
from tests.warehouse import planning_model as model


@planted
def submit_again_while_the_job_runs() -> Iterator[None]:
    ask_after = Delivery._ask_after

    def again(self: Delivery, batch: OpenBatch, retry_after: float | None) -> None:
        if batch.inquiry and batch.inquiry.polls:
            batch.phase, batch.inquiry = Phase.READY, None
            batch.attempt = Attempt(batch.attempt.number + 1)
        else:
            ask_after(self, batch, retry_after)

    with patch.object(Delivery, "_ask_after", again):
        yield


@planted
def forget_the_jobs_at_a_restart() -> Iterator[None]:
    with patch.object(Run, "open_jobs", lambda self: []):
        yield


@planted
def submit_again_at_a_restart() -> Iterator[None]:
    """As if the log did not say who is in a job."""
    final = lambda self: {position for position, fate in self.latest().items() if fate.final}  # noqa: E731
    with patch.object(Run, "open_jobs", lambda self: []), patch.object(Run, "over", final):
        yield


def _hearing(change: Any) -> Any:
    hear = Inquiry.hear
    return patch.object(Inquiry, "hear", lambda self, answer, *, late: change(self, hear, answer, late))


@planted
def a_fault_when_asking_counts_as_done() -> Iterator[None]:
    def wrong(self: Inquiry, hear: Any, answer: Any, late: bool) -> Any:
        return Result() if isinstance(answer, TransientError) else hear(self, answer, late=late)

    with _hearing(wrong):
        yield


@planted
def ask_after_a_job_for_ever() -> Iterator[None]:
    with _hearing(lambda self, hear, answer, late: hear(self, answer, late=False)):
        yield


@planted
def a_job_past_its_deadline_counts_as_done() -> Iterator[None]:
    def wrong(self: Inquiry, hear: Any, answer: Any, late: bool) -> Any:
        return Result() if late else hear(self, answer, late=late)

    with _hearing(wrong):
        yield


@planted
def believe_the_first_word_on_a_job() -> Iterator[None]:
    with patch.object(Inquiry, "_final", lambda self, word: word):
        yield


@planted
def the_end_of_a_job_ends_every_doubt() -> Iterator[None]:
    fold = model.fold

    def wrong(held: model.Ledger, told: model.Told, *when: Any) -> set[str]:
        folded = fold(held, told, *when)
        if told.since and told.row.key in held:
            held[told.row.key] = replace(held[told.row.key], late_until=None, late_op=None, again=None)
        return folded

    with patch.object(model, "fold", wrong):
        yield


@planted
def settle_forgets_how_long_a_job_may_take() -> Iterator[None]:
    fold = model.fold
    forgetful = patch.object(model, "fold", lambda held, told, *when: fold(held, told._replace(until=None), *when))
    with forgetful, patch.object(Hub, "_lands_within", lambda self: timedelta(seconds=IN_FLIGHT_S)):
        yield
