"""How much the machine reads, claims and leaves open at a time: each bound is met, and none is passed."""

from __future__ import annotations

from hub.core.delivery.batches import OpenBatch
from hub.core.delivery.machine import Delivery
from hub.core.delivery.messages import (
    Answered,
    ChunkRead,
    Command,
    Commit,
    Committed,
    Ended,
    Finish,
    Gate,
    Gated,
    Limits,
    Read,
    Woken,
)
from hub.core.delivery.verdicts import Attempt, doubted
from hub.core.records import WithheldReason
from hub.sdk.contract import Result
from hub.sdk.errors import RefusedError, TransientError
from tests.core.delivery.simulation import people
from tests.core.delivery.test_machine import begun, of, sent
from tests.core.delivery.test_rows import stretch

IN_HALVES = RefusedError("one of them is bad", divisible=True)


def machine_with(limits: Limits, rows: int, *, end: bool = True) -> tuple[Delivery, list[Command]]:
    """A machine that has read so many rows, and what it then said."""
    machine = Delivery(limits, lambda failures, after: after or 1.0)
    machine.start()
    return machine, machine.handle(ChunkRead(tuple(people(rows)), rows, end=end))


def all_sent(limits: Limits, rows: int) -> Delivery:
    machine, commands = machine_with(limits, rows)
    for gate in of(Gate, commands):
        assert isinstance(gate, Gate)
        machine.handle(Gated(gate.batch, gate.attempt, 7))
    return machine


def nobody(first: int, last: int) -> dict[str, WithheldReason]:
    """All of them withheld."""
    return {f"add{number}": WithheldReason.NO_CONSENT for number in range(first, last + 1)}


def gated(commands: list[Command]) -> list[int]:
    return [command.batch for command in commands if isinstance(command, Gate)]


def test_a_batch_is_in_doubt_while_it_moves_or_somebody_in_it_went_unanswered() -> None:
    rows = tuple(people(2))
    assert not OpenBatch(1, rows, Attempt(1)).in_doubt
    assert not OpenBatch(1, stretch(1, 2), Attempt(1)).in_doubt
    assert OpenBatch(1, (rows[0], *doubted(rows[1:], 1)), Attempt(1)).in_doubt


def test_one_batch_may_be_open_where_only_one_may() -> None:
    _, commands = machine_with(Limits(2, 4, uncommitted=1), 4)
    assert gated(commands) == [1]


def test_halves_wait_until_what_is_open_answered_or_being_committed_leaves_room() -> None:
    machine = all_sent(Limits(4, 9, uncommitted=4), 16)
    # Three whole batches and a half are as many as may be open: 2, 3, 4 and 5.
    assert gated(machine.handle(Answered(1, 1, IN_HALVES))) == [5]
    machine.handle(Gated(5, 2, 7))
    answered = machine.handle(Answered(5, 2, Result()))
    assert of(Commit, answered) and not gated(answered)
    assert not gated(machine.handle(Answered(2, 1, Result())))
    assert not gated(machine.handle(Answered(3, 1, Result())))
    assert gated(machine.handle(Committed())) == [6]


def test_an_answer_that_is_not_committed_yet_takes_room() -> None:
    machine = all_sent(Limits(4, 9, uncommitted=2), 8)
    assert gated(machine.handle(Answered(1, 1, IN_HALVES))) == [3]
    machine.handle(Gated(3, 2, 7))
    assert not gated(machine.handle(Answered(3, 2, Result())))
    assert not gated(machine.handle(Answered(2, 1, Result())))
    assert gated(machine.handle(Committed())) == [4]


def test_a_commit_takes_room_for_its_answers_and_not_for_its_people() -> None:
    machine, _ = machine_with(Limits(4, 9, uncommitted=4), 16)
    for number in (1, 3, 4):
        machine.handle(Gated(number, 1, 7))
    assert gated(machine.handle(Answered(1, 1, IN_HALVES))) == [5]
    machine.handle(Gated(5, 2, 7))
    assert not gated(machine.handle(Answered(5, 2, Result())))
    # Of the second batch nobody may be sent: two in flight and one answer leave room for one more.
    assert gated(machine.handle(Gated(2, 1, 7, nobody(5, 8)))) == [6]


def test_whoever_is_withheld_counts_until_that_is_committed() -> None:
    machine, commands = machine_with(Limits(2, 9, uncommitted=3), 12)
    assert gated(commands) == [1, 2, 3]
    for number in (1, 2, 3):
        assert not gated(machine.handle(Gated(number, 1, 7, nobody(2 * number - 1, 2 * number))))
    assert gated(machine.handle(Committed())) == [4]


