"""How an API user of the old kind proves who it is: anew with each request, since a nonce is good once."""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import UTC, datetime


def username_token(user: str, secret: str) -> str:
    return token_of(user, secret, secrets.token_hex(16), datetime.now(UTC).isoformat(timespec="seconds"))


def token_of(user: str, secret: str, nonce: str, created: str) -> str:
    """Emarsys wants the digest's hexadecimal digits in Base64, where WS-Security has its bytes."""
    digits = hashlib.sha1(f"{nonce}{created}{secret}".encode()).hexdigest()  # noqa: S324 - as Emarsys asks for it
    digest = base64.b64encode(digits.encode()).decode()
    return f'UsernameToken Username="{user}", PasswordDigest="{digest}", Nonce="{nonce}", Created="{created}"'
