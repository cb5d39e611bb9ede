"""One run's deliveries as a pure machine: tell it what happened, do what it says. Same events, same commands.

It holds these promises, whatever order answers come in:
- no request without a gate directly before it, at every attempt;
- at most `concurrency` requests at once, and at most `uncommitted` batches in flight or answered but not committed;
- no more retries than the limits' floor and share, but for those that the vendor has put off itself;
- every row gets exactly one final verdict, or none when the run ends early (then nothing can have reached the vendor);
- a failed row is never accepted, an unanswered one never forgotten.
"""

from __future__ import annotations

from hub.core.delivery.batches import OpenBatch, OpenBatches, Phase
from hub.core.delivery.messages import (
    Answered,
    CancelRequested,
    ChunkRead,
    Command,
    Commit,
    Committed,
    Crashed,
    Delay,
    DrainRequested,
    Ended,
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
    ended_by,
)
from hub.core.delivery.rows import Waiting
from hub.core.delivery.verdicts import Attempt, doubted, drops, with_traces
from hub.core.planning import Fate
from hub.sdk.contract import Result
from hub.sdk.errors import AuthError, ConnectorError, RefusedError, TransientError


class Delivery:
    """`delay` is the retry policy; attempts are numbered on from `attempts_before`, those of processes that died.

    Rows that such a process may have sent without leaving a verdict must be in the log as unknown before the start.
    """

    def __init__(self, limits: Limits, delay: Delay, attempts_before: int = 0) -> None:
        self._limits = limits
        self._delay = delay
        self._attempts_before = attempts_before
        self._batches = OpenBatches(limits)
        self._fresh = Waiting()
        self._read_to = 0
        self._reading = False
        self._all_read = False
        self._claimed = 0
        self._verdicts: list[Verdict] = []
        self._answers = 0
        self._committing: tuple[int, int] | None = None
        self._given_up = 0
        self._requests = 0
        self._retries = 0
        self._silent = 0
        self._answered_once = False
        self._last_trouble = ""
        self._end: Finish | None = None
        self._finished = False
        self._commands: list[Command] = []

    def start(self) -> list[Command]:
        return self._next_commands()

    def handle(self, event: Event) -> list[Command]:
        """What to do now that this has happened; an event that nobody waits for changes nothing."""
        match event:
            case ChunkRead():
                self._take(event)
            case Gated():
                self._gated(event)
            case Answered():
                self._answered(event)
            case Woken():
                self._woken(event)
            case Committed():
                self._committed()
            case CancelRequested():
                self._stop(Ended.CANCELLED, "The run was cancelled.")
            case DrainRequested():
                self._stop(Ended.DRAINED, "The process is stopping.")
        return self._next_commands()

    @property
    def ending(self) -> bool:
        """Whether nothing more will be sent: who waits for leave to send need wait no longer."""
        return self._end is not None

    # What happened.

    def _take(self, chunk: ChunkRead) -> None:
        self._reading = False
        self._read_to = max(self._read_to, chunk.last)
        self._all_read = chunk.end
        self._fresh.add(chunk.rows)

    def _gated(self, event: Gated) -> None:
        batch = self._batches.expecting(event.batch, event.attempt, Phase.GATING)
        if batch is None:
            return
        if self._end:
            self._abandon(batch)
            return
        batch.attempt = Attempt(event.attempt, event.ledger_seq)
        batch.rows = batch.rows if event.rows is None else event.rows
        if event.withheld:
            self._verdicts += batch.attempt.dropped(batch.rows, event.withheld)
            batch.rows = tuple(row for row in batch.rows if not drops(row, event.withheld))
        if batch.rows:
            self._requests += 1
            batch.phase = Phase.SENDING
            self._commands.append(Send(batch.number, event.attempt, batch.rows))
        else:
            self._batches.close(batch)

    def _answered(self, event: Answered) -> None:
        batch = self._batches.expecting(event.batch, event.attempt, Phase.SENDING)
        if batch is None:
            return
        match event.answer:
            case Result():
                self._read_result(batch, event.answer)
            case AuthError():
                self._close(batch, batch.attempt.left_open(batch.rows, event.answer.reason))
                self._stop(ended_by(event.answer), event.answer.reason)
            case RefusedError():
                self._refused(batch, event.answer)
            case Crashed():
                rows = doubted(batch.rows, batch.attempt.number)
                self._close(batch, batch.attempt.left_open(rows, "The connector failed."))
                self._stop(Ended.CRASHED, event.answer.error_type)
            case TransientError() as error:
                self._unanswered(batch, error.reason, error.retry_after, sent=error.sent)
            case ConnectorError() as error:
                self._unanswered(batch, error.reason, None, sent=True)

    def _read_result(self, batch: OpenBatch, result: Result) -> None:
        self._answered_once = True
        self._given_up = self._silent = 0
        verdicts = batch.attempt.read(batch.rows, result)
        again = [verdict for verdict in verdicts if verdict.fate is Fate.RETRY]
        self._close(batch, [verdict for verdict in verdicts if verdict.fate is not Fate.RETRY])
        if again:
            rows = tuple(row for verdict in again for row in verdict.rows)
            part = self._batches.begin(rows, batch.attempt, batch.failures)
            self._back_off(part, again[0].reason, None)

    def _refused(self, batch: OpenBatch, error: RefusedError) -> None:
        self._answered_once = True
        self._given_up = self._silent = 0
        if not error.divisible or len(batch.rows) == 1:
            self._close(batch, [batch.attempt.verdict(batch.rows, Fate.REJECTED, error.reason)])
        elif self._end:
            self._abandon(batch)
        else:
            self._split(batch)

    def _split(self, batch: OpenBatch) -> None:
        self._batches.close(batch)
        middle = len(batch.rows) // 2
        for half in (batch.rows[:middle], batch.rows[middle:]):
            self._batches.begin(half, Attempt(batch.attempt.number + 1), batch.failures)

    def _unanswered(self, batch: OpenBatch, reason: str, retry_after: float | None, *, sent: bool) -> None:
        if sent:
            batch.rows = doubted(batch.rows, batch.attempt.number)
        self._last_trouble = reason
        self._silent += 1
        # Given up for want of retries, a batch says that the vendor is in trouble, not yet that it is gone.
        in_trouble = self._retried_enough(retry_after) and self._silent < self._limits.retry_floor
        if not self._back_off(batch, reason, retry_after) and not self._end and not in_trouble:
            self._given_up += 1
            if self._given_up >= self._limits.patience:
                self._stop(Ended.UNREACHABLE, reason)

    def _woken(self, event: Woken) -> None:
        batch = self._batches.expecting(event.batch, event.attempt, Phase.WAITING)
        if batch:
            batch.phase, batch.throttled = Phase.READY, False

    def _committed(self) -> None:
        if self._committing:
            self._claimed -= self._committing[1]
            self._committing = None

    # What becomes of a batch.

    def _back_off(self, batch: OpenBatch, reason: str, retry_after: float | None) -> bool:
        """Have the batch wait for its next attempt; False if it is given up instead."""
        batch.failures += 1
        seconds = None if self._end or self._retried_enough(retry_after) else self._delay(batch.failures, retry_after)
        if seconds is None:
            self._abandon(batch, reason)
            return False
        self._retries += retry_after is None
        batch.attempt = Attempt(batch.attempt.number + 1)
        batch.phase, batch.throttled = Phase.WAITING, retry_after is not None
        self._commands.append(Wait(batch.number, batch.attempt.number, seconds))
        return True

    def _retried_enough(self, retry_after: float | None) -> bool:
        most = self._limits.retry_floor + self._limits.retry_share * self._requests
        return retry_after is None and self._retries + 1 > most

    def _abandon(self, batch: OpenBatch, reason: str = "The run ended first.") -> None:
        drained = self._end is not None and self._end.ended is Ended.DRAINED
        # Whoever takes a drained run over asks the vendor again; a verdict here would keep it from doing so.
        self._close(batch, [] if drained else batch.attempt.left_open(batch.rows, reason))

    def _close(self, batch: OpenBatch, verdicts: list[Verdict]) -> None:
        self._batches.close(batch)
        self._verdicts += verdicts
        self._answers += bool(verdicts)

    def _stop(self, ended: Ended, reason: str) -> None:
        if self._end is None:
            self._end = Finish(ended, reason)
            for batch in self._batches:
                if batch.resting:
                    self._abandon(batch)

    # What to do next.

    def _next_commands(self) -> list[Command]:
        if self._end is None:
            self._start_batches()
            self._read_on()
        self._commit()
        self._finish()
        commands, self._commands = self._commands, []
        return commands

    def _start_batches(self) -> None:
        for batch in self._batches.ready():
            if self._batches.slot_free() and (batch.in_doubt or self._may_doubt_more()):
                self._gate(batch)
        while not self._batches.ready() and self._batches.slot_free() and self._may_doubt_more() and self._may_claim():
            rows = self._fresh.take(self._limits.batch)
            self._claimed += len(rows)
            self._gate(self._batches.begin(rows, Attempt(self._attempts_before + 1)))

    def _gate(self, batch: OpenBatch) -> None:
        batch.phase = Phase.GATING
        number = batch.attempt.number
        self._commands.append(Gate(batch.number, number, batch.rows, fresh=number > self._attempts_before + 1))

    def _may_doubt_more(self) -> bool:
        committing = self._committing[0] if self._committing else 0
        return self._batches.in_doubt() + self._answers + committing < self._limits.uncommitted

    def _may_claim(self) -> bool:
        """Only whole batches until the plan is read to its end, and never more people than a crash may leave open."""
        whole = len(self._fresh) >= self._limits.batch or (self._all_read and bool(self._fresh))
        return whole and self._claimed + min(self._limits.batch, len(self._fresh)) <= self._limits.people_in_doubt

    def _read_on(self) -> None:
        """One chunk ahead, so that nobody waits for a reading while there is something to send. The first is short, so
        that sending begins at once."""
        low = len(self._fresh) <= max(self._limits.chunk, self._limits.batch * self._limits.concurrency)
        if low and not self._reading and not self._all_read:
            self._reading = True
            at_once = self._limits.batch * self._limits.concurrency
            first = self._read_to == 0 and at_once < self._limits.chunk
            self._commands.append(Read(self._read_to, at_once if first else self._limits.chunk))

    def _commit(self) -> None:
        if self._committing is None and self._verdicts:
            self._committing = (self._answers, sum(len(verdict.rows) for verdict in self._verdicts))
            self._commands.append(Commit(tuple(with_traces(self._verdicts))))
            self._verdicts, self._answers = [], 0

    def _finish(self) -> None:
        done = self._end is not None or (self._all_read and not self._fresh)
        if self._finished or not done or self._batches or self._verdicts or self._committing:
            return
        self._finished = True
        self._commands.append(self._end or self._completed())

    def _completed(self) -> Finish:
        never_reached = bool(self._last_trouble) and not self._answered_once
        return Finish(Ended.UNREACHABLE, self._last_trouble) if never_reached else Finish(Ended.COMPLETED)
