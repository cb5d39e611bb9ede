"""The signed event webhook: ECDSA over P-256 and SHA-256, of the time and the raw body."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hub.sdk import Inbound, Unverified, insist_fresh

SIGNATURE = "x-twilio-email-event-webhook-signature"
MOMENT = "x-twilio-email-event-webhook-timestamp"
LONGEST_MOMENT = 11


def verification_key(text: str) -> ec.EllipticCurvePublicKey:
    """The key as SendGrid shows it: DER in base64. Raises ValueError for anything else."""
    try:
        key = load_der_public_key(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, UnsupportedAlgorithm, ValueError):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("must be the verification key as SendGrid shows it, such as MFkwEwYH…")
    return key


def insist_signed_by(key: str | None, request: Inbound, oldest: timedelta) -> None:
    if key is None:
        raise Unverified("no verification key is configured")
    moment = request.headers.get(MOMENT, "")
    if not moment.isdecimal() or len(moment) > LONGEST_MOMENT:
        raise Unverified("it lacks the headers of the signed event webhook")
    insist_fresh(datetime.fromtimestamp(int(moment), UTC), request, oldest)
    try:
        signature = base64.b64decode(request.headers.get(SIGNATURE, ""), validate=True)
        verification_key(key).verify(signature, moment.encode() + request.body, ec.ECDSA(SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        raise Unverified("its signature is not by the verification key") from None
