"""What Brevo tells by its webhooks: one event, or several in a list; unsigned."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import BaseModel, Field, ValidationError

from hub.sdk import Feedback, Notice

# Marketing and transactional webhooks, and the names by which one subscribes to them, spell the same events apart.
_NOTICES = {
    "unsubscribe": Notice.UNSUBSCRIBED,
    "unsubscribed": Notice.UNSUBSCRIBED,
    "spam": Notice.COMPLAINED,
    "hardbounce": Notice.BOUNCED,
}
_YEAR_2286 = 10_000_000_000


class Event(BaseModel):
    event: str
    email: str = Field(min_length=1)
    # Seconds since 1970, UTC; the dates beside it are in zones of the account's.
    ts_event: Any = None

    @property
    def moment(self) -> datetime | None:
        """A time that makes no sense must not lose the no."""
        sensible = type(self.ts_event) is int and 0 <= self.ts_event < _YEAR_2286
        return datetime.fromtimestamp(self.ts_event, UTC) if sensible else None


def notices(body: bytes) -> Sequence[Feedback]:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    heard = (_notice(one) for one in (told if isinstance(told, list) else [told]))
    return [one for one in heard if one]


def _notice(told: object) -> Feedback | None:
    try:
        event = Event.model_validate(told)
    except ValidationError:
        return None
    notice = _NOTICES.get(re.sub(r"[^a-z]", "", event.event.lower()))
    return Feedback(notice, "email", event.email, at=event.moment) if notice else None
