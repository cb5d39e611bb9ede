"""The hub's secret key and what is derived from it: the seal on stored secrets, and the pepper of hashed identifiers.

A sealed value is bound to its table, row and field, so that it opens nowhere else, and names the key that sealed it, so
that keys can be rotated later.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hub.core.identifiers import Pepper
from hub.errors import ErrorCode, HubError, refuse
from hub.settings import Settings

KEY_BYTES, NONCE_BYTES, ID_BYTES, PEPPER_BYTES = 32, 12, 4, 16
FORMAT = b"\x01"
FILE_MODE = 0o600
VARIABLE = "HUB_SECRET_KEY"


@dataclass(frozen=True, slots=True)
class Keyring:
    """Opens what it sealed. Nothing of it is ever shown."""

    pepper: Pepper = field(repr=False)
    _cipher: AESGCM = field(repr=False)
    _id: bytes = field(repr=False)

    @classmethod
    def of(cls, key: bytes) -> Keyring:
        """The keyring of a 32-byte secret key."""
        pepper = Pepper(base64.b64encode(_derive(key, "pepper")[:PEPPER_BYTES]).decode().rstrip("="))
        return cls(pepper, AESGCM(_derive(key, "seal")), _derive(key, "key id")[:ID_BYTES])

    @property
    def mark(self) -> str:
        """Tells one key from another, and gives nothing of it away."""
        return self._id.hex()

    def seal(self, value: Any, place: tuple[str, str, str]) -> str:
        """Any JSON value as text that only opens for the same (table, row key, field)."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        header = FORMAT + self._id
        ciphertext = self._cipher.encrypt(nonce, orjson.dumps(value), header + _bound_to(place))
        return base64.b64encode(header + nonce + ciphertext).decode()

    def open(self, sealed: str, place: tuple[str, str, str]) -> Any:
        """What was sealed; HubError FORBIDDEN when another key sealed it, or it was moved or changed."""
        raw = base64.b64decode(sealed)
        header, nonce = raw[: 1 + ID_BYTES], raw[1 + ID_BYTES :][:NONCE_BYTES]
        if header != FORMAT + self._id:
            message = f"A secret was sealed with another key: put the {VARIABLE} back that was in use, or set it anew."
            raise refuse(ErrorCode.FORBIDDEN, message, place[2])
        try:
            return orjson.loads(
                self._cipher.decrypt(nonce, raw[1 + ID_BYTES + NONCE_BYTES :], header + _bound_to(place))
            )
        except (InvalidTag, ValueError):
            message = "A stored secret was changed or moved and does not open: set it anew."
            raise refuse(ErrorCode.FORBIDDEN, message, place[2]) from None


def open_keyring(settings: Settings) -> Keyring:
    """The keyring of HUB_SECRET_KEY, else of the key file in HUB_DATA, which the first start makes. HubError when the
    key is short or well known, or when others may read the file."""
    if settings.secret_key is not None:
        return Keyring.of(read_key(settings.secret_key.get_secret_value()))
    return Keyring.of(read_key_file(settings.data / "secret.key"))


def read_key(text: str) -> bytes:
    """32 bytes written as hex or base64."""
    for decode in (binascii.unhexlify, _from_base64):
        key = _decoded(decode, text.strip())
        if len(key) == KEY_BYTES:
            return _unguessable(key)
    raise _bad_key("must be 32 random bytes in hex or base64")


def read_key_file(path: Path) -> bytes:
    if not path.exists():
        _make_key_file(path)
    found = path.stat()
    if stat.S_IMODE(found.st_mode) & 0o077:
        message = f"Others may read the key file {path.name}: run chmod 600 on it, and replace it if they may have."
        raise refuse(ErrorCode.FORBIDDEN, message, VARIABLE)
    return read_key(path.read_text())


def _make_key_file(path: Path) -> None:
    """Written aside and then linked: whoever reads it reads all of it, and of two first starts one key wins."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_bytes(KEY_BYTES).hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(aside, path)
    except FileExistsError:
        pass
    finally:
        aside.unlink()


def _unguessable(key: bytes) -> bytes:
    """Refuses keys that people write by hand: few different bytes, counted up or down, or plain text padded out."""
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    if len(set(key)) < 12 or len(steps) == 1 or key.isascii():
        raise _bad_key("is an example or can be guessed")
    return key


def _bad_key(why: str) -> HubError:
    message = f"{VARIABLE} {why}: make one with `openssl rand -hex 32`, or unset it and one is made."
    return refuse(ErrorCode.INVALID, message, VARIABLE)


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)


def _decoded(decode: Callable[[str], bytes], text: str) -> bytes:
    try:
        return decode(text)
    except (binascii.Error, ValueError):
        return b""


def _derive(key: bytes, use: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"hub {use}".encode()).derive(key)


def _bound_to(place: tuple[str, str, str]) -> bytes:
    return orjson.dumps(place)
