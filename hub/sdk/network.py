"""The connections of the one client: dialled only where the egress policy allows, metered, and never used again once
the other side has said more than it was asked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx
from httpcore._utils import is_socket_readable

from hub.sdk.egress import EgressPolicy


class Transport(httpx.AsyncHTTPTransport):
    """httpx's own transport over a pool of such connections. `most` are the bytes that may be heard in answer to one
    request, packed and with all its heads."""

    def __init__(self, policy: EgressPolicy, connections: int, most: int, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls, trust_env=False)
        # httpx has no public way to hand its pool a network backend.
        self._pool = _Pool(
            ssl_context=tls,
            max_connections=connections,
            max_keepalive_connections=connections // 2,
            keepalive_expiry=15.0,
            network_backend=_CheckedNetwork(policy, most),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """A redirect's goal is left out: httpx would read it although none is followed, and breaks down over some."""
        answer = await super().handle_async_request(request)
        if 300 <= answer.status_code < 400:
            answer.headers.pop("location", None)
        return answer


def said_more(answer: httpx.Response) -> bool:
    """Whether bytes have come in behind this answer, which has been read whole. Then it is not what it claims to be."""
    connection = answer.extensions.get("connection")
    return isinstance(connection, _Connection) and connection.said_more


class _Pool(httpcore.AsyncConnectionPool):
    def create_connection(self, origin: httpcore.Origin) -> httpcore.AsyncConnectionInterface:
        return _Connection(origin, self._ssl_context, self._keepalive_expiry, network_backend=self._network_backend)


class _Connection(httpcore.AsyncHTTPConnection):
    """h11 keeps what came in behind an answer, and would take it for the answer to the next request."""

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        response = await super().handle_async_request(request)
        response.extensions["connection"] = self
        return response

    @property
    def said_more(self) -> bool:
        # There is no public way to ask.
        parser = getattr(self._connection, "_h11_state", None)
        return parser is not None and bool(parser.trailing_data[0])

    def has_expired(self) -> bool:
        return super().has_expired() or (self.is_idle() and self.said_more)


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves once, asks the policy about every address and dials only what it was given back. The TLS name and the
    Host header stay those of the URL."""

    def __init__(self, policy: EgressPolicy, most: int) -> None:
        self._policy = policy
        self._most = most
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception = httpcore.ConnectError()
        for address in await self._policy.addresses(host, port):
            try:
                stream = await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
                return _Metered(stream, self._most)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("unix sockets are not reached")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


class _Metered(httpcore.AsyncNetworkStream):
    """Hears at most so many bytes in answer to what was last written: interim answers, trailers and the wrapping of
    chunks have no bound of their own."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, most: int) -> None:
        self._stream = stream
        self._socket = stream.get_extra_info("socket")
        self._most = most
        self._heard = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        said = await self._stream.read(max_bytes, timeout)
        self._heard += len(said)
        if self._heard > self._most:
            raise httpcore.ReadError("more than an answer may hold")
        return said

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        self._heard = 0
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        try:
            return _Metered(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._most)
        except asyncio.CancelledError:
            # httpcore hangs up when a handshake fails, but not when it is called off.
            await self.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        # Asked of every idle connection before each request; anyio would look up the socket's addresses each time.
        if info == "is_readable":
            return is_socket_readable(self._socket)
        return self._stream.get_extra_info(info)
