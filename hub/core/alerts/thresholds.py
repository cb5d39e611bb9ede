"""From when on something about a sync is bad. None never is."""

from __future__ import annotations

from dataclasses import dataclass

# As far back as runs in a row are counted.
MOST_RUNS = 20


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Shares are of the people whom a run was to reach, and bad when they are exceeded; `withheld_share` is of all
    members, `drift_share` of those whom the vendor was known to hold. Minutes are counted from when it began; at 0 it
    is bad at once. `destination_paused` is about a pause that the hub made by itself."""

    failed_runs: int | None = 1
    rejected_share: float | None = 0.1
    pending_share: float | None = 0.1
    withheld_share: float | None = None
    destination_paused: bool = True
    approval_minutes: int | None = 0
    overdue_minutes: int | None = 60
    drift_share: float | None = 0.05
