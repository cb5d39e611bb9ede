"""What an admin fills in for SFTP."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator

from connectors.artefacts import ArtefactConfig
from hub.sdk import Server

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


def fingerprint(pinned: str) -> str:
    """The fingerprint of a key that is given as such or whole, as `ssh-keyscan` prints it without the host."""
    if _FINGERPRINT.fullmatch(pinned):
        return pinned
    kind, _, encoded = pinned.partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        blob = b""
    # A key begins with its own kind, after the kind's length.
    if not kind or blob[4 : 4 + len(kind)] != kind.encode():
        raise ValueError("must be SHA256:… or a public key such as ssh-ed25519 AAAA…")
    return f"SHA256:{base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')}"


def _host_key(pinned: str) -> str:
    """As it is copied from a file, with a line's end and a comment, too."""
    plain = " ".join(pinned.split()[:2])
    fingerprint(plain)
    return plain


class SftpConfig(ArtefactConfig):
    host: str = Field(min_length=1, max_length=253, description="The server's name; the operator must list HOST:PORT.")
    port: int = Field(22, ge=1, le=65535, description="The server's port.")
    username: str = Field(pattern=r"^[^\x00-\x1f]{1,64}$", description="The user to log in as.")
    password: SecretStr | None = Field(None, description="The user's password, unless there is a private key.")
    private_key: SecretStr | None = Field(None, description="A private key in OpenSSH's or PEM format, whole.")
    passphrase: SecretStr | None = Field(None, description="What the private key is encrypted with, if it is.")
    host_keys: list[Annotated[str, AfterValidator(_host_key)]] = Field(
        min_length=1,
        max_length=10,
        description="The server's keys: SHA256:… or ssh-ed25519 AAAA…; more than one while they change.",
    )
    directory: str = Field(
        "",
        pattern=r"^/?([A-Za-z0-9_][A-Za-z0-9_. -]*(/[A-Za-z0-9_][A-Za-z0-9_. -]*)*)?$",
        description="Folder on the server, made if missing; below the user's own unless it begins with a slash.",
    )
    batch: int = Field(10_000, ge=1, le=50_000, description="The most people in one part.")

    @model_validator(mode="after")
    def _can_log_in(self) -> SftpConfig:
        if not (self.password or self.private_key):
            raise ValueError("give a password or a private_key")
        return self

    def dials(self) -> list[Server]:
        return [Server(("host",), self.host, self.port)]

    @property
    def fingerprints(self) -> frozenset[str]:
        return frozenset(map(fingerprint, self.host_keys))

    @property
    def key_kinds(self) -> list[str]:
        """The kinds of the keys that are known whole: a server that has several is asked for these."""
        return [key.partition(" ")[0] for key in self.host_keys if not _FINGERPRINT.fullmatch(key)]
