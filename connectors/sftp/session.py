"""A session with the server: dialled under the egress policy, its key compared before anything is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncssh

from connectors.sftp.config import SftpConfig
from hub.sdk import AuthError, ConnectorError, EgressPolicy, TransientError, dialled

LOGIN_S, TOTAL_S = 20.0, 120.0
_RSA = ("rsa-sha2-512", "rsa-sha2-256")

# It would tell of users and files at the level INFO.
asyncssh.set_log_level("WARNING")


@asynccontextmanager
async def session(policy: EgressPolicy, config: SftpConfig) -> AsyncIterator[asyncssh.SFTPClient]:
    """Raises the connector's errors for whatever goes wrong in it; nothing that the server says is repeated."""
    at = f"{config.host}:{config.port}"
    try:
        async with (
            asyncio.timeout(TOTAL_S),
            await _logged_in(policy, config, at) as connection,
            connection.start_sftp_client() as client,
        ):
            yield client
    except asyncssh.SFTPPermissionDenied:
        raise AuthError(f"{at} does not let this user read or write in the directory") from None
    except (asyncssh.Error, OSError) as error:
        raise TransientError(f"{at} broke off: {type(error).__name__}") from None


async def _logged_in(policy: EgressPolicy, config: SftpConfig, at: str) -> asyncssh.SSHClientConnection:
    seen: list[asyncssh.SSHKey] = []
    connection = await dialled(policy, config.host, config.port)
    try:
        return await asyncssh.connect(
            config.host,
            config.port,
            sock=connection,
            client_factory=lambda: _Pinning(config.fingerprints, seen),
            **_options(config),
        )
    except BaseException as error:  # a cancel too: the library closes only what it has taken over
        connection.close()
        if isinstance(error, asyncssh.Error | OSError):
            raise _fault(error, at, seen, config) from None
        raise


class _Pinning(asyncssh.SSHClient):
    """Believes the pinned keys and no others; the one that the server showed is remembered, to be told."""

    def __init__(self, fingerprints: frozenset[str], seen: list[asyncssh.SSHKey]) -> None:
        self._fingerprints, self._seen = fingerprints, seen

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002
        self._seen.append(key)
        return key.get_fingerprint() in self._fingerprints


def _options(config: SftpConfig) -> dict[str, Any]:
    """Nothing of this machine's own: no configuration, no known hosts, no keys, no agent."""
    own: dict[str, Any] = {"config": None, "known_hosts": ([], [], []), "agent_path": None, "gss_host": None}
    return own | {
        "username": config.username,
        "password": config.password.get_secret_value() if config.password else None,
        "client_keys": _keys(config),
        "login_timeout": LOGIN_S,
        **({"server_host_key_algs": _algorithms(config.key_kinds)} if config.key_kinds else {}),
    }


def _keys(config: SftpConfig) -> Sequence[asyncssh.SSHKey] | None:
    if config.private_key is None:
        return None
    passphrase = config.passphrase.get_secret_value() if config.passphrase else None
    try:
        return [asyncssh.import_private_key(config.private_key.get_secret_value(), passphrase)]
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        raise AuthError("the private_key cannot be read: see its format and its passphrase") from None


def _algorithms(kinds: Sequence[str]) -> list[str]:
    """An RSA key signs in several ways; the oldest of them is not taken."""
    return [name for kind in dict.fromkeys(kinds) for name in (_RSA if kind == "ssh-rsa" else (kind,))]


def _fault(error: Exception, at: str, seen: Sequence[asyncssh.SSHKey], config: SftpConfig) -> ConnectorError:
    match error:
        case asyncssh.HostKeyNotVerifiable() if seen:
            shown = f"{seen[-1].get_algorithm()} {seen[-1].get_fingerprint()}"
            return AuthError(f"{at} shows the key {shown}, which is not among host_keys: pin it if it is the server's")
        case asyncssh.HostKeyNotVerifiable():
            return AuthError(f"{at} shows no key that could be compared with host_keys")
        case asyncssh.PermissionDenied():
            return AuthError(f"{at} refuses the user {'with this key' if config.private_key else 'or the password'}")
        case asyncssh.KeyExchangeFailed():
            return AuthError(f"{at} has none of the kinds of keys in host_keys, or no algorithm that is still safe")
    return TransientError(f"{at} does not let us in: {type(error).__name__}", sent=False)
