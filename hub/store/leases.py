"""A worker's hold on a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.core.leases import LeaseLost
from hub.core.records import Run

__all__ = ["Claim", "LeaseLost"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that is this worker's until `expires_at`, by the database's clock. `plan` is what `save_plan` kept, None
    before planning."""

    run: Run
    owner: str
    fence: int
    expires_at: datetime
    plan: dict[str, Any] | None
