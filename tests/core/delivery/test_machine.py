"""Single decisions of the machine, told as short conversations."""

from __future__ import annotations

from hub.core.delivery.machine import Delivery
from hub.core.delivery.messages import (
    Answered,
    CancelRequested,
    ChunkRead,
    Command,
    Commit,
    Committed,
    Crashed,
    DrainRequested,
    Ended,
    Finish,
    Gate,
    Gated,
    Limits,
    Send,
    Wait,
    Woken,
)
from hub.core.planning import Fate
from hub.core.records import WithheldReason
from hub.sdk.contract import Outcome, OutcomeKind, Result
from hub.sdk.egress import EgressDenied
from hub.sdk.errors import AuthError, RefusedError, TransientError
from tests.core.delivery.simulation import Line, lines_of, people


def begun(count: int = 4, batch: int = 2, concurrency: int = 1) -> Delivery:
    """A machine whose first batches stand before their gates."""
    machine = Delivery(
        Limits(batch, concurrency), lambda failures, after: None if failures > 2 else after or float(failures)
    )
    machine.start()
    machine.handle(ChunkRead(tuple(people(count)), count, end=True))
    return machine


def sent(machine: Delivery, number: int = 1, attempt: int = 1) -> list[Command]:
    return machine.handle(Gated(number, attempt, ledger_seq=7))


def sent_as(machine: Delivery, attempt: int, fingerprint: str) -> list[Command]:
    """The gate lets the one person through with this payload, whatever the attempts before have left behind."""
    [batch] = machine._batches
    rows = tuple(row._replace(fingerprint=fingerprint) for row in batch.rows)
    return machine.handle(Gated(1, attempt, 7, rows=rows))


def lines(commands: list[Command]) -> list[Line]:
    return lines_of(verdict for command in commands if isinstance(command, Commit) for verdict in command.verdicts)


def of(kind: type, commands: list[Command]) -> list[Command]:
    return [command for command in commands if isinstance(command, kind)]


def test_a_request_goes_out_only_after_its_gate() -> None:
    machine = Delivery(Limits(2), lambda failures, after: None)
    machine.start()
    commands = machine.handle(ChunkRead(tuple(people(2)), 2, end=True))
    assert of(Gate, commands) and not of(Send, commands)
    assert of(Send, sent(machine))


def test_a_retry_passes_the_gate_again_with_a_fresh_payload() -> None:
    machine = begun(2)
    sent(machine)
    [wait] = of(Wait, machine.handle(Answered(1, 1, TransientError("busy"))))
    assert wait == Wait(1, 2, 1.0)
    [gate] = of(Gate, machine.handle(Woken(1, 2)))
    assert isinstance(gate, Gate) and gate.fresh and gate.attempt == 2


def test_someone_who_withdraws_between_two_attempts_is_withheld_and_possibly_there() -> None:
    machine = begun(2)
    sent(machine)
    machine.handle(Answered(1, 1, TransientError("timed out")))
    machine.handle(Woken(1, 2))
    told = lines(machine.handle(Gated(1, 2, 8, {"add1": WithheldReason.NO_CONSENT})))
    assert [(line.row.key, line.attempt, line.fate) for line in told] == [
        ("add1", 1, Fate.UNKNOWN),
        ("add1", 2, Fate.WITHHELD),
    ]


def test_what_may_arrive_late_is_the_payload_of_the_attempt_that_got_no_answer() -> None:
    machine = begun(1)
    sent_as(machine, 1, "old")
    machine.handle(Answered(1, 1, TransientError("timed out")))
    machine.handle(Woken(1, 2))
    sent_as(machine, 2, "new")
    told = lines(machine.handle(Answered(1, 2, Result())))
    assert [(line.row.fingerprint, line.fate) for line in told] == [("old", Fate.UNKNOWN), ("new", Fate.ACCEPTED)]


def test_a_batch_given_up_before_its_retry_left_is_unknown_with_the_payload_that_did() -> None:
    machine = begun(1)
    sent_as(machine, 1, "old")
    machine.handle(Answered(1, 1, TransientError("timed out")))
    for attempt in (2, 3):
        machine.handle(Woken(1, attempt))
        sent_as(machine, attempt, "new")
        told = lines(machine.handle(Answered(1, attempt, TransientError("no route", sent=False))))
    assert [(line.row.fingerprint, line.fate) for line in told] == [("old", Fate.UNKNOWN)]


def test_an_answer_to_an_attempt_that_is_over_is_ignored() -> None:
    machine = begun(2)
    sent(machine)
    machine.handle(Answered(1, 1, TransientError("timed out")))
    assert machine.handle(Answered(1, 1, Result())) == []
    assert machine.handle(Answered(9, 1, Result())) == []


def test_the_verdict_names_the_ledger_entry_that_the_attempt_read() -> None:
    machine = begun(2)
    sent(machine)
    assert {line.ledger_seq for line in lines(machine.handle(Answered(1, 1, Result())))} == {7}


def test_the_vendors_wait_holds_back_every_other_batch() -> None:
    machine = begun(6, concurrency=2)
    sent(machine, 1)
    commands = machine.handle(Answered(1, 1, TransientError("slow down", 30.0)))
    assert of(Wait, commands) == [Wait(1, 2, 30.0)]
    sent(machine, 2)
    assert not of(Gate, machine.handle(Answered(2, 1, Result())))
    machine.handle(Committed())
    assert of(Gate, machine.handle(Woken(1, 2)))


