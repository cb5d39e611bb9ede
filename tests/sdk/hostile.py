"""A vendor at a real socket that answers as its script says, line by line, and behaves from then on."""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import ssl
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache

from hub.sdk.egress import EgressPolicy
from hub.sdk.http import Bounds, Http
from tests.clockwork import let_pass, pass_by

PATIENCE_S = 60.0
# Longer than any client waits, and less than it waits, of a time that passes by itself: see tests.clockwork.
LONG_S, PAUSE_S = 3600.0, 1.0
DEAF_S = 0.05
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Line:
    """One connection, as the vendor holds it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.said = 0

    async def head(self) -> bytes:
        return await self._reader.readuntil(b"\r\n\r\n")

    async def piece(self) -> bytes:
        """Whatever comes first."""
        return await self._reader.read(1 << 16)

    async def rest(self) -> bytes:
        """Whatever else comes, until the other side hangs up."""
        return await self._reader.read()

    async def request(self) -> bytes:
        """A whole request, head and body."""
        head = await self.head()
        length = _LENGTH.search(head)
        return head + await self._reader.readexactly(int(length[1]) if length else 0)

    async def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._writer.write(piece)
            self.said += len(piece)
            await self._writer.drain()

    async def keep_saying(self, piece: bytes, *, pause: float | None = PAUSE_S) -> None:
        """Until the other side hangs up; with pauses, for a long while at most."""
        gone_by = 0.0
        while gone_by < LONG_S:
            await self.say(piece)
            if pause is not None:
                await pass_by(pause)
                gone_by += pause

    async def silence(self) -> None:
        """Until the other side hangs up."""
        while await self._reader.read(1 << 16):
            pass

    async def long_silence(self) -> None:
        """For longer than the other side waits."""
        let_pass(LONG_S)
        await self._silence_for_now()

    async def _silence_for_now(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self.silence()

    async def stop_listening(self) -> None:
        """Read nothing but how it begins for a long while, so that what the other side writes is stuck."""
        await self._reader.read(1)
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]
        let_pass(LONG_S)
        await asyncio.sleep(DEAF_S)
        self._writer.transport.resume_reading()  # type: ignore[attr-defined]
        await self._silence_for_now()

    def reset(self) -> None:
        """Break the connection with an RST."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()

    def close(self) -> None:
        self._writer.close()

    def half_close(self) -> None:
        self._writer.write_eof()


Script = Callable[[Line], Awaitable[None]]


