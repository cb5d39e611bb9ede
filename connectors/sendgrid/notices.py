"""What SendGrid tells by its event webhook: many events in a list, most of them about mail that was delivered."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import orjson
from pydantic import BaseModel, Field, ValidationError

from hub.sdk import Feedback, Notice

_NOTICES = {
    "unsubscribe": Notice.UNSUBSCRIBED,
    "group_unsubscribe": Notice.UNSUBSCRIBED,
    "spamreport": Notice.COMPLAINED,
    "bounce": Notice.BOUNCED,
}
# Mail that SendGrid did not even try to deliver, because of what it knows about the person.
_DROPPED = {
    "unsubscribed address": Notice.UNSUBSCRIBED,
    "spam reporting address": Notice.COMPLAINED,
    "bounced address": Notice.BOUNCED,
    "invalid": Notice.BOUNCED,
}


class Event(BaseModel):
    event: str
    email: str = Field(min_length=1)
    timestamp: int = Field(ge=0, lt=10_000_000_000)
    number: str = Field("", alias="sg_event_id")
    bounced_as: str = Field("", alias="type")
    reason: str = ""
    group: int | None = Field(None, alias="asm_group_id")

    @property
    def notice(self) -> Notice | None:
        if self.event == "dropped":
            return _DROPPED.get(self.reason.strip().lower())
        # A block is of the moment: a full mailbox, a server that is away.
        soft = self.event == "bounce" and self.bounced_as == "blocked"
        return None if soft else _NOTICES.get(self.event)


def notices(body: bytes, groups: Collection[int]) -> Sequence[Feedback]:
    """`groups` are the unsubscribe groups that count; all of them, if none is named."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    heard = (_feedback(one, groups) for one in (told if isinstance(told, list) else [told]))
    return [one for one in heard if one]


def _feedback(told: object, groups: Collection[int]) -> Feedback | None:
    try:
        event = Event.model_validate(told)
    except ValidationError:
        return None
    elsewhere = event.event == "group_unsubscribe" and groups and event.group not in groups
    if event.notice is None or elsewhere:
        return None
    at = datetime.fromtimestamp(event.timestamp, UTC)
    return Feedback(event.notice, "email", event.email, event.number, at)
