"""A NATS server whose users are known by JWTs that an account has signed, and the account by one of its operator's."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nkeys

from tests.connectors.nats_server import BINARY
from tests.postgres_server import free_port
from tests.real.servers import running

SETTINGS = """
listen: "127.0.0.1:{port}"
jetstream: {{ store_dir: "{folder}/store" }}
trusted_keys: ["{operator}"]
system_account: {system}
resolver: MEMORY
resolver_preload: {{
  {system}: "{system_token}"
  {account}: "{account_token}"
}}
"""
ENDLESS = dict.fromkeys(("subs", "data", "payload"), -1)
LIMITS = {**ENDLESS, **dict.fromkeys(("imports", "exports", "conn", "leaf"), -1), "wildcards": True}
STORING = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)


@contextmanager
def server_of_accounts(folder: Path) -> Iterator[tuple[str, str]]:
    """Its address, and the credentials of a user who may do everything in an account that stores."""
    operator, system, account = (_pair(nkeys.PREFIX_BYTE_OPERATOR), *(_pair(nkeys.PREFIX_BYTE_ACCOUNT) for _ in "sa"))
    told = {
        "port": free_port(),
        "folder": folder,
        "operator": _name(operator),
        "system": _name(system),
        "account": _name(account),
        "system_token": _token(operator, system, {"type": "account", "limits": LIMITS}),
        "account_token": _token(operator, account, {"type": "account", "limits": LIMITS | STORING}),
    }
    (folder / "settings").write_text(SETTINGS.format(**told))
    log = folder / "log"
    with running([BINARY, "-c", folder / "settings"], lambda: "Server is ready" in log.read_text(), log):
        yield f"127.0.0.1:{told['port']}", credentials(account)


def credentials(account: nkeys.KeyPair) -> str:
    user = _pair(nkeys.PREFIX_BYTE_USER)
    token = _token(account, user, {"type": "user", "pub": {}, "sub": {}, **ENDLESS})
    return (
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )


def _pair(kind: int) -> nkeys.KeyPair:
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), kind))


def _name(pair: nkeys.KeyPair) -> str:
    return str(pair.public_key.decode())


def _token(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, claims: dict[str, Any]) -> str:
    said = {"jti": "x", "iat": 1, "iss": _name(issuer), "sub": _name(subject), "name": "kit"}
    parts = ({"typ": "JWT", "alg": "ed25519-nkey"}, {**said, "nats": {**claims, "version": 2}})
    plain = ".".join(_packed(json.dumps(part).encode()) for part in parts)
    return f"{plain}.{_packed(issuer.sign(plain.encode()))}"


def _packed(told: bytes) -> str:
    return base64.urlsafe_b64encode(told).decode().rstrip("=")
