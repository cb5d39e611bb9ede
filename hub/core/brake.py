"""The brake: what makes a plan wait until a person has looked at its numbers. Whoever may no longer be sent never
waits for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from hub.core.planning import PlanSummary, needs_approval

# A smaller audience may well be ten times as large tomorrow.
SMALL_AUDIENCE = 100
EVERYBODY = 1.0


class ApprovalReason(StrEnum):
    REMOVAL_SHARE = "REMOVAL_SHARE"
    EMPTY_SOURCE = "EMPTY_SOURCE"
    FAILED_SOURCE = "FAILED_SOURCE"
    SIZE_JUMP = "SIZE_JUMP"


@dataclass(frozen=True, slots=True)
class Brake:
    """`max_removal_share` of 1 lets everybody go, whatever the source; `max_growth` is how many times as large an
    audience may become at once; `source_failed` that the newest data did not come in."""

    max_removal_share: float
    max_growth: float
    source_failed: bool = False

    def reasons(self, summary: PlanSummary) -> tuple[ApprovalReason, ...]:
        """Why the plan must wait; empty when it need not."""
        if not summary.scope.whole:
            return ()
        lost = summary.lost
        doubted = lost > 0 and self.max_removal_share < EVERYBODY
        grown = summary.delivered_before + summary.to_add
        found = {
            ApprovalReason.REMOVAL_SHARE: needs_approval(summary, self.max_removal_share),
            ApprovalReason.EMPTY_SOURCE: doubted and not summary.members,
            ApprovalReason.FAILED_SOURCE: doubted and self.source_failed,
            ApprovalReason.SIZE_JUMP: summary.delivered_before >= SMALL_AUDIENCE
            and grown > self.max_growth * summary.delivered_before,
        }
        return tuple(reason for reason, holds in found.items() if holds)


def kept_reasons(waits: bool | Iterable[str]) -> list[ApprovalReason]:
    """The reasons as a plan keeps them; plans of before knew one only."""
    if isinstance(waits, bool):
        return [ApprovalReason.REMOVAL_SHARE] if waits else []
    return [ApprovalReason(reason) for reason in waits]
