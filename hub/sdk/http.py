"""The way out: every request of every connector passes here, under the egress policy, within bounds.

Errors name the host and the status and nothing else: no path, query, header or body can reach a log through them.
"""

from __future__ import annotations

import asyncio
import copy
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from typing import Any, NoReturn, Protocol
from urllib.parse import urlencode

import certifi
import httpx
import orjson

from hub.sdk.answers import Classifier, Response, by_status
from hub.sdk.calls import note_arrival, note_effect
from hub.sdk.egress import EgressPolicy, Endpoint
from hub.sdk.errors import RefusedError, TransientError
from hub.sdk.exchanges import told
from hub.sdk.keeping import InMemory, Keeper
from hub.sdk.network import Transport, said_more

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_AT_ONCE = 1 << 16
_AGENT = f"audience-hub/{version('audience-hub')}"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one exchange may cost: seconds in all, seconds to connect, bytes of the unpacked body. `connections` are for
    the whole hub: enough that destinations which hang, each with all its calls, leave some for the others."""

    total_s: float = 30.0
    connect_s: float = 10.0
    body: int = 10_000_000
    connections: int = 256

    @property
    def wire(self) -> int:
        """Bytes of an answer as it comes in: packed, in chunks, with its heads and whatever else goes before it."""
        return 2 * self.body + 1_000_000


# Requests that change nothing, whatever becomes of them.
READING = frozenset({"GET", "HEAD"})


class Observer(Protocol):
    """Hears of every request and of every answer, whatever becomes of it."""

    def asked(self) -> None: ...

    def answered(self, response: Response) -> None: ...


class Http:
    """One client for the whole hub: no proxies, no redirects, no cookies, certificates always verified.

    Pass `tls` only to trust further authorities.
    """

    def __init__(
        self, policy: EgressPolicy, bounds: Bounds | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.policy = policy
        self.bounds = bounds or Bounds()
        self.keeper: Keeper = InMemory()
        self._observer: Observer | None = None
        self._client = httpx.AsyncClient(
            transport=Transport(policy, self.bounds.connections, self.bounds.wire, tls or trusting_the_usual()),
            timeout=httpx.Timeout(self.bounds.total_s, connect=self.bounds.connect_s),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"user-agent": _AGENT, "accept-encoding": "gzip"},
            follow_redirects=False,
            trust_env=False,
        )

    def watched_by(self, observer: Observer) -> Http:
        """The same client, telling of the requests that are made through what this returns."""
        watched = copy.copy(self)
        watched._observer = observer
        return watched

    def with_keeper(self, keeper: Keeper) -> Http:
        """The same client, for whoever has refresh tokens kept there."""
        own = copy.copy(self)
        own.keeper = keeper
        return own

    async def __aenter__(self) -> Http:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._client.aclose()

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        classify: Classifier = by_status,
        changes: bool = True,
    ) -> Response:
        """Send one request and read its whole answer. Say `changes=False` of a search or a token that is asked for by
        POST: whatever becomes of it, nothing has been done yet.

        Raises what `classify` makes of the answer, EgressDenied, or TransientError for faults on the way, with
        `sent=False` where the request certainly never left.
        """
        endpoint, changes = self.policy.check_url(_with_query(url, params)), changes and method not in READING
        body, typed = (_packed(json), {"content-type": "application/json"}) if json is not None else (content, {})
        request = self._built(method, endpoint, body, {**typed, **(headers or {})})
        if self._observer:
            self._observer.asked()
        with told(method, endpoint, body if json is None else json, len(body or b"")) as exchange:
            response = await self._exchange(request, endpoint, httpx.BasicAuth(*auth) if auth else None, changes)
            exchange.response = response
            if self._observer:
                self._observer.answered(response)
            if error := classify(response):
                raise error
        if changes:
            note_effect()
        return response

    def _built(self, method: str, endpoint: Endpoint, body: bytes | None, headers: Mapping[str, str]) -> httpx.Request:
        try:
            return self._client.build_request(method, endpoint.url, content=body, headers=dict(headers))
        except (httpx.InvalidURL, UnicodeError, ValueError, TypeError):
            raise RefusedError("the request cannot be written: see the configured headers and address") from None

    async def _exchange(
        self, request: httpx.Request, endpoint: Endpoint, auth: httpx.BasicAuth | None, changes: bool
    ) -> Response:
        progress = _Progress()
        request.extensions["trace"] = progress.note
        try:
            async with asyncio.timeout(self.bounds.total_s):
                answer = await self._client.send(request, auth=auth, stream=True)
                try:
                    return await self._read(answer, endpoint)
                finally:
                    await answer.aclose()
        except (TimeoutError, httpx.HTTPError, httpx.StreamError) as error:
            _raise_fault(error, endpoint.host, progress, changes)

    async def _read(self, answer: httpx.Response, endpoint: Endpoint) -> Response:
        note_arrival()
        packing = answer.headers.get("content-encoding", "identity").strip().lower()
        body = bytearray()
        async for piece in _unpacked(answer.aiter_raw(), packing):
            body += piece
            if len(body) > self.bounds.body:
                raise TransientError(f"{endpoint.host} answered with more than {self.bounds.body} bytes")
        # Careless receivers send a body even to a HEAD: no harm, if it is not taken for the next answer.
        if said_more(answer) and answer.request.method != "HEAD":
            raise TransientError(f"{endpoint.host} answered with more than it announced")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status_code, headers, bytes(body), endpoint.host)


class _Progress:
    """Whether a request can have left, as the connection tells it: of one in line for a connection it tells nothing."""

    def __init__(self) -> None:
        self.in_line = True
        self.certainly_unsent = False

    async def note(self, event: str, _: Mapping[str, Any]) -> None:
        self.in_line = False
        if event.startswith("connection.connect_tcp"):
            self.certainly_unsent = True
        elif event.endswith("send_request_headers.started"):
            self.certainly_unsent = False


def _raise_fault(error: Exception, host: str, progress: _Progress, changes: bool) -> NoReturn:
    if isinstance(error, httpx.LocalProtocolError):
        raise RefusedError("the request cannot be written: see the configured headers and address") from None
    kept_waiting = progress.in_line and isinstance(error, TimeoutError)
    sent = not (isinstance(error, _NEVER_SENT) or progress.certainly_unsent or kept_waiting)
    if sent:
        note_arrival()
        if changes:
            note_effect()
    late = isinstance(error, TimeoutError | httpx.TimeoutException)
    said = "did not answer in time" if late else "broke off" if sent else "could not be reached"
    raise TransientError(f"{host} {said}", sent=sent) from None


async def _unpacked(pieces: AsyncIterator[bytes], packing: str) -> AsyncIterator[bytes]:
    """Undo gzip or deflate, a little at a time, however much is packed into a piece."""
    if packing in {"", "identity"}:
        async for piece in pieces:
            yield piece
        return
    if packing not in {"gzip", "x-gzip", "deflate"}:
        raise TransientError("the answer is packed in a way that was not asked for")
    unpacker, empty = zlib.decompressobj(zlib.MAX_WBITS | 32), True
    try:
        async for piece in pieces:
            empty = False
            yield unpacker.decompress(piece, _AT_ONCE)
            while unpacker.unconsumed_tail:
                yield unpacker.decompress(unpacker.unconsumed_tail, _AT_ONCE)
            if unpacker.unused_data:
                raise TransientError("the answer goes on behind what was packed")
    except zlib.error:
        raise TransientError("the answer is not packed as it says") from None
    if not (unpacker.eof or empty):
        raise TransientError("the answer ended too soon")


def _with_query(url: str, params: Mapping[str, str | int] | None) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(params)}" if params else url


def _packed(value: Any) -> bytes:
    """JSON with sorted keys: the same batch is the same request, byte by byte."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


@cache
def trusting_the_usual() -> ssl.SSLContext:
    """Certificates as everybody's browser and system trust them, always verified."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    return context
