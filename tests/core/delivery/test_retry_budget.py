"""How often a run tries again in all, and how often one person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hub.core.delivery.machine import Delivery
from hub.core.delivery.messages import (
    Answer,
    Answered,
    ChunkRead,
    Command,
    Commit,
    Committed,
    Ended,
    Event,
    Finish,
    Gate,
    Gated,
    Limits,
    Read,
    Send,
    Wait,
    Woken,
)
from hub.core.planning import Fate
from hub.sdk.contract import Outcome, OutcomeKind, Result
from hub.sdk.errors import TransientError
from tests.core.delivery.simulation import Line, people
from tests.core.delivery.test_machine import begun, lines, of, sent


def conversation(answer: Callable[[int], Answer], count: int, **limits: Any) -> tuple[list[Line], list[Command]]:
    """A whole run of single people, one request at a time: what was logged of them, and all that the machine said. The
    n-th request gets `answer(n)`."""
    machine = Delivery(Limits(1, 1, **limits), lambda failures, after: None if failures > 6 else after or 1.0)
    said, open_commands, requests = list[Command](), machine.start(), 0
    while open_commands:
        command = open_commands.pop(0)
        said.append(command)
        match command:
            case Read():
                event: Event = ChunkRead(tuple(people(count)), count, end=True)
            case Gate():
                event = Gated(command.batch, command.attempt, 7)
            case Send():
                requests += 1
                event = Answered(command.batch, command.attempt, answer(requests))
            case Wait():
                event = Woken(command.batch, command.attempt)
            case Commit():
                event = Committed()
            case _:
                continue
        open_commands += machine.handle(event)
    return lines(said), said


def busy_every_other(request: int) -> Answer:
    return TransientError("busy") if request % 2 else Result()


def test_a_run_retries_no_more_than_its_floor_and_a_share_of_its_requests() -> None:
    told, said = conversation(busy_every_other, 400, retry_floor=10, retry_share=0.2)
    assert len(of(Wait, said)) <= 10 + 0.2 * len(of(Send, said))
    assert len(of(Wait, said)) >= 0.2 * len(of(Send, said))
    assert len({line.row.key for line in told}) == 400 and said[-1] == Finish(Ended.COMPLETED)


def test_whoever_is_given_up_for_want_of_retries_is_possibly_there_and_stays_to_be_done() -> None:
    told, said = conversation(lambda request: TransientError("timed out") if request == 2 else Result(), 3,
                              retry_floor=0, retry_share=0.0)  # fmt: skip
    assert [(line.row.key, line.fate) for line in told] == [
        ("add1", Fate.ACCEPTED),
        ("add2", Fate.UNKNOWN),
        ("add3", Fate.ACCEPTED),
    ]
    assert not of(Wait, said)


def test_a_wait_that_the_vendor_asked_for_is_not_counted_as_a_retry() -> None:
    told, said = conversation(lambda request: TransientError("slow down", 5.0) if request % 2 else Result(), 30,
                              retry_floor=0, retry_share=0.0)  # fmt: skip
    assert [line.fate for line in told if line.fate is not Fate.UNKNOWN] == [Fate.ACCEPTED] * 30
    assert len(of(Wait, said)) == 30


def test_waits_that_the_vendor_asked_for_use_up_no_retries() -> None:
    def answer(request: int) -> Answer:
        return TransientError("slow down", 5.0) if request < 6 else TransientError("busy") if request == 7 else Result()

    told, _ = conversation(answer, 3, retry_floor=1, retry_share=0.0)
    assert [line.fate for line in told if line.fate is not Fate.UNKNOWN] == [Fate.ACCEPTED] * 3


def test_a_flaky_vendor_does_not_pass_for_one_that_is_gone_and_a_silent_one_does() -> None:
    _, flaky = conversation(lambda request: Result() if request % 5 == 0 else TransientError("busy"), 200)
    _, gone = conversation(lambda request: TransientError("busy"), 200)
    assert flaky[-1] == Finish(Ended.COMPLETED)
    assert gone[-1] == Finish(Ended.UNREACHABLE, "busy")
    assert len(of(Send, gone)) < 40


def test_nobody_is_tried_more_often_than_the_policy_allows_whichever_batches_they_are_in() -> None:
    """Each time the one who is put off goes on in a batch of their own: the failures so far go with them."""
    again = Outcome(OutcomeKind.RETRY, "later")
    machine, attempts = begun(2), list[int]()
    sent(machine)
    commands = machine.handle(Answered(1, 1, Result({"add1": again})))
    while waits := of(Wait, commands):
        [wait] = waits
        assert isinstance(wait, Wait)
        machine.handle(Woken(wait.batch, wait.attempt))
        sent(machine, wait.batch, wait.attempt)
        attempts.append(wait.attempt)
        commands = machine.handle(Answered(wait.batch, wait.attempt, Result({"add1": again})))
    assert attempts == [2, 3]
