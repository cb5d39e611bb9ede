"""What an answer means for each person of the batch: exceptions by key, everybody else by the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hub.core.delivery.messages import Verdict
from hub.core.delivery.rows import Row, Rows, Stretch, Unanswered
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

    def verdict(self, rows: Rows, fate: Fate, reason: str = "") -> Verdict:
        return Verdict(rows, self.number, fate, reason, self.ledger_seq)

    def dropped(self, rows: Iterable[Row], withheld: Mapping[str, WithheldReason]) -> list[Verdict]:
        """Those whom the gate no longer lets through; a remove is never gated."""
        return self._alike((row, (Fate.WITHHELD, withheld[row.key])) for row in rows if drops(row, withheld))

    def left_open(self, rows: Iterable[Row], reason: str) -> list[Verdict]:
        """The batch is given up: unknown for whoever may be there by now, still to do for the others."""
        return self._alike(
            (row, (Fate.RETRY, reason)) if row.unanswered is None else (_as_sent(row), (Fate.UNKNOWN, reason))
            for row in rows
        )

    def read(self, rows: Rows, result: Result) -> list[Verdict]:
        """Every row in one verdict. Keys that the result names and the batch does not hold are nobody here."""
        if not result.outcomes and result.rest is OutcomeKind.ACCEPTED and result.job is None:
            return [self.verdict(rows, Fate.ACCEPTED)]
        # Only ACCEPTED may speak for people the vendor did not name; anything else about them is a guess.
        named_all = result.rest is OutcomeKind.ACCEPTED and result.job is None
        rest = (
            Outcome(OutcomeKind.ACCEPTED)
            if named_all
            else Outcome(OutcomeKind.UNKNOWN, JOB_OPEN if result.job else NO_ANSWER)
        )
        return self._alike((row, _said(result.outcomes.get(row.key, rest))) for row in rows)

    def _alike(self, told: Iterable[tuple[Row, tuple[Fate, str]]]) -> list[Verdict]:
        """A verdict for each fate with its reason, in the order in which they first come up."""
        rows: dict[tuple[Fate, str], list[Row]] = {}
        for row, said in told:
            rows.setdefault(said, []).append(row)
        return [self.verdict(tuple(alike), fate, reason) for (fate, reason), alike in rows.items()]


def _said(outcome: Outcome) -> tuple[Fate, str]:
    return FATES.get(outcome.kind, Fate.UNKNOWN), outcome.reason


def drops(row: Row, withheld: Mapping[str, WithheldReason]) -> bool:
    return row.op.adds and row.key in withheld


def doubted(rows: Iterable[Row], attempt: int) -> tuple[Row, ...]:
    """The rows, remembering that this attempt may have reached the vendor. Where attempts with different payloads may,
    the fingerprint is nobody's: whichever of them lands last, it is not what anybody is wanted with."""
    return tuple(row._replace(unanswered=Unanswered(attempt, _in_doubt(row))) for row in rows)


def _in_doubt(row: Row) -> str:
    same = row.unanswered is None or row.unanswered.fingerprint == row.fingerprint
    return row.fingerprint if same else ""


def with_traces(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts, each after an `unknown` for the earlier attempts that got no answer, if there were any."""
    return [line for verdict in verdicts for line in (*_traces(verdict), verdict)]


def _as_sent(row: Row) -> Row:
    """With the payload that may still arrive: the one of the attempt that got no answer."""
    return row._replace(fingerprint=row.unanswered.fingerprint) if row.unanswered else row


def _traces(verdict: Verdict) -> list[Verdict]:
    if verdict.fate is Fate.UNKNOWN or isinstance(verdict.rows, Stretch):
        return []
    rows: dict[int, list[Row]] = {}
    for row in verdict.rows:
        if row.unanswered is not None:
            rows.setdefault(row.unanswered.attempt, []).append(_as_sent(row))
    return [Verdict(tuple(rows[attempt]), attempt, Fate.UNKNOWN, NO_ANSWER) for attempt in sorted(rows)]
