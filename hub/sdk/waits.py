"""How long a vendor asks us to wait, in whichever dialect it says so. Nonsense and the past count as unsaid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT_S = 86_400.0

# Beyond this a number cannot be meant as seconds from now: it is an instant, in seconds or milliseconds since 1970.
_EPOCH_S = 1e9
_EPOCH_MS = 1e12

_PLAIN_NUMBER = re.compile(r"[0-9]{1,19}(\.[0-9]{1,9})?")
# When the allowance is full again, as a throttled answer may say instead of Retry-After.
_RESETS = (
    "x-ratelimit-reset",
    "ratelimit-reset",
    "x-rate-limit-reset",
    "x-sib-ratelimit-reset",
    "x-contentful-ratelimit-reset",
)


def retry_after(headers: Mapping[str, str], status: int, received_at: datetime) -> float | None:
    """Seconds to wait, at most a day. Only a 429 is about the allowance: what resets when says nothing of a 503."""
    asked = headers.get("retry-after") or headers.get("x-ratelimit-retry-after") or ""
    seconds = _seconds_or_date(asked.strip(), received_at)
    if seconds is None and status == 429:
        told = (until_reset(headers.get(name, ""), received_at.timestamp()) for name in _RESETS)
        seconds = next((wait for wait in told if wait is not None), None)
    return min(seconds, LONGEST_WAIT_S) if seconds is not None and seconds >= 0 else None


def until_reset(said: str, now: float) -> float | None:
    """Seconds from `now` (since 1970) until a reset that is given as such, or as an instant in (milli)seconds."""
    value = plain_number(said)
    if value is None or value < _EPOCH_S:
        return value
    left = (value / 1000 if value >= _EPOCH_MS else value) - now
    return left if left >= 0 else None


def plain_number(said: str) -> float | None:
    """A number as headers write it: digits, perhaps with a decimal point; None for anything else."""
    return float(said) if _PLAIN_NUMBER.fullmatch(said := said.strip()) else None


def _seconds_or_date(said: str, now: datetime) -> float | None:
    return seconds if (seconds := plain_number(said)) is not None else _seconds_until(said, now)


def _seconds_until(date: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
