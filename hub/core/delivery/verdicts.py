"""What an answer means for each person of the batch: exceptions by key, everybody else by the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hub.core.delivery.jobs import JOB_OPEN
from hub.core.delivery.messages import OpenJob, Verdict
from hub.core.delivery.rows import Row, Rows, Stretch, Unanswered
from hub.core.planning import Fate
from hub.core.records import WithheldReason
from hub.sdk.contract import Outcome, OutcomeKind, Result

NO_ANSWER = "The destination did not answer."

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

    def read(self, rows: Rows, result: Result, job: OpenJob | None = None) -> list[Verdict]:
        """Every row in one verdict. Keys that the result names and the batch does not hold are nobody here. `job` is
        the one that the result names, if it will be asked after."""
        rest, named = _of_the_rest(result, job), result.outcomes
        alike = (
            self._alike((row, _said(named[row.key]) if row.key in named else rest) for row in rows)
            if named
            else [self.verdict(rows, *rest)]
        )
        return [verdict._replace(job=job) if verdict.fate is Fate.SUBMITTED else verdict for verdict in alike]

    def _alike(self, told: Iterable[tuple[Row, tuple[Fate, str]]]) -> list[Verdict]:
        """A verdict for each fate with its reason, in the order in which they first come up."""
        rows: dict[tuple[Fate, str], list[Row]] = {}
        for row, said in told:
            rows.setdefault(said, []).append(row)
        return [self.verdict(tuple(alike), fate, reason) for (fate, reason), alike in rows.items()]


def _of_the_rest(result: Result, job: OpenJob | None) -> tuple[Fate, str]:
    """Only ACCEPTED may speak for people the vendor did not name; anything else about them is a guess."""
    if result.job is not None:
        return (Fate.SUBMITTED if job else Fate.UNKNOWN), JOB_OPEN
    return (Fate.ACCEPTED, "") if result.rest is OutcomeKind.ACCEPTED else (Fate.UNKNOWN, NO_ANSWER)


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


def told(rows: Rows) -> Rows:
    """The rows without their unanswered attempts, which the log has by now."""
    return rows if isinstance(rows, Stretch) else tuple(row._replace(unanswered=None) for row in rows)


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
