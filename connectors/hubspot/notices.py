"""HubSpot's webhooks: a property of a contact has changed. They name the contact by its record id.

https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from hub.sdk import Feedback, Inbound, Notice, Unverified, insist_fresh, same

LONGEST_MOMENT = 14
CONTACT = "0-1"
_NO = frozenset({"", "false", "0"})
_EVENTS = TypeAdapter(list[dict[str, Any]])


class Event(BaseModel):
    """`eventId` alone is not promised to be unique."""

    kind: str = Field(validation_alias="subscriptionType")
    contact: int = Field(validation_alias="objectId")
    of: str = Field(CONTACT, validation_alias="objectTypeId")
    property: str = Field(validation_alias="propertyName")
    value: str | None = Field(None, validation_alias="propertyValue")
    number: int = Field(0, validation_alias="eventId")
    subscription: int = Field(0, validation_alias="subscriptionId")
    millis: int = Field(0, validation_alias="occurredAt")

    def heard(self, notices: Mapping[str, Notice]) -> Feedback | None:
        changed = self.kind in {"contact.propertyChange", "object.propertyChange"} and self.of == CONTACT
        if not changed or self.property not in notices or (self.value or "").lower() in _NO:
            return None
        at = datetime.fromtimestamp(self.millis / 1000, UTC) if 0 < self.millis < 1e14 else None
        event = f"{self.subscription}-{self.number}-{self.contact}"
        return Feedback(notices[self.property], "native", str(self.contact), event, at)


def insist_hubspots(secret: str, address: str, request: Inbound) -> None:
    """Raise Unverified unless HubSpot signed it, just now: version 3 of its signatures."""
    said = request.headers.get("x-hubspot-request-timestamp", "")
    if not said.isdecimal() or len(said) > LONGEST_MOMENT:
        raise Unverified("it lacks the time of HubSpot's signature, version 3")
    content = f"{request.method}{address}".encode() + request.body + said.encode()
    expected = base64.b64encode(hmac.digest(secret.encode(), content, "sha256")).decode()
    if not same(request.headers.get("x-hubspot-signature-v3"), expected):
        raise Unverified("its signature is not by our secret, or over another address: see signed_address")
    insist_fresh(datetime.fromtimestamp(int(said) / 1000, UTC), request)


def heard(request: Inbound, notices: Mapping[str, Notice]) -> Iterator[Feedback]:
    """Every event of it that takes a permission away. One of another shape does not hide the others."""
    try:
        told = _EVENTS.validate_json(request.body)
    except ValidationError:
        return
    for one in told:
        try:
            notice = Event.model_validate(one).heard(notices)
        except ValidationError:
            continue
        if notice:
            yield notice
