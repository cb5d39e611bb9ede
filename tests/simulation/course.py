"""Carries out what the delivery machine asks for, as `hub.services.delivery` does, in the simulated world."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from hub.core.delivery.jobs import Followed
from hub.core.delivery.machine import Delivery
from hub.core.delivery.messages import (
    Answer,
    Answered,
    CancelRequested,
    ChunkRead,
    Command,
    Commit,
    Committed,
    Event,
    Finish,
    Gate,
    Gated,
    OpenJob,
    Poll,
    Polled,
    Read,
    Send,
    Verdict,
    Wait,
    Woken,
)
from hub.core.delivery.rows import Row, Rows, Stretch, keys_of, planned, renewed
from hub.core.planning import Fate, PlanRequest, Reading, Scope
from hub.core.records import WithheldReason
from hub.sdk.contract import Person, Result
from tests.simulation.vendors import Request, Said
from tests.warehouse import planning_model as model

if TYPE_CHECKING:
    from tests.simulation.rim import Hub

LONGEST_READING_S = 0.5


class Line(NamedTuple):
    """One line of the outcome log, durable since `at`."""

    row: Row
    attempt: int
    fate: Fate
    at: float
    job: OpenJob | None = None
    seq: int = 0


@dataclass
class Run:
    """All of it is durable. `finish`: how the machine ended; `ended`: settled for good."""

    number: int
    scope: Scope
    request: PlanRequest | None = None
    planned: Counter[model.Row] = field(default_factory=Counter)
    rows: tuple[Row, ...] = ()
    lines: list[Line] = field(default_factory=list)
    folded: int = 0
    finish: Finish | None = None
    ended: bool = False
    cancelled: bool = False

    def news(self) -> list[Line]:
        """The lines that have not been folded yet; from now on they have been."""
        fresh, self.folded = self.lines[self.folded :], len(self.lines)
        return fresh

    def latest(self) -> dict[int, Fate]:
        return {line.row.position: line.fate for line in self.lines}

    def over(self) -> set[int]:
        """The positions that are not to be sent again: with a final word, or with one about a job."""
        last = {line.row.position: line for line in self.lines}
        return {position for position, line in last.items() if line.fate.final or line.job}

    def submitted_at(self, line: Line) -> float | None:
        """When the vendor took in the job that the line says the end of."""
        if line.job is None or line.fate is Fate.SUBMITTED:
            return None
        return next(
            one.at for one in self.lines if one.row.position == line.row.position and one.fate is Fate.SUBMITTED
        )

    def open_jobs(self) -> list[Followed]:
        found: dict[tuple[int, OpenJob], list[Row]] = {}
        latest = self.latest()
        for line in self.lines:
            if line.job and line.fate is Fate.SUBMITTED and latest[line.row.position] is Fate.SUBMITTED:
                found.setdefault((line.attempt, line.job), []).append(line.row)
        return [Followed(tuple(rows), attempt, 0, job) for (attempt, job), rows in found.items()]


class KeysInFlight:
    """One operation at a time per person, also where two runs are under way side by side."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._waiting: list[tuple[frozenset[str], partial[None]]] = []

    def take(self, keys: frozenset[str], then: partial[None]) -> None:
        self._waiting.append((keys, then))
        self.give_back(frozenset())

    def give_back(self, keys: frozenset[str]) -> None:
        self._held -= keys
        for one in list(self._waiting):
            wanted, then = one
            if self._held.isdisjoint(wanted):
                self._held |= wanted
                self._waiting.remove(one)
                then()


