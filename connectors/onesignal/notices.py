"""What OneSignal tells by an event stream: one event, unsigned, in a body that the admin pastes there from our page.

https://documentation.onesignal.com/docs/en/event-streams-data
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from hub.sdk import Feedback, Notice, Unverified

# A live activity that somebody leaves is one game or one delivery, and no wish about messages.
_KIND = re.compile(r"message\.(push|email|sms)\.(\w+)")
_NOTICES = {
    "unsubscribed": Notice.UNSUBSCRIBED,
    "bounced": Notice.BOUNCED,
    "hardbounced": Notice.BOUNCED,  # as OneSignal named it before
    "reported_as_spam": Notice.COMPLAINED,
}
# What the token of a subscription is, by its channel. That of a push subscription is a device's, and names nobody.
_TOKENS = {"email": "email", "sms": "phone"}


class Event(BaseModel):
    """Whatever has no value comes as an empty text."""

    model_config = ConfigDict(coerce_numbers_to_str=True)
    kind: str
    event: str = ""
    at: str = ""
    external_id: str = ""
    token: str = ""

    @property
    def moment(self) -> datetime | None:
        return datetime.fromtimestamp(int(self.at), UTC) if re.fullmatch(r"[0-9]{1,10}", self.at) else None

    def names(self, channel: str, *, ours: bool) -> Iterator[tuple[str, str]]:
        if ours and self.external_id:
            yield "external_id", self.external_id
        if self.token and channel in _TOKENS:
            yield _TOKENS[channel], self.token


def notices(body: bytes, *, ours: bool) -> Sequence[Feedback]:
    """A notice for each identifier that the event tells; `ours` says whether the app's external ids are the hub's."""
    try:
        event = Event.model_validate_json(body)
    except ValidationError:
        # Someone's no may be in it, so it must show in the log of the stream that its body was changed.
        raise Unverified("its body is not the template of the hub's page on OneSignal") from None
    kind = _KIND.fullmatch(event.kind)
    if kind is None or kind[2] not in _NOTICES:
        return []
    notice, at = _NOTICES[kind[2]], event.moment
    return [Feedback(notice, name, value, event.event, at) for name, value in event.names(kind[1], ours=ours)]
