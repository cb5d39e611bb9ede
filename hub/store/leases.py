"""A worker's hold on a run, and what one is told that has lost it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.core.records import Run


class LeaseLost(Exception):  # noqa: N818 - what happened, as a worker says it
    """Another worker has the run, or it ended: write nothing more about it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that is this worker's until `expires_at`. `plan` is what `save_plan` kept, None before planning."""

    run: Run
    owner: str
    fence: int
    expires_at: datetime
    plan: dict[str, Any] | None