def test_halves_are_the_next_attempt_and_keep_count_of_the_failures() -> None:
    failures: list[int] = []
    machine = Delivery(Limits(2, 1), lambda count, after: failures.append(count) or 1.0)
    machine.start()
    machine.handle(ChunkRead(tuple(people(2)), 2, end=True))
    sent(machine)
    machine.handle(Answered(1, 1, TransientError("busy")))
    machine.handle(Woken(1, 2))
    sent(machine, 1, 2)
    [gate] = of(Gate, machine.handle(Answered(1, 2, IN_HALVES)))
    assert isinstance(gate, Gate) and (gate.batch, gate.attempt) == (2, 3)
    sent(machine, 2, 3)
    machine.handle(Answered(2, 3, TransientError("busy")))
    assert failures == [1, 2]


def test_a_first_attempt_goes_with_the_payload_that_was_read_also_in_a_process_that_takes_over() -> None:
    for before in (0, 3):
        machine = Delivery(Limits(2), lambda failures, after: None, attempts_before=before)
        machine.start()
        [gate] = of(Gate, machine.handle(ChunkRead(tuple(people(2)), 2, end=True)))
        assert isinstance(gate, Gate) and not gate.fresh and gate.attempt == before + 1


def test_a_batch_that_the_vendor_put_off_holds_nobody_back_once_its_wait_is_over() -> None:
    machine = begun(4, concurrency=2)
    sent(machine, 1)
    machine.handle(Answered(1, 1, TransientError("later", 9.0)))
    sent(machine, 2)
    machine.handle(Answered(2, 1, TransientError("later", 9.0)))
    assert gated(machine.handle(Woken(1, 2))) == []
    assert gated(machine.handle(Woken(2, 2))) == [1, 2]


def test_a_whole_batch_goes_before_the_plan_is_read_to_its_end() -> None:
    _, commands = machine_with(Limits(2, 1), 2, end=False)
    assert gated(commands) == [1]


def test_it_reads_on_while_no_more_wait_than_a_chunk_or_all_requests_take() -> None:
    assert of(Read, machine_with(Limits(1, 1, chunk=2), 3, end=False)[1]) == [Read(3, 2)]
    assert not of(Read, machine_with(Limits(1, 1, chunk=2), 4, end=False)[1])
    assert of(Read, machine_with(Limits(2, 2, chunk=1), 8, end=False)[1]) == [Read(8, 1)]
    assert not of(Read, machine_with(Limits(2, 2, chunk=1), 9, end=False)[1])


def test_the_first_reading_is_no_longer_than_what_goes_out_at_once() -> None:
    assert Delivery(Limits(2, 2, chunk=9), lambda failures, after: None).start() == [Read(0, 4)]
    assert Delivery(Limits(2, 2, chunk=3), lambda failures, after: None).start() == [Read(0, 3)]
    assert of(Read, machine_with(Limits(2, 2, chunk=9), 4, end=False)[1]) == [Read(4, 8)]
    assert of(Read, machine_with(Limits(2, 2, chunk=9), 8, end=False)[1]) == [Read(8, 9)]


def test_a_plan_without_people_is_completed_and_that_is_said_once() -> None:
    machine, commands = machine_with(Limits(2), 0)
    assert commands == [Finish(Ended.COMPLETED)]
    assert machine.handle(Woken(1, 1)) == []


def test_nobody_else_speaks_about_people_until_the_word_on_them_is_durable() -> None:
    machine, _ = machine_with(Limits(1, 2), 2)
    machine.handle(Gated(1, 1, 7))
    machine.handle(Gated(2, 1, 7))
    assert not machine.idle(1)
    [first] = of(Commit, machine.handle(Answered(1, 1, Result())))
    # The second waits for the first commit, the first for itself.
    assert not of(Commit, machine.handle(Answered(2, 1, Result())))
    assert (first.batches, machine.idle(1), machine.idle(2)) == ({1}, False, False)
    [second] = of(Commit, machine.handle(Committed()))
    assert (second.batches, machine.idle(1), machine.idle(2)) == ({2}, True, False)
    machine.handle(Committed())
    assert machine.idle(2)


def test_people_of_a_batch_without_an_answer_may_be_spoken_about_while_it_waits() -> None:
    machine, _ = machine_with(Limits(1, 1), 1)
    machine.handle(Gated(1, 1, 7))
    machine.handle(Answered(1, 1, TransientError("busy")))
    assert machine.idle(1)
