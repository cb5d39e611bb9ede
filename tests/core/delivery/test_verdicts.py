"""What an answer means for each person, and what is remembered of attempts that got none."""

from __future__ import annotations

from typing import cast

import pytest

from hub.core.delivery.jobs import JOB_OPEN
from hub.core.delivery.rows import Row
from hub.core.delivery.verdicts import NO_ANSWER, Attempt, doubted, with_traces
from hub.core.planning import Fate, Op
from hub.sdk.contract import Outcome, OutcomeKind, Result
from tests.core.delivery.simulation import lines_of


def test_of_unanswered_attempts_with_different_payloads_none_is_taken_for_the_one_that_lands() -> None:
    row = Row(1, 1, "a", Op.ADD, "old")
    for attempt, payload in enumerate(("old", "new", "new"), 1):
        [row] = doubted([row._replace(fingerprint=payload)], attempt)
    assert row.unanswered is not None and row.unanswered == (3, "")
    assert doubted([Row(1, 1, "a", Op.ADD, "same")], 1)[0].unanswered == (1, "same")
    [twice] = doubted(doubted([Row(1, 1, "a", Op.ADD, "same")], 1), 2)
    assert twice.unanswered == (2, "same")


@pytest.mark.parametrize(
    ("result", "fate", "reason"),
    [
        (Result(), Fate.ACCEPTED, ""),
        (Result(rest=OutcomeKind.UNKNOWN), Fate.UNKNOWN, NO_ANSWER),
        (Result(job="7"), Fate.UNKNOWN, JOB_OPEN),
        (Result({"b": Outcome(OutcomeKind.REJECTED, "bad")}), Fate.ACCEPTED, ""),
        (Result({"a": Outcome(OutcomeKind.REJECTED, "bad")}), Fate.REJECTED, "bad"),
        (Result({"a": Outcome(cast("OutcomeKind", "made up"), "odd")}), Fate.UNKNOWN, "odd"),
    ],
)
def test_a_person_gets_the_word_that_is_said_of_them_with_its_reason(result: Result, fate: Fate, reason: str) -> None:
    [line] = lines_of(Attempt(2, 7).read((Row(1, 1, "a", Op.ADD, "f"),), result))
    assert (line.fate, line.reason, line.attempt, line.ledger_seq) == (fate, reason, 2, 7)


def test_the_trace_of_an_unanswered_attempt_says_what_it_is() -> None:
    rows = doubted([Row(1, 1, "a", Op.ADD, "f")], 1)
    trace, verdict = lines_of(with_traces([Attempt(2).verdict(rows, Fate.ACCEPTED)]))
    assert (trace.attempt, trace.fate, trace.reason) == (1, Fate.UNKNOWN, NO_ANSWER)
    assert (verdict.attempt, verdict.fate, verdict.reason) == (2, Fate.ACCEPTED, "")
