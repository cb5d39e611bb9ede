"""The mutation score in short: the decision about consent against its own tests. `make mutate` tries everything."""

from __future__ import annotations

import pytest

from hub.core import consent
from tests.mutation.equivalents import EQUIVALENT, Equivalent
from tests.mutation.run import Mutant, Sample, mutants
from tests.mutation.score import score_of, survivors

DECISION = Sample(
    ["hub/core/consent.py"],
    ["tests/core/test_consent.py"],
    [f"{consent.__name__}.x_{name}__mutmut_*" for name in ("decide", "is_grant", "_granted", "_denied")],
)

MISSED = Mutant("hub/m.py", "Box.open", "return a < b", "return a <= b", found=False)
FOUND = Mutant("hub/m.py", "Box.open", "return a < b", "return a > b", found=True)


def test_no_change_of_the_decision_goes_unnoticed() -> None:
    tried = mutants(DECISION)
    assert len(tried) > 40
    assert survivors(tried, EQUIVALENT) == []


def test_a_mutant_that_nobody_noticed_lowers_the_score_unless_it_was_judged_to_change_nothing() -> None:
    judged = Equivalent("Box.open", "return a < b", ("return a <= b",), "They never are equal.")
    assert (score_of([MISSED, FOUND], [], "hub/m.py"), survivors([MISSED, FOUND], [])) == (0.5, [MISSED])
    assert (score_of([MISSED, FOUND], [judged], "hub/m.py"), survivors([MISSED, FOUND], [judged])) == (1.0, [])


@pytest.mark.parametrize(
    "other",
    [
        Equivalent("Box.shut", "return a < b", ("return a <= b",), ""),
        Equivalent("Box.open", "return a < c", ("return a <= b",), ""),
        Equivalent("Box.open", "return a < b", ("return a == b",), ""),
    ],
    ids=["another function", "another line", "another mutant"],
)
def test_a_judgement_holds_for_what_was_judged_and_nothing_else(other: Equivalent) -> None:
    assert survivors([MISSED], [other]) == [MISSED]
