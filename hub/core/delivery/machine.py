"""One run's deliveries as a pure machine: tell it what happened, do what it says. Same events, same commands.

It holds these promises, whatever order answers come in:
- no request without a gate directly before it, at every attempt;
- at most `concurrency` requests at once, and at most `uncommitted` batches in flight or answered but not committed;
- no more retries than the limits' floor and share, but for those that the vendor has put off itself;
- every row gets exactly one final verdict, or none when the run ends early (then nothing can have reached the vendor);
- whoever is in a job of the vendor's is asked after until its deadline, by the next process too, also of a run that was
  cancelled, and never sent again;
- a failed row is never accepted, an unanswered one never forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from hub.core.delivery import messages
from hub.core.delivery.ahead import Ahead
from hub.core.delivery.batches import OpenBatch, OpenBatches, Phase
from hub.core.delivery.jobs import Followed, Inquiry, as_told, asked_to_wait
from hub.core.delivery.messages import Command, Delay, Ended, Event, Finish, Limits, OpenJob, Pause, Verdict, ended_by
from hub.core.delivery.patience import Patience
from hub.core.delivery.rows import Rows
from hub.core.delivery.unlogged import Unlogged
from hub.core.delivery.verdicts import Attempt, doubted, drops, told
from hub.core.planning import Fate
from hub.sdk.contract import Result
from hub.sdk.errors import AuthError, ConnectorError, RefusedError, TransientError


class Delivery:
    """`delay` is the retry policy, `pause` that of polls; attempts are numbered on from `attempts_before`, those of
    processes that died.

    Rows that such a process may have sent without leaving a verdict must be in the log as unknown before the start;
    `jobs` are those that it left open.
    """

    def __init__(
        self,
        limits: Limits,
        delay: Delay,
        attempts_before: int = 0,
        pause: Pause = as_told,
        jobs: Sequence[Followed] = (),
    ) -> None:
        self._limits = limits
        self._delay = delay
        self._pause = pause
        self._jobs = jobs
        self._attempts_before = attempts_before
        self._batches = OpenBatches(limits)
        self._ahead = Ahead(limits)
        self._log = Unlogged()
        self._patience = Patience(limits)
        self._end: Finish | None = None
        self._finished = False
        self._commands: list[Command] = []

    def start(self) -> list[Command]:
        for one in self._jobs:
            self._follow(one.rows, Attempt(one.attempt, one.ledger_seq), one.job)
        return self._next_commands()

    def handle(self, event: Event) -> list[Command]:
        """What to do now that this has happened; an event that nobody waits for changes nothing."""
        match event:
            case messages.ChunkRead():
                self._ahead.add(event)
            case messages.Gated():
                self._gated(event)
            case messages.Answered():
                self._answered(event)
            case messages.Polled():
                self._polled(event)
            case messages.Woken():
                self._woken(event)
            case messages.Committed():
                self._log.committed()
            case messages.CancelRequested():
                self._stop(event.ended, event.reason)
            case messages.DrainRequested():
                self._leave(event.ended, event.reason)
        return self._next_commands()

    @property
    def ending(self) -> bool:
        """Whether nothing more will be sent: who waits for leave to send need wait no longer."""
        return self._end is not None

    @property
    def only_asks(self) -> bool:
        """Whether the run was cancelled, and all that is left of it are jobs to ask after."""
        return self._cancelled and not self._finished and not self._log and all(one.inquiry for one in self._batches)

    @property
    def _cancelled(self) -> bool:
        return self._end is not None and self._end.ended is Ended.CANCELLED

    def idle(self, batch: int) -> bool:
        """Whether others may speak about its people: nothing is under way for it, nor still to be written."""
        return not (self._batches.moving(batch) or self._log.holds(batch))

    # What happened.

    def _gated(self, event: messages.Gated) -> None:
        batch = self._batches.expecting(event.batch, event.attempt, Phase.GATING)
        if batch is None:
            return
        if self._end:
            self._abandon(batch)
            return
        batch.attempt = Attempt(event.attempt, event.ledger_seq)
        batch.rows = batch.rows if event.rows is None else event.rows
        if event.withheld:
            self._log.add(batch.attempt.dropped(batch.rows, event.withheld))
            batch.rows = tuple(row for row in batch.rows if not drops(row, event.withheld))
        if batch.rows:
            self._patience.asked()
            batch.phase = Phase.SENDING
            self._commands.append(messages.Send(batch.number, event.attempt, batch.rows))
        else:
            self._batches.close(batch)

    def _answered(self, event: messages.Answered) -> None:
        batch = self._batches.expecting(event.batch, event.attempt, Phase.SENDING)
        if batch is None:
            return
        if isinstance(event.answer, ConnectorError) and event.answer.reached:
            batch.rows = doubted(batch.rows, batch.attempt.number)
        match event.answer:
            case Result():
                self._read_result(batch, event.answer, event.until)
            case AuthError() as error:
                self._close(batch, batch.attempt.left_open(batch.rows, error.reason))
                self._stop(ended_by(error), error.reason)
            case RefusedError():
                self._refused(batch, event.answer)
            case messages.Crashed():
                rows = doubted(batch.rows, batch.attempt.number)
                self._close(batch, batch.attempt.left_open(rows, "The connector failed."))
                self._stop(Ended.CRASHED, event.answer.error_type)
            case TransientError() as error:
                self._unanswered(batch, error.reason, error.retry_after, sent=error.sent)
            case ConnectorError() as error:
                self._unanswered(batch, error.reason, None, sent=True)

    def _read_result(self, batch: OpenBatch, result: Result, until: datetime | None) -> None:
        self._patience.heard()
        job = OpenJob(result.job, until) if result.job is not None and until else None
        verdicts = batch.attempt.read(batch.rows, result, job)
        self._close(batch, [verdict for verdict in verdicts if verdict.fate is not Fate.RETRY])
        for verdict in verdicts:
            if verdict.job:
                self._follow(told(verdict.rows), batch.attempt, verdict.job)
        if again := [verdict for verdict in verdicts if verdict.fate is Fate.RETRY]:
            rows = tuple(row for verdict in again for row in verdict.rows)
            part = self._batches.begin(rows, batch.attempt, batch.failures)
            self._back_off(part, again[0].reason, None)

    def _refused(self, batch: OpenBatch, error: RefusedError) -> None:
        self._patience.heard()
        if not error.divisible or len(batch.rows) == 1:
            self._close(batch, [batch.attempt.verdict(batch.rows, Fate.REJECTED, error.reason)])
        elif self._end:
            self._abandon(batch)
        else:
            self._batches.split(batch)

    def _unanswered(self, batch: OpenBatch, reason: str, retry_after: float | None, *, sent: bool) -> None:
        if sent:
            batch.rows = doubted(batch.rows, batch.attempt.number)
        self._patience.fault(reason)
        in_trouble = self._patience.in_trouble(retry_after)
        if self._back_off(batch, reason, retry_after) or self._end or in_trouble:
            return
        if self._patience.give_up():
            self._stop(Ended.UNREACHABLE, reason)

    def _polled(self, event: messages.Polled) -> None:
        batch = self._batches.expecting(event.batch, event.attempt, Phase.POLLING)
        if batch is None or batch.inquiry is None or batch.inquiry.polls != event.poll:
            return
        match batch.inquiry.hear(event.answer, late=event.late):
            case Finish() as end:
                self._leave(end.ended, end.reason)
            case Result() as word:
                self._close(batch, batch.attempt.read(batch.rows, word))
            case str() as reason:
                self._close(batch, [batch.attempt.verdict(batch.rows, Fate.UNKNOWN, reason)])
            case None:
                self._ask_after(batch, asked_to_wait(event.answer))

    def _woken(self, event: messages.Woken) -> None:
        batch = self._batches.expecting(event.batch, event.attempt, Phase.WAITING)
        if batch:
            batch.phase, batch.throttled = Phase.READY, False

    # What becomes of a batch.

    def _back_off(self, batch: OpenBatch, reason: str, retry_after: float | None) -> bool:
        """Have the batch wait for its next attempt; False if it is given up instead."""
        batch.failures += 1
        enough = self._end or self._patience.retried_enough(retry_after)
        seconds = None if enough else self._delay(batch.failures, retry_after)
        if seconds is None:
            self._abandon(batch, reason)
            return False
        self._patience.again(retry_after)
        batch.attempt = Attempt(batch.attempt.number + 1)
        batch.phase, batch.throttled = Phase.WAITING, retry_after is not None
        self._commands.append(messages.Wait(batch.number, batch.attempt.number, seconds))
        return True

    def _follow(self, rows: Rows, attempt: Attempt, job: OpenJob) -> None:
        batch = self._batches.follow(rows, attempt, Inquiry(job))
        if self._end and not self._cancelled:
            self._abandon(batch)
        else:
            self._ask_after(batch, None)

    def _ask_after(self, batch: OpenBatch, retry_after: float | None) -> None:
        assert batch.inquiry is not None  # noqa: S101 - for the reader
        batch.inquiry.polls += 1
        seconds = self._pause(batch.inquiry.polls, retry_after)
        about = (batch.number, batch.attempt.number, batch.inquiry.polls)
        self._commands.append(messages.Poll(*about, seconds, batch.inquiry.job, batch.rows))

    def _abandon(self, batch: OpenBatch, reason: str = "The run ended first.") -> None:
        drained = self._end is not None and self._end.ended is Ended.DRAINED
        # Whoever takes a drained run over asks the vendor again; a verdict here would keep it from doing so.
        rows = doubted(batch.rows, batch.attempt.number) if batch.inquiry else batch.rows
        self._close(batch, [] if drained else batch.attempt.left_open(rows, reason))

    def _close(self, batch: OpenBatch, verdicts: list[Verdict]) -> None:
        self._batches.close(batch)
        if batch.inquiry:
            # The log speaks of them already: whatever is added to it, a crash leaves nobody in doubt.
            self._log.add([verdict._replace(job=batch.inquiry.job) for verdict in verdicts], batch=batch.number)
        else:
            self._log.add(verdicts, answers=bool(verdicts), batch=batch.number)

    def _leave(self, ended: Ended, reason: str) -> None:
        """Stop, and ask after nothing any more, whether the run was cancelled or not."""
        if self._cancelled:
            self._end = None
        self._stop(ended, reason)

    def _stop(self, ended: Ended, reason: str) -> None:
        if self._end is None:
            self._end = Finish(ended, reason)
            for batch in self._batches:
                if batch.resting and not (batch.inquiry and self._cancelled):
                    self._abandon(batch)

    # What to do next.

    def _next_commands(self) -> list[Command]:
        if self._end is None:
            self._start_batches()
        asked = [None if self._end else self._ahead.read_on(), self._log.commit(), self._finish()]
        self._commands += [command for command in asked if command]
        commands, self._commands = self._commands, []
        return commands

    def _start_batches(self) -> None:
        self._gate_ready()
        while not self._batches.ready() and self._batches.slot_free() and self._may_doubt_more() and self._may_claim():
            for rows in self._ahead.take():
                self._log.claimed += len(rows)
                self._batches.begin(rows, Attempt(self._attempts_before + 1))
            self._gate_ready()

    def _gate_ready(self) -> None:
        for batch in self._batches.ready():
            if self._batches.slot_free() and (batch.in_doubt or self._may_doubt_more()):
                batch.phase, number = Phase.GATING, batch.attempt.number
                self._commands.append(
                    messages.Gate(batch.number, number, batch.rows, fresh=number > self._attempts_before + 1)
                )

    def _may_doubt_more(self) -> bool:
        return self._batches.in_doubt() + self._log.answers < self._limits.uncommitted

    def _may_claim(self) -> bool:
        """Never more people than a crash may leave open, nor anybody while too many jobs are."""
        people = self._ahead.next
        room = self._log.claimed + people <= self._limits.people_in_doubt
        return people > 0 and room and self._batches.jobs() < self._limits.jobs

    def _finish(self) -> Finish | None:
        done = self._end is not None or self._ahead.done
        if self._finished or not done or self._batches or self._log:
            return None
        self._finished = True
        return self._end or self._patience.completed()
