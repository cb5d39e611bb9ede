"""Klaviyo's system webhooks: who has unsubscribed, bounced or complained.

https://developers.klaviyo.com/en/docs/working_with_system_webhooks
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic import AliasPath, BaseModel, Field, ValidationError

from hub.sdk import Feedback, Inbound, Notice, Unverified, insist_fresh, same

# Leaving one list, and everything about SMS, says nothing of e-mail marketing.
NOTICES = {
    "event:klaviyo.unsubscribed_from_email_marketing": Notice.UNSUBSCRIBED,
    "event:klaviyo.manually_suppressed_from_email_marketing": Notice.UNSUBSCRIBED,
    "event:klaviyo.marked_email_as_spam": Notice.COMPLAINED,
    "event:klaviyo.bounced_email": Notice.BOUNCED,
}
_EVENT = ("payload", "data")
_ABOUT = (*_EVENT, "attributes", "event_properties")


class Included(BaseModel):
    type: str
    email: str | None = Field(None, validation_alias=AliasPath("attributes", "email"))


class Event(BaseModel):
    topic: str
    external_id: str = ""
    seconds: float = Field(0, validation_alias=AliasPath(*_EVENT, "attributes", "timestamp"))
    address: str | None = Field(None, validation_alias=AliasPath(*_ABOUT, "email_address"))
    bounce: str = Field("", validation_alias=AliasPath(*_ABOUT, "Bounce Type"))
    profile: str | None = Field(None, validation_alias=AliasPath(*_EVENT, "relationships", "profile", "data", "id"))
    included: list[Included] = Field([], validation_alias=AliasPath("payload", "included"))

    def heard(self) -> Feedback | None:
        notice, who = NOTICES.get(self.topic), self._who()
        # A full mailbox is no reason to stop; whatever does not say that it is only one counts as for good.
        if notice is None or who is None or (notice is Notice.BOUNCED and self.bounce.lower() == "soft"):
            return None
        at = datetime.fromtimestamp(self.seconds, UTC) if 0 < self.seconds < 1e11 else None
        return Feedback(notice, *who, event=self.external_id, at=at)

    def _who(self) -> tuple[str, str] | None:
        """The address, where the event tells it; else the profile's id."""
        told = (*(one.email for one in self.included if one.type == "profile"), self.address)
        if address := next(filter(None, told), None):
            return "email", address.strip().lower()
        return ("native", self.profile) if self.profile else None


class Told(BaseModel):
    data: list[dict[str, Any]]
    webhook: str = Field(validation_alias=AliasPath("meta", "klaviyo_webhook_id"))


def insist_klaviyos(secret: str, signed: str, request: Inbound) -> None:
    """Raise Unverified unless Klaviyo signed it, just now."""
    said = request.headers.get("klaviyo-timestamp", "")
    parts = {"body": request.body, "timestamp": said.encode()}
    content = b"".join(parts[part] for part in signed.split("+"))
    if not same(request.headers.get("klaviyo-signature"), hmac.digest(secret.encode(), content, "sha256").hex()):
        raise Unverified("its signature is not by our secret")
    insist_fresh(_moment(said), request)


def heard(request: Inbound) -> list[Feedback]:
    """Every event of it that takes a permission away. One of another shape does not hide the others."""
    try:
        told = Told.model_validate_json(request.body)
    except ValidationError:
        return []
    if not same(request.headers.get("klaviyo-webhook-id"), told.webhook):
        raise Unverified("its header names another webhook than its body")
    return [notice for one in told.data if (event := _event(one)) and (notice := event.heard())]


def _event(told: dict[str, Any]) -> Event | None:
    try:
        return Event.model_validate(told)
    except ValidationError:
        return None


def _moment(said: str) -> datetime:
    """Klaviyo writes it as HTTP does; ISO 8601 is understood as well."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(said)
        except (ValueError, TypeError):
            continue
        return moment.replace(tzinfo=moment.tzinfo or UTC)
    raise Unverified("its time cannot be read")
