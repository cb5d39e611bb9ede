"""A session with one of the servers: dialled under the egress policy, and secured before anything is said."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import ParseResult

import nats.errors
import nats.js.errors
from nats.aio.client import Client, RawCredentials
from nats.aio.transport import TcpTransport

from connectors.messages import parted
from connectors.nats.bucket import ANSWER_S, Bucket, Heard
from connectors.nats.config import NatsConfig
from hub.sdk import AuthError, ConnectorError, EgressPolicy, TransientError, dialled

_NOT_LET_IN = re.compile("authori[sz]ation|authentication", re.IGNORECASE)
# JetStream is not enabled: for this account, at all.
_WITHOUT_JETSTREAM = frozenset({10039, 10076})


@asynccontextmanager
async def bucket(policy: EgressPolicy, config: NatsConfig) -> AsyncIterator[Bucket]:
    """Raises the connector's errors for whatever goes wrong in it; nothing that the server says is repeated."""
    heard, found = Heard(), None
    client = await _connected(policy, config, heard)
    stream = client.jetstream(timeout=ANSWER_S)
    try:
        found = await stream.key_value(config.bucket)
        yield Bucket(client, stream, found, config.bucket, heard)
    except (nats.errors.Error, OSError) as error:
        raise _fault(error, config.bucket, heard, sent=found is not None) from None
    finally:
        await client.close()


async def _connected(policy: EgressPolicy, config: NatsConfig, heard: Heard) -> Client:
    """To the first server that answers."""
    failure: ConnectorError | None = None
    for host, port in map(parted, config.servers):
        try:
            return await _admitted(policy, config, host, port, heard)
        except TransientError as error:
            failure = error
    assert failure  # noqa: S101 - there is one server at least
    raise failure


async def _admitted(policy: EgressPolicy, config: NatsConfig, host: str, port: int, heard: Heard) -> Client:
    at = f"{host}:{port}"
    transport = _Dialled(await dialled(policy, host, port), secured=config.security == "plaintext")
    client = Client()
    # There is no public way to hand it a connection.
    client._transport = transport
    try:
        await client.connect(f"nats://{at}", error_cb=heard.note, **_options(config, host))
    except BaseException as error:  # a cancel too: the client does not close what it has not got to the end of
        transport.close()
        if isinstance(error, ConnectorError) or not isinstance(error, Exception):
            raise
        # It stumbles in many ways over what is no server's greeting.
        raise _refusal(error, at) from None
    if not client.is_connected:  # it takes a server that hangs up now for one that lets us in
        await client.close()
        raise TransientError(f"{at} hung up", sent=False)
    return client


class _Dialled(TcpTransport):
    """Over a connection that is there already. Where it is to be secured, nothing is said before: a server that does
    not ask for TLS, or somebody between who says so, would else be told the password."""

    def __init__(self, connection: socket.socket, *, secured: bool) -> None:
        super().__init__()
        self._connection = connection
        self._secured = secured

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:  # noqa: ARG002
        streams = await asyncio.open_connection(sock=self._connection, limit=buffer_size)
        self._bare_io_reader, self._bare_io_writer = self._io_reader, self._io_writer = streams

    async def connect_tls(
        self,
        uri: str | ParseResult,
        ssl_context: ssl.SSLContext,
        buffer_size: int,
        connect_timeout: int,
    ) -> None:
        await super().connect_tls(uri, ssl_context, buffer_size, connect_timeout)
        # Left out there, and without it asyncio warns of each connection's end.
        assert self._io_writer  # noqa: S101 - there is one since `connect`
        secured = self._io_writer.transport
        secured.get_protocol().connection_made(secured)
        self._secured = True

    def write(self, payload: bytes) -> None:
        if not self._secured:
            raise AuthError("the server does not ask for TLS: see security")
        super().write(payload)

    def __bool__(self) -> bool:
        """Whether it may be used; the client would make one of its own in the place of one that says no."""
        return True

    def close(self) -> None:
        if self._io_writer is None:
            self._connection.close()
        super().close()


def _options(config: NatsConfig, host: str) -> dict[str, Any]:
    """Only this server, once: the others that it tells of may be none that the operator has listed."""
    once = {"allow_reconnect": False, "max_reconnect_attempts": 1, "reconnect_time_wait": 0}
    tls = {"tls": config.trust(), "tls_hostname": host} if config.security == "tls" else {}
    return {"name": "audience-hub", "connect_timeout": ANSWER_S, **once, **tls, **_login(config)}


def _login(config: NatsConfig) -> dict[str, Any]:
    if config.username and config.password:
        return {"user": config.username, "password": config.password.get_secret_value()}
    if config.token:
        return {"token": config.token.get_secret_value()}
    return {"user_credentials": RawCredentials(config.credentials.get_secret_value())} if config.credentials else {}


def _refusal(error: Exception, at: str) -> ConnectorError:
    """Why the server does not let us in; nothing was sent of anybody."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return AuthError(f"{at} shows a certificate that is not trusted: see ca")
    if isinstance(error, nats.errors.Error) and _NOT_LET_IN.search(str(error)):
        return AuthError(f"{at} does not let this user in")
    return TransientError(f"{at} does not let us in: {type(error).__name__}", sent=False)


def _fault(error: Exception, name: str, heard: Heard, *, sent: bool) -> ConnectorError:
    """Of a question, or of an erasure."""
    match error:
        case nats.js.errors.BucketNotFoundError() | nats.js.errors.BadBucketError():
            return AuthError(f"there is no bucket {name}: make it first, as with `nats kv add {name}`")
        case nats.js.errors.APIError() if error.err_code in _WITHOUT_JETSTREAM:
            return AuthError("JetStream is not enabled for this account")
        case nats.js.errors.APIError():
            return TransientError(f"the server answered error {error.err_code}", sent=sent)
        case nats.errors.TimeoutError() if heard.denials:
            return AuthError(f"the user may not do what is needed with the bucket {name}: see the scopes")
    return TransientError(f"the server did not answer: {type(error).__name__}", sent=sent)
