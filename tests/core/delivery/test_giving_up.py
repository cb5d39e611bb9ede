"""When a batch is given up, when the whole run is, and the words with which that is logged."""

from __future__ import annotations

import pytest

from hub.core.delivery.machine import Delivery
from hub.core.delivery.messages import (
    Answer,
    Answered,
    CancelRequested,
    ChunkRead,
    Committed,
    Crashed,
    Ended,
    Finish,
    Limits,
    Wait,
    Woken,
)
from hub.core.planning import Fate
from hub.sdk.contract import Outcome, OutcomeKind, Result
from hub.sdk.errors import AuthError, ConnectorError, RefusedError, TransientError
from tests.core.delivery.simulation import Line, people
from tests.core.delivery.test_machine import begun, lines, of, sent
from tests.core.delivery.test_retry_budget import conversation

BUSY = TransientError("busy", sent=False)


def given_up(answer: Answer) -> list[Line]:
    """What is logged of one person whose request gets this answer, and no retry."""
    machine = Delivery(Limits(1, 1), lambda failures, after: None)
    machine.start()
    machine.handle(ChunkRead(tuple(people(1)), 1, end=True))
    sent(machine)
    return lines(machine.handle(Answered(1, 1, answer)))


@pytest.mark.parametrize(
    ("answer", "fate", "reason"),
    [
        (TransientError("timed out"), Fate.UNKNOWN, "timed out"),
        (TransientError("no route", sent=False), Fate.RETRY, "no route"),
        (ConnectorError("of no kind"), Fate.UNKNOWN, "of no kind"),
        (AuthError("locked"), Fate.RETRY, "locked"),
        (RefusedError("malformed"), Fate.REJECTED, "malformed"),
        (Crashed("KeyError"), Fate.UNKNOWN, "The connector failed."),
        (Result({"add1": Outcome(OutcomeKind.RETRY, "locked row")}), Fate.RETRY, "locked row"),
        (Result(), Fate.ACCEPTED, ""),
    ],
)
def test_the_log_says_why(answer: Answer, fate: Fate, reason: str) -> None:
    assert [(line.fate, line.reason) for line in given_up(answer)] == [(fate, reason)]


def test_an_error_of_no_kind_is_tried_again_and_may_have_arrived() -> None:
    machine = begun(1)
    sent(machine)
    assert of(Wait, machine.handle(Answered(1, 1, ConnectorError("odd")))) == [Wait(1, 2, 1.0)]
    machine.handle(Woken(1, 2))
    sent(machine, 1, 2)
    assert [line.fate for line in lines(machine.handle(Answered(1, 2, Result())))] == [Fate.UNKNOWN, Fate.ACCEPTED]


def test_whoever_waits_when_the_run_is_cancelled_is_logged_with_that() -> None:
    machine = begun(1)
    sent(machine)
    machine.handle(Answered(1, 1, BUSY))
    [line] = lines(machine.handle(CancelRequested()))
    assert (line.fate, line.reason) == (Fate.RETRY, "The run ended first.")


def test_a_share_of_the_first_request_is_no_retry_yet() -> None:
    said, _ = conversation(lambda _: BUSY, 1, retry_floor=0, retry_share=0.5)
    assert [(line.attempt, line.fate) for line in said] == [(1, Fate.RETRY)]


def ended_with(answers: list[Answer], **limits: int) -> tuple[int, Finish]:
    """How many requests are made until the end, and the end. After the answers, the vendor is busy."""
    requests = 0

    def answer(number: int) -> Answer:
        nonlocal requests
        requests = number
        return answers[number - 1] if number <= len(answers) else BUSY

    _, said = conversation(answer, 9, retry_share=0, patience=1, **limits)
    [end] = [command for command in said if isinstance(command, Finish)]
    return requests, end


@pytest.mark.parametrize("word", [Result(), RefusedError("malformed")], ids=["accepted", "refused"])
def test_without_retries_left_the_run_ends_after_as_much_silence_as_there_were_retries(word: Answer) -> None:
    """Three retries go to the first person, who then gets a word; the next two are given up, and the run goes on."""
    requests, end = ended_with([BUSY, BUSY, BUSY, word], retry_floor=3)
    assert (requests, end) == (7, Finish(Ended.UNREACHABLE, "busy"))


def test_a_vendor_that_names_a_time_nobody_waits_for_is_given_up_even_without_retries_left() -> None:
    """As a share of the requests, its two retries are used up, and it was silent only once since."""
    limits = Limits(1, 1, retry_floor=2, retry_share=0, patience=1)
    machine = Delivery(limits, lambda failures, after: None if after else 1.0)
    machine.start()
    machine.handle(ChunkRead(tuple(people(9)), 9, end=True))
    for attempt, answer in enumerate((BUSY, BUSY, Result()), 1):
        sent(machine, 1, attempt)
        machine.handle(Answered(1, attempt, answer))
        machine.handle(Woken(1, attempt + 1))
    machine.handle(Committed())
    sent(machine, 2)
    machine.handle(Answered(2, 1, TransientError("later", 9.0, sent=False)))
    assert machine.handle(Committed()) == [Finish(Ended.UNREACHABLE, "later")]


@pytest.mark.parametrize("word", [Result(), RefusedError("malformed")], ids=["accepted", "refused"])
def test_a_vendor_that_gave_a_word_once_was_reached(word: Answer) -> None:
    machine = begun(1)
    sent(machine)
    machine.handle(Answered(1, 1, BUSY))
    machine.handle(Woken(1, 2))
    sent(machine, 1, 2)
    machine.handle(Answered(1, 2, word))
    assert machine.handle(Committed()) == [Finish(Ended.COMPLETED)]


@pytest.mark.parametrize(
    ("error", "fates"),
    [
        (AuthError("locked out"), [Fate.UNKNOWN]),
        (RefusedError("bad"), [Fate.UNKNOWN, Fate.REJECTED]),
    ],
)
def test_a_call_that_has_done_something_before_it_failed_leaves_people_in_doubt(
    error: ConnectorError, fates: list[Fate]
) -> None:
    error.reached = True
    assert [(line.fate, line.attempt) for line in given_up(error)] == [(fate, 1) for fate in fates]
