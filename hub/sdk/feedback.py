"""What a vendor tells us by itself: who has unsubscribed, bounced or complained there."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pydantic import SecretStr

from hub.sdk.errors import ConnectorError

FRESH = timedelta(minutes=5)
"""How far a signed time may lie from ours: the tolerance that Standard Webhooks recommends."""


class Notice(StrEnum):
    """What became of someone. All of them only ever take a permission away."""

    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"
    COMPLAINED = "complained"


@dataclass(frozen=True, slots=True)
class Feedback:
    """One notice about one person, named by an identifier of the hub's kinds (`email`, `external_id`, …), or by the
    vendor's own id as the kind `native` until `Connector.recognised` has asked who that is.

    `event` is the vendor's own id of what happened, so that a repeat changes nothing; without one, the same notice at
    the same time is the same event. `at` is aware. `purpose` is the hub's purpose that it is about, where the
    connector's configuration tells; None means those that the destination is used for.
    """

    notice: Notice
    kind: str
    value: str = field(repr=False)
    event: str = ""
    at: datetime | None = None
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class Inbound:
    """A request to `/hooks/{destination}/…`, unread: `path` is what follows the destination's key, without a leading
    slash; `headers` have lower-case names; `body` is as it came. `url` is the address that the caller used, as far as
    the hub can tell: some vendors sign it. Nothing of it shows in its repr."""

    method: str
    path: str = field(default="", repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    url: str = field(default="", repr=False)
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC), repr=False)


class Unverified(ConnectorError):  # noqa: N818 - it reads as what happened
    """The request cannot be shown to come from the vendor: nothing in it is believed. `reason` is for the admin."""


def same(said: str | None, expected: str) -> bool:
    """Whether a secret or a signature is the expected one, in constant time. Nothing is never the same."""
    return bool(said and expected) and hmac.compare_digest(str(said).encode(), expected.encode())


def insist_fresh(moment: datetime, request: Inbound, oldest: timedelta = FRESH) -> None:
    """Raise Unverified where a signed time is not about now: somebody may be repeating an old request. A larger
    `oldest` is for vendors who repeat what was not answered without signing it anew."""
    age = request.received_at - moment
    if not -FRESH <= age <= oldest:
        allowed = "five minutes" if oldest == FRESH else "is allowed"
        raise Unverified(f"its time lies more than {allowed} away: see that the clocks agree")


def insist_secret(secret: SecretStr | None, request: Inbound) -> None:
    """Raise Unverified unless the caller knows the secret, where the vendor signs nothing: as the path, as a bearer
    token, or as the password of basic authentication. Without a secret nobody is believed."""
    if secret is None:
        raise Unverified("no secret for its webhooks is configured")
    scheme, _, said = request.headers.get("authorization", "").partition(" ")
    shown = (request.path.strip("/"), {"bearer": said.strip(), "basic": _password(said)}.get(scheme.lower(), ""))
    if not any(same(one, secret.get_secret_value()) for one in shown):
        raise Unverified("it does not know the secret for webhooks")


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
