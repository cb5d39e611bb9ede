"""What an answer means for each person of the batch: exceptions by key, everybody else by the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hub.core.delivery.messages import Row, Verdict
from hub.core.planning import Fate
from hub.core.records import WithheldReason
from hub.sdk.contract import Outcome, OutcomeKind, Result

NO_ANSWER = "The destination did not answer."
JOB_OPEN = "The destination has not finished the job."

FATES = {
    OutcomeKind.ACCEPTED: Fate.ACCEPTED,
    OutcomeKind.NOOP: Fate.NOOP,
    OutcomeKind.REJECTED: Fate.REJECTED,
    OutcomeKind.SUPPRESSED: Fate.SUPPRESSED,
    OutcomeKind.RETRY: Fate.RETRY,
    OutcomeKind.UNKNOWN: Fate.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a batch: its number and the ledger entry that its consent was read at."""

    number: int
    ledger_seq: int = 0

    def verdict(self, row: Row, fate: Fate, reason: str = "") -> Verdict:
        return Verdict(row, self.number, fate, reason, self.ledger_seq)

    def all(self, rows: Iterable[Row], fate: Fate, reason: str = "") -> list[Verdict]:
        return [Verdict(row, self.number, fate, reason, self.ledger_seq) for row in rows]

    def dropped(self, rows: Iterable[Row], withheld: Mapping[str, WithheldReason]) -> list[Verdict]:
        """Those whom the gate no longer lets through; a remove is never gated."""
        return [
            self.verdict(row, Fate.WITHHELD, withheld[row.key]) for row in rows if row.op.adds and row.key in withheld
        ]

    def left_open(self, rows: Iterable[Row], reason: str) -> list[Verdict]:
        """The batch is given up: unknown for whoever may be there by now, still to do for the others."""
        return [self.verdict(row, Fate.RETRY if row.unanswered is None else Fate.UNKNOWN, reason) for row in rows]

    def read(self, rows: Iterable[Row], result: Result) -> list[Verdict]:
        """One verdict a row. Keys that the result names and the batch does not hold are nobody here."""
        if not result.outcomes and result.rest is OutcomeKind.ACCEPTED and result.job is None:
            return self.all(rows, Fate.ACCEPTED)
        # Only ACCEPTED may speak for people the vendor did not name; anything else about them is a guess.
        named_all = result.rest is OutcomeKind.ACCEPTED and result.job is None
        rest = (
            Outcome(OutcomeKind.ACCEPTED)
            if named_all
            else Outcome(OutcomeKind.UNKNOWN, JOB_OPEN if result.job else NO_ANSWER)
        )
        return [self._of(row, result.outcomes.get(row.key, rest)) for row in rows]

    def _of(self, row: Row, outcome: Outcome) -> Verdict:
        return self.verdict(row, FATES.get(outcome.kind, Fate.UNKNOWN), outcome.reason)


def doubted(rows: Iterable[Row], attempt: int) -> tuple[Row, ...]:
    """The rows, remembering that this attempt may have reached the vendor."""
    return tuple(row._replace(unanswered=attempt) for row in rows)


def with_traces(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts, each after an `unknown` for the earlier attempt that got no answer, if there was one."""
    told = list(verdicts)
    if all(verdict.row.unanswered is None for verdict in told):
        return told
    return [line for verdict in told for line in _with_trace(verdict)]


def _with_trace(verdict: Verdict) -> tuple[Verdict, ...]:
    row = verdict.row
    if row.unanswered is None or verdict.fate is Fate.UNKNOWN:
        return (verdict,)
    return (Verdict(row, row.unanswered, Fate.UNKNOWN, NO_ANSWER), verdict)
