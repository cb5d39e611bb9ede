"""Requests signed after Standard Webhooks: ours, so that receivers verify them with a library of theirs, and theirs."""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from datetime import UTC, datetime

from hub.sdk.feedback import Inbound, Unverified, insist_fresh, same

SHORTEST_KEY, LONGEST_KEY = 24, 64
LONGEST_MOMENT = 11
SECRET_FORM = f"whsec_ followed by {SHORTEST_KEY} to {LONGEST_KEY} bytes in base64"


def is_signing_secret(secret: str) -> bool:
    return SHORTEST_KEY <= len(_signing_key(secret)) <= LONGEST_KEY


def signed(secret: str, number: str, body: bytes) -> dict[str, str]:
    """The headers of a request with this body. `number` is the same on every attempt: receivers know a repeat by it."""
    moment = str(int(time.time()))
    signature = hmac.digest(_signing_key(secret), f"{number}.{moment}.".encode() + body, "sha256")
    return {
        "content-type": "application/json",
        "webhook-id": number,
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def _signing_key(secret: str) -> bytes:
    prefix, _, encoded = secret.partition("_")
    try:
        return base64.b64decode(encoded, validate=True) if prefix == "whsec" else b""
    except (binascii.Error, ValueError):
        return b""


def insist_signed(secret: str, request: Inbound) -> None:
    """Raise Unverified unless the request bears a signature of Standard Webhooks, by this secret and of about now."""
    number, moment = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
    if not number or not moment.isdecimal() or len(moment) > LONGEST_MOMENT:
        raise Unverified("it lacks the headers of Standard Webhooks")
    insist_fresh(datetime.fromtimestamp(int(moment), UTC), request)
    digest = hmac.digest(_signing_key(secret), f"{number}.{moment}.".encode() + request.body, "sha256")
    expected = f"v1,{base64.b64encode(digest).decode()}"
    offered = request.headers.get("webhook-signature", "").split()
    if not any(same(one, expected) for one in offered):
        raise Unverified("its signature is not by our secret")