class Course:
    """One process's part in the delivery of a run."""

    def __init__(self, hub: Hub, run: Run, attempts_before: int, jobs: list[Followed]) -> None:
        self._hub = hub
        self._run = run
        self._machine = Delivery(hub.limits, hub.delay, attempts_before, hub.pause, jobs)
        self._readings: dict[int, Reading] = {}
        self._held: dict[int, frozenset[str]] = {}
        self._over = False
        self.most_at_once = 0
        self._at_once = 0

    def start(self) -> None:
        self._obey(self._machine.start())

    def cancel(self) -> None:
        """By the next process too: it asks after what has been left open, and sends nobody."""
        self._run.cancelled = True
        self.tell(CancelRequested())

    def tell(self, event: Event) -> None:
        if self._over:
            return
        self._hub.note("run", self._run.number, "←", event)
        commands = self._machine.handle(event)
        if isinstance(event, Gated | Answered | Polled) and self._machine.idle(event.batch):
            self._release(event.batch)
        self._obey(commands)

    def _obey(self, commands: list[Command]) -> None:
        for command in commands:
            self._hub.note("run", self._run.number, "→", command)
            match command:
                case Read():
                    self._hub.soon(0.01, lambda command=command: self._read(command))
                case Gate():
                    keys = keys_of(command.rows)
                    self._hub.keys.take(keys, partial(self._gate, command, keys, self._hub.process))
                case Send():
                    self._send(command)
                case Poll():
                    self._ask_after(command)
                case Wait(batch, attempt, seconds):
                    assert seconds >= 0
                    self._tell_after(seconds, Woken(batch, attempt))
                case Commit(verdicts, batches):
                    self._hub.soon(self._hub.random.choice([0.0, 0.01, 0.5]), partial(self._commit, verdicts, batches))
                case Finish():
                    self._finish(command)

    def _ask_after(self, command: Poll) -> None:
        left = (command.job.until - self._hub.clock.wall()).total_seconds()
        keys = keys_of(command.rows)
        then = partial(self._poll, command, keys)
        self._hub.soon(min(command.seconds, left), partial(self._hub.keys.take, keys, then))

    def _finish(self, command: Finish) -> None:
        self._over = True
        for batch in list(self._held):
            self._release(batch)
        self._hub.finished(self._run, command)

    def _read(self, command: Read) -> None:
        done = self._run.over()
        last = min(command.after + command.limit, len(self._run.rows))
        rows = [row for row in self._run.rows[command.after : last] if row.position not in done]
        reading = self._reading(rows, last)
        self.tell(ChunkRead(Stretch(reading, 0, len(rows)), last, end=last >= len(self._run.rows)))

    def _reading(self, rows: list[Row], last: int) -> Reading:
        hub, request = self._hub, self._hub.request(self._run.scope)
        people, until = hub.town.people, [hub.town.people.until(row.pid, request) for row in rows]
        barred = [row.op.adds and people.barred(row.key, request) for row in rows]
        judged = list(zip(rows, until, barred, strict=True))
        return Reading(
            as_of=(len(hub.town.entries), 0),
            last=last,
            positions=[row.position for row in rows],
            pids=[row.pid for row in rows],
            ops=[row.op for row in rows],
            people=[Person(f"p{row.pid}", row.key) for row in rows],
            fingerprints=[people.payload(row.pid, request) if row.op.adds else "" for row in rows],
            allowed=[not row.op.adds or not (end is False or bar) for row, end, bar in judged],
            until=[end or None if row.op.adds else None for row, end, _ in judged],
            reasons=["" for _ in rows],
        )

    def _gate(self, command: Gate, keys: frozenset[str], process: int) -> None:
        if process != self._hub.process or self._over:
            return
        self._held[command.batch] = keys
        reading = self._reading(list(command.rows), 0)
        rows: Rows = renewed(command.rows, reading)
        now = self._hub.clock.wall()
        people = [(row.key, planned(row, reading)) for row in rows]
        withheld = {key: WithheldReason.NO_CONSENT for key, one in people if not one.may_go(now)}
        self._readings[command.batch] = reading
        gated = Gated(command.batch, command.attempt, reading.as_of[0], withheld, rows)
        self._tell_after(self._hub.random.uniform(0, LONGEST_READING_S), gated)

    def _send(self, command: Send) -> None:
        said = tuple(Said(row.key, row.op.adds, row.fingerprint) for row in command.rows)
        self._hub.note("request", *said)
        request, seconds, answer = self._hub.ask_vendor(self._run, said)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        self._hub.soon(seconds, partial(self._answer, command, request, answer))

    def _answer(self, command: Send, request: Request, answer: Answer) -> None:
        self._hub.heard(request)
        self._at_once -= 1
        self.tell(Answered(command.batch, command.attempt, answer, self._hub.asked_after_until()))
        if self._hub.random.random() < 0.1:
            # Whatever comes in once more, or far too late, is news to nobody.
            late = self._hub.random.choice([answer, Result()])
            self._tell_after(self._hub.random.uniform(0, 30), Answered(command.batch, command.attempt, late))

    def _poll(self, command: Poll, keys: frozenset[str]) -> None:
        if self._over:
            self._hub.keys.give_back(keys)
            return
        self._held[command.batch] = keys
        answer = self._hub.ask_after(command.job, [row.key for row in command.rows])
        about = (command.batch, command.attempt, command.poll)
        late = self._hub.clock.wall() >= command.job.until
        self._tell_after(self._hub.random.choice([0.01, 3.0]), Polled(*about, answer, late))
        if self._hub.random.random() < 0.1:
            self._tell_after(self._hub.random.uniform(3.1, 30), Polled(*about, Result()))

    def _release(self, batch: int) -> None:
        if keys := self._held.pop(batch, None):
            self._hub.keys.give_back(keys)

    def _commit(self, verdicts: tuple[Verdict, ...], batches: frozenset[int]) -> None:
        """A crash may come between the durable log and the word that it is."""
        self._hub.append(
            self._run,
            [(row, verdict.attempt, verdict.fate, verdict.job) for verdict in verdicts for row in verdict.rows],
        )
        for batch in batches:
            self._release(batch)
        self._tell_after(self._hub.random.choice([0.0, 0.01, 0.2]), Committed())

    def _tell_after(self, seconds: float, event: Event) -> None:
        self._hub.soon(seconds, lambda: self.tell(event))
