"""A job of the vendor's: asked after until it has said the same twice, never submitted again, and over in time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar

import pytest

from hub.core.delivery.jobs import JOB_OVERDUE, JOB_UNCLEAR, Followed, as_told
from hub.core.delivery.machine import Delivery
from hub.core.delivery.messages import (
    Answer,
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
    OpenJob,
    Poll,
    Polled,
    Send,
)
from hub.core.delivery.rows import Row, Unanswered
from hub.core.delivery.verdicts import told as told_of
from hub.core.planning import Fate, Op
from hub.sdk.contract import Outcome, OutcomeKind, Result
from hub.sdk.egress import EgressDenied
from hub.sdk.errors import AuthError, RefusedError, TransientError

C = TypeVar("C", bound=Command)

JOB = OpenJob("7", datetime(2026, 1, 1, tzinfo=UTC))
ROWS = (Row(1, 1, "a", Op.ADD), Row(2, 2, "b", Op.ADD))
RUNNING = Result(job="7")
DENIED = EgressDenied("not there", "url")


def machine(limits: Limits = Limits(2, 1), **more: object) -> Delivery:  # noqa: B008 - frozen
    return Delivery(limits, lambda failures, after: 1.0, pause=lambda polls, after: after or float(polls), **more)  # type: ignore[arg-type]


def submit(told: Delivery, answer: Result = RUNNING) -> list[Command]:
    """Up to the answer to the first request, with everybody allowed; what the machine wants then."""
    told.start()
    for command in told.handle(ChunkRead(ROWS, 2, end=True)):
        if isinstance(command, Gate):
            told.handle(Gated(command.batch, command.attempt, 5))
    return told.handle(Answered(1, 1, answer, JOB.until))


def one(kind: type[C], commands: list[Command]) -> C:
    [found] = [command for command in commands if isinstance(command, kind)]
    return found


def say(told: Delivery, commands: list[Command], answer: Answer, *, late: bool = False) -> list[Command]:
    asked = one(Poll, commands)
    return told.handle(Polled(asked.batch, asked.attempt, asked.poll, answer, late))


def fates(commands: list[Command]) -> dict[str, Fate]:
    return {row.key: verdict.fate for verdict in one(Commit, commands).verdicts for row in verdict.rows}


def test_a_job_is_written_down_at_once_with_its_deadline_and_asked_after() -> None:
    commands = submit(machine())
    [verdict] = one(Commit, commands).verdicts
    assert (verdict.fate, verdict.job, verdict.attempt, verdict.ledger_seq) == (Fate.SUBMITTED, JOB, 1, 5)
    assert one(Poll, commands) == Poll(2, 1, 1, 1.0, JOB, ROWS)


def test_whom_the_vendor_names_at_once_is_in_no_job() -> None:
    told = machine()
    commands = submit(told, Result({"a": Outcome(OutcomeKind.REJECTED, "bad")}, job="7"))
    assert fates(commands) == {"a": Fate.REJECTED, "b": Fate.SUBMITTED}
    assert [verdict.job for verdict in one(Commit, commands).verdicts] == [None, JOB]
    assert one(Poll, commands).rows == ROWS[1:]


def test_a_final_word_counts_once_it_is_said_twice_however_it_is_worded() -> None:
    told = machine()
    commands = submit(told)
    told.handle(Committed())
    commands = say(told, commands, Result({"a": Outcome(OutcomeKind.REJECTED, "at noon")}))
    commands = say(told, commands, RUNNING)
    commands = say(told, commands, Result({"a": Outcome(OutcomeKind.REJECTED, "a minute ago")}))
    assert fates(commands) == {"a": Fate.REJECTED, "b": Fate.ACCEPTED}
    assert one(Finish, told.handle(Committed())).ended is Ended.COMPLETED


@pytest.mark.parametrize("second", [Result({}, OutcomeKind.UNKNOWN), Result({"a": Outcome(OutcomeKind.RETRY)})])
def test_of_two_words_that_differ_neither_counts(second: Result) -> None:
    told = machine()
    commands = submit(told)
    told.handle(Committed())
    [verdict] = one(Commit, say(told, say(told, commands, Result()), second)).verdicts
    assert (verdict.fate, verdict.reason, verdict.job) == (Fate.UNKNOWN, JOB_UNCLEAR, JOB)


@pytest.mark.parametrize("fault", [TransientError("500"), TransientError("429", 30.0), RefusedError("404"), RUNNING])
def test_a_fault_is_asked_about_again_at_a_growing_distance_and_sends_nobody(fault: Answer) -> None:
    told = machine()
    commands = submit(told)
    told.handle(Committed())
    for polls in range(2, 40):
        commands = say(told, commands, fault)
        assert [type(command) for command in commands] == [Poll]
        assert one(Poll, commands).seconds == (getattr(fault, "retry_after", None) or polls)


def test_past_its_deadline_a_job_is_unknown() -> None:
    told = machine()
    commands = submit(told)
    told.handle(Committed())
    [verdict] = one(Commit, say(told, commands, TransientError("500"), late=True)).verdicts
    assert (verdict.fate, verdict.reason, verdict.job) == (Fate.UNKNOWN, JOB_OVERDUE, JOB)


def test_a_word_first_said_after_the_deadline_may_still_be_confirmed() -> None:
    told = machine()
    commands = submit(told)
    told.handle(Committed())
    commands = say(told, say(told, commands, Result(), late=True), Result(), late=True)
    assert fates(commands) == {"a": Fate.ACCEPTED, "b": Fate.ACCEPTED}


def test_whoever_was_in_a_job_is_nobody_elses_to_speak_about_before_its_end_is_durable() -> None:
    job = machine()
    commands = submit(job)
    job.handle(Committed())
    done = say(job, say(job, commands, Result()), Result())
    batch = one(Poll, commands).batch
    assert (one(Commit, done).batches, job.idle(batch)) == ({batch}, False)
    job.handle(Committed())
    assert job.idle(batch)


def test_an_answer_to_an_earlier_question_says_nothing() -> None:
    told = machine()
    commands = submit(told)
    told.handle(Committed())
    say(told, commands, RUNNING)
    assert say(told, commands, Result()) == []


def test_a_drain_leaves_the_job_to_the_next_process_which_asks_and_does_not_send() -> None:
    told = machine()
    submit(told)
    told.handle(Committed())
    assert told.handle(DrainRequested()) == [Finish(Ended.DRAINED, "The process is stopping.")]
    heir = machine(attempts_before=1, jobs=[Followed(ROWS, 1, 5, JOB)])
    commands = heir.start()
    assert one(Poll, commands) == Poll(1, 1, 1, 1.0, JOB, ROWS)
    heir.handle(ChunkRead((), 2, end=True))
    commands = say(heir, say(heir, commands, Result()), Result())
    [verdict] = one(Commit, commands).verdicts
    assert (verdict.fate, verdict.attempt, verdict.ledger_seq) == (Fate.ACCEPTED, 1, 5)


@pytest.mark.parametrize(
    ("event", "ended"),
    [(AuthError("no"), Ended.AUTH), (Crashed("KeyError"), Ended.CRASHED)],
)
@pytest.mark.parametrize("cancelled", [False, True])
def test_a_run_that_ends_before_its_job_leaves_the_people_unknown(event: Answer, ended: Ended, cancelled: bool) -> None:
    told = machine()
    commands = submit(told)
    told.handle(Committed())
    if cancelled:
        assert not told.handle(CancelRequested())
    commands = say(told, commands, event)
    [verdict] = one(Commit, commands).verdicts
    assert (verdict.fate, verdict.job) == (Fate.UNKNOWN, JOB)
    assert one(Finish, told.handle(Committed())).ended is ended


def test_a_cancelled_run_asks_after_its_jobs_to_their_end() -> None:
    told = machine()
    commands = submit(told)
    assert not told.handle(CancelRequested()) and not told.only_asks
    assert not told.handle(Committed()) and told.only_asks
    commands = say(told, say(told, commands, Result()), Result())
    assert fates(commands) == {"a": Fate.ACCEPTED, "b": Fate.ACCEPTED}
    assert told.handle(Committed()) == [Finish(Ended.CANCELLED, "The run was cancelled.")]


def test_a_job_that_a_cancelled_run_hears_of_last_is_asked_after_too() -> None:
    told = machine()
    told.start()
    told.handle(ChunkRead(ROWS, 2, end=True))
    told.handle(Gated(1, 1, 5))
    told.handle(CancelRequested())
    commands = told.handle(Answered(1, 1, RUNNING, JOB.until))
    assert one(Poll, commands) and fates(commands) == {"a": Fate.SUBMITTED, "b": Fate.SUBMITTED}


def test_a_cancelled_run_that_is_drained_leaves_its_jobs_to_the_next_process() -> None:
    told = machine()
    submit(told)
    told.handle(Committed())
    told.handle(CancelRequested())
    assert told.handle(DrainRequested()) == [Finish(Ended.DRAINED, "The process is stopping.")]


def test_a_job_of_a_drained_run_is_written_down_when_its_answer_comes_late() -> None:
    told = machine()
    told.start()
    told.handle(ChunkRead(ROWS, 2, end=True))
    told.handle(Gated(1, 1, 5))
    told.handle(DrainRequested())
    commands = told.handle(Answered(1, 1, RUNNING, JOB.until))
    assert fates(commands) == {"a": Fate.SUBMITTED, "b": Fate.SUBMITTED}
    assert told.handle(Committed()) == [Finish(Ended.DRAINED, "The process is stopping.")]


def test_where_nobody_can_ask_after_a_job_its_people_are_unknown() -> None:
    told = machine()
    told.start()
    told.handle(ChunkRead(ROWS, 2, end=True))
    told.handle(Gated(1, 1, 5))
    assert set(fates(told.handle(Answered(1, 1, RUNNING))).values()) == {Fate.UNKNOWN}


def test_while_so_many_jobs_are_open_nobody_else_is_begun_and_then_they_are() -> None:
    told = machine(Limits(1, 4, jobs=1))
    told.start()
    told.handle(ChunkRead(ROWS[:1], 1, end=False))
    told.handle(Gated(1, 1, 5))
    commands = told.handle(Answered(1, 1, RUNNING, JOB.until))
    told.handle(Committed())
    assert not [one for one in told.handle(ChunkRead(ROWS[1:], 2, end=True)) if isinstance(one, Gate)]
    commands = say(told, say(told, commands, Result()), Result())
    assert one(Gate, commands).rows == ROWS[1:]


def test_adds_and_removes_go_apart_where_there_are_jobs() -> None:
    told = machine(Limits(4, 2, apart=True))
    told.start()
    mixed = (ROWS[0], Row(2, 2, "b", Op.REMOVE), Row(3, 3, "c", Op.UPDATE))
    gates = [command for command in told.handle(ChunkRead(mixed, 3, end=True)) if isinstance(command, Gate)]
    assert [[row.key for row in gate.rows] for gate in gates] == [["a", "c"], ["b"]]
    assert isinstance(told.handle(Gated(1, 1, 5))[0], Send)


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (AuthError("locked out"), Finish(Ended.AUTH, "locked out")),
        (DENIED, Finish(Ended.DENIED, DENIED.reason)),
        (Crashed("KeyError"), Finish(Ended.CRASHED, "KeyError")),
    ],
)
def test_a_poll_that_is_refused_or_breaks_ends_the_run_and_says_why(answer: Answer, end: Finish) -> None:
    told = machine()
    commands = submit(told)
    told.handle(Committed())
    say(told, commands, answer)
    assert told.handle(Committed()) == [end]


def test_without_another_policy_polls_come_as_the_vendor_says_or_ever_more_seldom() -> None:
    assert [as_told(3, None), as_told(3, 7.0)] == [3.0, 7.0]


def test_adds_and_removes_go_apart_only_where_there_are_jobs() -> None:
    rows = (Row(1, 1, "a", Op.ADD), Row(2, 2, "b", Op.REMOVE))

    def batches(*, apart: bool) -> list[int]:
        told = Delivery(Limits(2, 2, apart=apart), lambda failures, after: 1.0)
        told.start()
        return [len(command.rows) for command in told.handle(ChunkRead(rows, 2, end=True)) if isinstance(command, Gate)]

    assert (batches(apart=False), batches(apart=True)) == ([2], [1, 1])


def test_whoever_is_in_a_job_has_no_attempt_without_an_answer() -> None:
    [row] = told_of((Row(1, 1, "a", Op.ADD, unanswered=Unanswered(1, "x")),))
    assert row.unanswered is None
