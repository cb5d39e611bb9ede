"""A destination that takes everything at once: as little HTTP as a client needs, in a process of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Sink(asyncio.Protocol):
    """Counts requests, and people by their `"id"`; a shared list of the two totals is given by the process."""

    def __init__(self, totals: dict[str, int]) -> None:
        self.totals, self.buffer = totals, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (head := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = content_length(bytes(self.buffer[:head]))
            if len(self.buffer) < head + 4 + length:
                return
            body = self.buffer[head + 4 : head + 4 + length]
            self.totals["requests"] += 1
            self.totals["people"] += body.count(b'"id":')
            del self.buffer[: head + 4 + length]
            self.transport.write(ANSWER)  # type: ignore[attr-defined]


def content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def serve(pipe: Connection) -> None:
    async def main() -> None:
        totals = {"requests": 0, "people": 0}
        server = await asyncio.get_running_loop().create_server(lambda: Sink(totals), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        while await asyncio.to_thread(pipe.recv) == "totals":
            pipe.send(dict(totals))
            totals.update(requests=0, people=0)

    asyncio.run(main())


class RunningSink:
    def __init__(self, port: int, pipe: Connection) -> None:
        self.port, self.pipe = port, pipe
        self.url = f"http://127.0.0.1:{port}/"

    def totals(self) -> dict[str, int]:
        """Requests and people since it was last asked."""
        self.pipe.send("totals")
        return self.pipe.recv()


@contextmanager
def running_sink() -> Iterator[RunningSink]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield RunningSink(ours.recv(), ours)
    finally:
        ours.send("stop")
        process.join(5)
