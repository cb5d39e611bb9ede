"""A seeded world for the delivery machine: a clock that jumps, a vendor with moods, people who withdraw, and crashes.

It carries the machine's commands out and keeps two histories of its own: what the vendor received, and what was made
durable. The checks in `test_laws` look at these only.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

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
    Event,
    Finish,
    Gate,
    Gated,
    Limits,
    Read,
    Send,
    Verdict,
    Wait,
    Woken,
)
from hub.core.delivery.rows import Row
from hub.core.planning import Fate, Op
from hub.core.records import WithheldReason
from hub.sdk.contract import Outcome, OutcomeKind, Result
from hub.sdk.errors import AuthError, RefusedError, TransientError


def partly(rows: tuple[Row, ...]) -> tuple[Result, tuple[Row, ...]]:
    """The first is rejected, the last is to come again, a stranger is named, everybody else is in."""
    outcomes = {rows[-1].key: Outcome(OutcomeKind.RETRY, "later"), rows[0].key: Outcome(OutcomeKind.REJECTED, "no")}
    stranger = {"nobody": Outcome(OutcomeKind.REJECTED)}
    return Result(outcomes | stranger), tuple(row for row in rows if row.key not in outcomes)


# What the vendor says to a request, and for whom it does what was asked.
ANSWERS: dict[str, Callable[[tuple[Row, ...]], tuple[Answer, tuple[Row, ...]]]] = {
    "ok": lambda rows: (Result(), rows),
    "lost_answer": lambda rows: (TransientError("timed out"), rows),
    "lost_request": lambda rows: (TransientError("timed out"), ()),
    "unsent": lambda rows: (TransientError("connection refused", sent=False), ()),
    "throttled": lambda rows: (TransientError("slow down", 7.0), ()),
    "partial": partly,
    "vague": lambda rows: (Result({}, OutcomeKind.UNKNOWN), rows[::2]),
    "refused": lambda rows: (RefusedError("never"), ()),
    "auth": lambda rows: (AuthError("no entry"), ()),
    "crash": lambda rows: (Crashed("TypeError"), rows[::2]),
}


@dataclass(frozen=True)
class Line:
    """What the log says of one row: a verdict is about all whom an attempt met alike."""

    row: Row
    attempt: int
    fate: Fate
    reason: str = ""
    ledger_seq: int = 0


def lines_of(verdicts: Iterable[Verdict]) -> list[Line]:
    return [
        Line(row, verdict.attempt, verdict.fate, verdict.reason, verdict.ledger_seq)
        for verdict in verdicts
        for row in verdict.rows
    ]


@dataclass
class Request:
    at: float
    gated_at: float
    rows: tuple[Row, ...]
    process: int
    answered: bool = False


@dataclass
class World:
    """`moods` weighs what the vendor does with a request; `poison` are keys that spoil a whole batch."""

    seed: int
    rows: list[Row]
    limits: Limits
    moods: dict[str, int]
    poison: frozenset[str] = frozenset()
    crashes: int = 0
    withdrawals: int = 0
    cancel: bool = False
    attempts: int = 6

    now: float = 0.0
    process: int = 0
    log: list[Line] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    withdrawn: dict[str, float] = field(default_factory=dict)
    present: set[str] = field(default_factory=set)
    commands: list[Command] = field(default_factory=list)
    finish: Finish | None = None
    in_flight: int = 0
    most_in_flight: int = 0
    open_requests: int = 0
    most_open: int = 0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.queue: list[tuple[float, int, object]] = []
        self.number = 0
        self.gates: dict[tuple[int, int], float] = {}

    def run(self) -> World:
        for _ in range(self.withdrawals):
            self._later(self.random.uniform(0, 30), ("withdraw", self.random.choice(self.rows).key))
        if self.cancel:
            self._later(self.random.uniform(0, 30), CancelRequested())
        for _ in range(self.crashes):
            self._later(self.random.uniform(0, 20), "crash")
        self._start()
        steps = 0
        while self.queue and self.finish is None:
            steps += 1
            assert steps < 100_000, "the machine does not come to an end"
            self.now, _, what = heapq.heappop(self.queue)
            self._happen(what)
        assert self.finish is not None, "the machine waits for something that nobody will do"
        return self

    def _happen(self, what: object) -> None:
        match what:
            case "crash":
                self._start()
            case ("withdraw", str() as key):
                self.withdrawn.setdefault(key, self.now)
            case ("event", int() as process, event):
                if process == self.process:
                    self._tell(event)
            case CancelRequested():
                self._tell(what)
            case ("apply", rows):
                self._apply(rows)

    def _start(self) -> None:
        """A new process: whatever was not durable is gone, and so is every answer under way."""
        self.process += 1
        self.in_flight = self.open_requests = 0
        self.done = {v.row.key for v in self.log if v.fate.final}
        before = max((v.attempt for v in self.log), default=0)
        if self.process > 1:
            self.log += [Line(row, before, Fate.UNKNOWN) for row in self._doubtful()]
        self.machine = Delivery(self.limits, self._delay, attempts_before=before)
        self._carry_out(self.machine.start())

    def _doubtful(self) -> list[Row]:
        """Whom the process that died may have reached: rows are begun in order, only so many without a verdict."""
        logged = {v.row.key for v in self.log}
        unlogged = [row.position for row in self.rows if row.key not in logged]
        most = self.limits.people_in_doubt
        horizon = unlogged[most - 1] if len(unlogged) >= most else len(self.rows)
        return [row for row in self.rows if row.position <= horizon and row.key not in self.done]

    def _tell(self, event: Event) -> None:
        if isinstance(event, Answered):
            self.in_flight -= 1
        if isinstance(event, Committed):
            self.open_requests -= self.answered_in_commit
        self._carry_out(self.machine.handle(event))

    def _carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            self.commands.append(command)
            self._do(command)

    def _do(self, command: Command) -> None:
        match command:
            case Read(after, limit):
                found = [r for r in self.rows if r.position > after][:limit]
                rows = tuple(r for r in found if r.key not in self.done)
                last = found[-1].position if found else after
                self._event(ChunkRead(rows, last, end=len(found) < limit))
            case Gate(batch, attempt, rows, _):
                self.gates[(batch, attempt)] = self.now
                withheld = {r.key: WithheldReason.NO_CONSENT for r in rows if r.key in self.withdrawn}
                self._event(Gated(batch, attempt, len(self.withdrawn), withheld))
            case Send(batch, attempt, rows):
                self._send(batch, attempt, rows)
            case Wait(batch, attempt, seconds):
                assert seconds >= 0
                self._event(Woken(batch, attempt), seconds)
            case Commit(verdicts):
                self.log += lines_of(verdicts)
                self.answered_in_commit = len(
                    {id(r) for r in self.requests if r.answered and self._closed(r, lines_of(verdicts))}
                )
                self._event(Committed(), self.random.choice([0.0, 0.01, 0.5]))
            case Finish():
                self.finish = command

    def _closed(self, request: Request, lines: list[Line]) -> bool:
        keys = {row.key for row in request.rows}
        return request.process == self.process and any(line.row.key in keys for line in lines)

    def _send(self, batch: int, attempt: int, rows: tuple[Row, ...]) -> None:
        request = Request(self.now, self.gates[(batch, attempt)], rows, self.process)
        self.requests.append(request)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        unsettled = {row.key for r in self.requests if r.process == self.process for row in r.rows} - {
            line.row.key for line in self.log
        }
        self.most_open = max(self.most_open, len(unsettled))
        request.answered = True
        answer, applied, delay = self._mood(rows)
        if applied:
            self._later(self.random.uniform(0, delay), ("apply", applied))
        self._event(Answered(batch, attempt, answer), delay)

    def _mood(self, rows: tuple[Row, ...]) -> tuple[Answer, tuple[Row, ...], float]:
        delay = self.random.choice([0.01, 0.05, 3.0])
        if any(row.key in self.poison for row in rows):
            return RefusedError("a row is bad", divisible=True), (), delay
        mood = self.random.choices(list(self.moods), list(self.moods.values()))[0]
        answer, applied = ANSWERS[mood](rows)
        return answer, applied, delay

    def _apply(self, rows: tuple[Row, ...]) -> None:
        for row in rows:
            (self.present.add if row.op.adds else self.present.discard)(row.key)

    def _delay(self, failures: int, retry_after: float | None) -> float | None:
        return None if failures >= self.attempts else (retry_after or 0) + self.random.uniform(0, 2**failures)

    def _event(self, event: Event, after: float = 0.0) -> None:
        self._later(after, ("event", self.process, event))

    def _later(self, after: float, what: object) -> None:
        self.number += 1
        heapq.heappush(self.queue, (self.now + after, self.number, what))


def people(count: int, removes: int = 0) -> list[Row]:
    """A plan of `count` adds followed by `removes` removes, of other people."""
    adds = [Row(i, i, f"add{i}", Op.ADD) for i in range(1, count + 1)]
    return adds + [Row(count + i, count + i, f"out{i}", Op.REMOVE) for i in range(1, removes + 1)]


def final(world: World) -> dict[str, Fate]:
    """The fate that counts for each key: the last line."""
    return {line.row.key: line.fate for line in world.log}
