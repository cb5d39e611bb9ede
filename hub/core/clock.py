"""Time comes in through here, so that everything else can be told what time it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The current instant, aware, in UTC."""


def naive(moment: datetime) -> datetime:
    """As the data plane keeps time: in UTC, without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def aware(moment: datetime | None) -> datetime | None:
    """As everything else keeps it, of what the data plane told."""
    return moment and moment.replace(tzinfo=UTC)
