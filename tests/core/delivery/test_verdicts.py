"""What is remembered of attempts that got no answer."""

from __future__ import annotations

from hub.core.delivery.rows import Row
from hub.core.delivery.verdicts import doubted
from hub.core.planning import Op


def test_of_unanswered_attempts_with_different_payloads_none_is_taken_for_the_one_that_lands() -> None:
    row = Row(1, 1, "a", Op.ADD, "old")
    for attempt, payload in enumerate(("old", "new", "new"), 1):
        [row] = doubted([row._replace(fingerprint=payload)], attempt)
    assert row.unanswered is not None and row.unanswered == (3, "")
    assert doubted([Row(1, 1, "a", Op.ADD, "same")], 1)[0].unanswered == (1, "same")