def test_a_refused_account_ends_the_run_and_leaves_the_rest_to_do() -> None:
    machine = begun(6)
    sent(machine)
    told = lines(machine.handle(Answered(1, 1, AuthError("the key was revoked"))))
    assert {line.fate for line in told} == {Fate.RETRY}
    assert machine.handle(Committed()) == [Finish(Ended.AUTH, "the key was revoked")]


def test_an_address_that_our_own_policy_forbids_ends_the_run_as_such() -> None:
    machine = begun(6)
    sent(machine)
    machine.handle(Answered(1, 1, EgressDenied("10.0.0.1 is a private address")))
    assert machine.handle(Committed()) == [Finish(Ended.DENIED, "10.0.0.1 is a private address")]


def test_a_crash_of_the_connector_leaves_its_batch_unknown_and_names_only_the_type() -> None:
    machine = begun(6)
    sent(machine)
    told = lines(machine.handle(Answered(1, 1, Crashed("KeyError"))))
    assert {line.fate for line in told} == {Fate.UNKNOWN}
    assert machine.handle(Committed()) == [Finish(Ended.CRASHED, "KeyError")]


def test_a_refused_batch_that_cannot_be_divided_is_rejected_with_its_reason() -> None:
    machine = begun(2)
    sent(machine)
    told = lines(machine.handle(Answered(1, 1, RefusedError("list is archived"))))
    assert {(line.fate, line.reason) for line in told} == {(Fate.REJECTED, "list is archived")}


def test_what_never_left_is_still_to_do_when_the_attempts_are_used_up() -> None:
    machine = begun(2)
    for attempt in (1, 2, 3):
        sent(machine, attempt=attempt)
        commands = machine.handle(Answered(1, attempt, TransientError("no route", sent=False)))
        machine.handle(Woken(1, attempt + 1))
    assert {line.fate for line in lines(commands)} == {Fate.RETRY}
    assert machine.handle(Committed()) == [Finish(Ended.UNREACHABLE, "no route")]


def test_one_timeout_among_failures_to_connect_makes_the_batch_unknown() -> None:
    machine = begun(2)
    for attempt, reached in ((1, True), (2, False), (3, False)):
        sent(machine, attempt=attempt)
        commands = machine.handle(Answered(1, attempt, TransientError("trouble", sent=reached)))
        machine.handle(Woken(1, attempt + 1))
    assert {line.fate for line in lines(commands)} == {Fate.UNKNOWN}


def test_people_the_vendor_wants_again_go_again_without_the_others() -> None:
    machine = begun(2)
    sent(machine)
    commands = machine.handle(Answered(1, 1, Result({"add2": Outcome(OutcomeKind.RETRY, "locked")})))
    assert [line.row.key for line in lines(commands)] == ["add1"]
    machine.handle(Committed())
    [gate] = of(Gate, machine.handle(Woken(2, 2)))
    assert isinstance(gate, Gate) and [row.key for row in gate.rows] == ["add2"]


def test_a_result_that_names_a_stranger_says_nothing_about_the_batch() -> None:
    machine = begun(2)
    sent(machine)
    commands = machine.handle(Answered(1, 1, Result({"stranger": Outcome(OutcomeKind.REJECTED)})))
    assert [(line.row.key, line.fate) for line in lines(commands)] == [
        ("add1", Fate.ACCEPTED),
        ("add2", Fate.ACCEPTED),
    ]


def test_the_rest_of_a_vague_answer_is_unknown() -> None:
    machine = begun(2)
    sent(machine)
    told = lines(machine.handle(Answered(1, 1, Result({"add1": Outcome(OutcomeKind.ACCEPTED)}, OutcomeKind.UNKNOWN))))
    assert [line.fate for line in told] == [Fate.ACCEPTED, Fate.UNKNOWN]


def test_a_cancelled_run_lets_what_is_in_flight_finish_and_starts_nothing() -> None:
    machine = begun(6, concurrency=2)
    sent(machine, 1)
    assert machine.handle(CancelRequested()) == []
    assert machine.handle(Gated(2, 1, 7)) != [] and not of(Send, machine.handle(Gated(2, 1, 7)))
    machine.handle(Committed())
    assert {line.fate for line in lines(machine.handle(Answered(1, 1, Result())))} == {Fate.ACCEPTED}
    assert machine.handle(Committed()) == [Finish(Ended.CANCELLED, "The run was cancelled.")]


def test_a_drained_run_writes_no_verdict_that_would_keep_another_process_from_asking_again() -> None:
    machine = begun(6)
    sent(machine)
    machine.handle(Answered(1, 1, TransientError("busy")))
    assert machine.handle(DrainRequested()) == [Finish(Ended.DRAINED, "The process is stopping.")]


def test_a_destination_that_answers_nothing_is_left_alone_after_a_few_batches() -> None:
    machine = Delivery(Limits(1, 1, patience=2), lambda failures, after: None)
    machine.start()
    machine.handle(ChunkRead(tuple(people(9)), 9, end=True))
    for number in (1, 2):
        sent(machine, number)
        commands = machine.handle(Answered(number, 1, TransientError("timed out")))
        commands += machine.handle(Committed())
    assert of(Finish, commands) == [Finish(Ended.UNREACHABLE, "timed out")]
