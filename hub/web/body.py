"""Reading what a client sends, never more of it than was agreed."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from starlette.requests import ClientDisconnect, Request

from hub.errors import ErrorCode, refuse

MEBIBYTE: Final = 1 << 20
LARGEST_QUERY: Final = 256 * 1024
LARGEST_FILE: Final = 64 * 1024 * MEBIBYTE
GZIP: Final = 16 + zlib.MAX_WBITS


async def whole(request: Request, largest: int = LARGEST_QUERY) -> bytes:
    """The body at once; HubError LIMIT as soon as it is larger than `largest` bytes."""
    _declared(request, largest)
    parts, size = [], 0
    async for part in _received(request):
        size += len(part)
        if size > largest:
            raise too_large(largest)
        parts.append(part)
    return b"".join(parts)


async def to_file(request: Request, path: Path, largest: int = LARGEST_FILE) -> int:
    """Write the body to `path`, unpacked if it came with Content-Encoding gzip, and return its size in bytes.

    HubError LIMIT when it is larger than `largest`, INVALID when it cannot be unpacked or broke off.
    """
    _declared(request, largest)
    size = 0
    with path.open("wb") as file:
        async for part in _in_large_parts(_unpacked(request)):
            size += len(part)
            if size > largest:
                raise too_large(largest)
            await asyncio.to_thread(file.write, part)
    return size


def _declared(request: Request, largest: int) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > largest:
        raise too_large(largest)


def too_large(largest: int) -> Exception:
    size = f"{largest // MEBIBYTE:,} MiB" if largest >= MEBIBYTE else f"{largest // 1024} KiB"
    return refuse(ErrorCode.LIMIT, f"The body is larger than {size}: send it in parts.")


async def _unpacked(request: Request) -> AsyncIterator[bytes]:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        async for part in _received(request):
            yield part
    elif encoding == "gzip":
        async for part in _gunzipped(_received(request)):
            yield part
    else:
        raise refuse(ErrorCode.UNSUPPORTED, "Content-Encoding can be gzip, or be left out.", "Content-Encoding")


async def _gunzipped(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    # A little gzip may unpack to very much: it comes out in parts of bounded size, and is counted as it comes.
    unpacker = zlib.decompressobj(GZIP)
    try:
        async for part in parts:
            while part:
                yield unpacker.decompress(part, MEBIBYTE)
                part = unpacker.unconsumed_tail
                if unpacker.eof and unpacker.unused_data:
                    part, unpacker = unpacker.unused_data, zlib.decompressobj(GZIP)
        yield unpacker.flush()
    except zlib.error:
        raise refuse(ErrorCode.INVALID, "The body says that it is gzip, but it cannot be unpacked.", "body") from None
    if not unpacker.eof:
        raise refuse(ErrorCode.INVALID, "The gzip body breaks off before its end: send it again.", "body")


async def _received(request: Request) -> AsyncIterator[bytes]:
    try:
        async for part in request.stream():
            yield part
    except ClientDisconnect:
        raise refuse(ErrorCode.INVALID, "The body broke off before its end: send it again.", "body") from None


async def _in_large_parts(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    waiting, size = [], 0
    async for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= MEBIBYTE:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)