class Vendor:
    """The first lines follow `scripts`, one each; every later line gets `well` for each request. `requests` are those
    that came in whole on well-behaved lines, `open` the lines that nobody has hung up yet, `said` all bytes so far."""

    def __init__(self, *scripts: Script, well: bytes) -> None:
        self._scripts = list(scripts)
        self.well = well
        self.requests: list[bytes] = []
        self.lines = 0
        self.open = 0
        self.said = 0
        self.port = 0
        self.listening: asyncio.Server | None = None

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines += 1
        self.open += 1
        script = self._scripts.pop(0) if self._scripts else self._behave
        line = Line(reader, writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await script(line)
        writer.close()
        self.open -= 1
        self.said += line.said

    async def _behave(self, line: Line) -> None:
        while True:
            self.requests.append(await line.request())
            await line.say(self.well)

    def stop(self) -> None:
        """Take no further lines: whoever calls is refused."""
        assert self.listening
        self.listening.close()

    async def left_alone(self) -> None:
        """Until the client has hung up every line."""
        async with asyncio.timeout(PATIENCE_S):
            while self.open:
                await asyncio.sleep(0.005)


def says(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def hostile(
    *scripts: Script, well: bytes = says(b"{}"), tls: ssl.SSLContext | None = None
) -> AsyncIterator[Vendor]:
    vendor = Vendor(*scripts, well=well)
    vendor.listening = await asyncio.start_server(vendor.serve, "127.0.0.1", 0, ssl=tls)
    vendor.port = vendor.listening.sockets[0].getsockname()[1]
    try:
        yield vendor
    finally:
        vendor.stop()


def client_of(vendor: Vendor, **bounds: float) -> Http:
    """A client that has one connection to give, so that one which is not given back is missed."""
    return Http(EgressPolicy(frozenset({vendor.at})), Bounds(**{"connections": 1, **bounds}))  # type: ignore[arg-type]


# What vendors get up to. The request has been heard unless the name says otherwise.

OK = b"HTTP/1.1 200 OK\r\n"


def heard(*pieces: bytes, then: str = "close") -> Script:
    """Hear the whole request, say these pieces, and close, reset, half-close, fall silent, or stay so for long."""

    async def script(line: Line) -> None:
        await line.request()
        await line.say(*pieces)
        if then == "reset":
            line.reset()
        elif then == "half-close":
            line.half_close()
            await line.silence()
        elif then == "silence":
            await line.silence()
        elif then == "long silence":
            await line.long_silence()

    return script


def dripping(start: bytes, drop: bytes, *, pause: float | None = PAUSE_S) -> Script:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(start)
        await line.keep_saying(drop, pause=pause)

    return script


async def reset_at_once(line: Line) -> None:
    line.reset()


async def reset_before_the_body_is_heard(line: Line) -> None:
    await line.head()
    line.reset()


async def close_before_the_body_is_heard(line: Line) -> None:
    await line.head()


async def hear_nothing(line: Line) -> None:
    await line.stop_listening()


async def half_close_at_once(line: Line) -> None:
    line.half_close()
    await line.silence()


BREAKS: dict[str, Script] = {
    "reset before the request": reset_at_once,
    "reset within the request": reset_before_the_body_is_heard,
    "closed within the request": close_before_the_body_is_heard,
    "reset after the request": heard(then="reset"),
    "reset within the status line": heard(b"HTTP/1.1 2", then="reset"),
    "reset within the head": heard(OK + b"Content-Le", then="reset"),
    "reset before the body": heard(OK + b"Content-Length: 2\r\n\r\n", then="reset"),
    "reset within the body": heard(OK + b"Content-Length: 20\r\n\r\n{", then="reset"),
    "reset within a body without a length": heard(OK + b"\r\n{", then="reset"),
    "reset within a chunk": heard(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", then="reset"),
    "half-closed at once": half_close_at_once,
    "half-closed without an answer": heard(then="half-close"),
    "half-closed within the head": heard(OK, then="half-close"),
    "half-closed within the body": heard(OK + b"Content-Length: 20\r\n\r\n{}", then="half-close"),
    "closed without an answer": heard(),
    "closed within the head": heard(OK + b"Content-"),
    "a length too long": heard(OK + b"Content-Length: 3\r\n\r\n{}"),
    "chunks cut short": heard(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
    "a chunk cut short": heard(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}"),
    "a last chunk without its end": heard(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"),
}

SILENCES: dict[str, Script] = {
    "no answer": heard(then="long silence"),
    "no ear for the request": hear_nothing,
    "the head byte by byte": dripping(b"", b"H"),
    "headers line by line": dripping(OK, b"x: y\r\n"),
    "the body byte by byte": dripping(OK + b"Content-Length: 1000\r\n\r\n", b"x"),
    "a body without end byte by byte": dripping(OK + b"\r\n", b" "),
    "chunks byte by byte": dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "trailers line by line": dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n"),
    "wait a little, over and over": dripping(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "the end of the body missing": heard(OK + b"Content-Length: 3\r\n\r\n{}", then="long silence"),
}

NONSENSE: dict[str, Script] = {
    "HTTP/0.9": heard(b"{}"),
    "a page without a head": heard(b"<html>hello</html>\n"),
    "another protocol": heard(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "TLS where none was asked for": heard(b"\x15\x03\x01\x00\x02\x02\x28"),
    "HTTP/2": heard(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"),
    "a status of two digits": heard(b"HTTP/1.1 20 OK\r\n\r\n{}"),
    "a status that is a word": heard(b"HTTP/1.1 OK\r\n\r\n{}"),
    "zeros": heard(b"\x00" * 200),
    "a header without a colon": heard(OK + b"nonsense\r\n\r\n{}"),
    "a header without a name": heard(OK + b": x\r\n\r\n{}"),
    "a zero byte in a header": heard(OK + b"x: \x00\r\nContent-Length: 2\r\n\r\n{}"),
    "a length below zero": heard(OK + b"Content-Length: -1\r\n\r\n{}"),
    "a length in words": heard(OK + b"Content-Length: two\r\n\r\n{}"),
    "two lengths": heard(OK + b"Content-Length: 2\r\nContent-Length: 1\r\n\r\n{}"),
    "a length beyond all numbers": heard(OK + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n{}"),
    "an unknown transfer": heard(OK + b"Transfer-Encoding: zip\r\n\r\n{}"),
    "a chunk of no size": heard(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}"),
    "a chunk below zero": heard(OK + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n"),
    "chunks without their ends": heard(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx0\r\n\r\n"),
    "a switch of protocols": heard(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
    "a length too short": heard(OK + b"Content-Length: 0\r\n\r\n" + b'{"rejected": [{"id": "p1"}]}', then="silence"),
    "no content, and then some": heard(b"HTTP/1.1 204 No Content\r\n\r\n" + b'{"rejected": []}', then="silence"),
    "two answers": heard(says(b"{}") + says(b"{}"), then="silence"),
    "an answer and another's": heard(says(b"{}") + says(b"no", status="500 No"), then="silence"),
}


def pouring(start: bytes, piece: bytes) -> Script:
    return dripping(OK + start, piece, pause=None)


def bomb(packing: str, window: int) -> Script:
    """Zeros without end, packed a thousandfold: after a full flush, the same piece fits again and again."""
    start, piece = packed_zeros(window)
    return pouring(f"Content-Encoding: {packing}\r\n\r\n".encode() + start, piece)


@cache
def packed_zeros(window: int) -> tuple[bytes, bytes]:
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    start, piece = (packer.compress(bytes(20_000_000)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return start, piece


_GZIP, _DEFLATE = zlib.MAX_WBITS | 16, zlib.MAX_WBITS
_MUCH = b"x" * 60_000

FLOODS: dict[str, Script] = {
    "a body of a gigabyte": pouring(b"Content-Length: 1000000000\r\n\r\n", _MUCH),
    "a body without end": pouring(b"\r\n", _MUCH),
    "chunks without end": pouring(b"Transfer-Encoding: chunked\r\n\r\n", b"ea60\r\n" + _MUCH + b"\r\n"),
    "a chunk without end": pouring(b"Transfer-Encoding: chunked\r\n\r\nfffffffffff\r\n", _MUCH),
    "chunks that are mostly wrapping": pouring(b"Transfer-Encoding: chunked\r\n\r\n", b"1;x=" + _MUCH + b"\r\n \r\n"),
    "a chunk's size without end": pouring(b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 60_000),
    "trailers without end": pouring(b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"x: " + _MUCH + b"\r\n"),
    "a million headers": pouring(b"", b"x: y\r\n" * 10_000),
    "a header without end": pouring(b"x: ", _MUCH),
    "a header folded without end": pouring(b"x: y\r\n", b" y\r\n" * 10_000),
    "a status without end": dripping(b"HTTP/1.1 200 ", _MUCH, pause=None),
    "early hints without end": dripping(b"", b"HTTP/1.1 103 Hints\r\nlink: " + _MUCH + b"\r\n\r\n", pause=None),
    "a gzip bomb": bomb("gzip", _GZIP),
    "a deflate bomb": bomb("deflate", _DEFLATE),
    "a brotli bomb": pouring(b"Content-Encoding: br\r\n\r\n", _MUCH),
    "a bomb packed twice": bomb("gzip, gzip", _GZIP),
    "a gigabyte behind a small gzip": pouring(b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}"), _MUCH),
}
