"""A destination that takes a while for every request, in a process of its own, and remembers when whom it lost."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import orjson

from tests.bench.sink import ANSWER, content_length


class SlowSink(asyncio.Protocol):
    """Answers in order, each after `delay_s`. `seen` has the clock's reading for each removed id, and the totals."""

    def __init__(self, delay_s: float, removed: dict[str, float], totals: dict[str, int]) -> None:
        self.delay_s, self.removed, self.totals = delay_s, removed, totals
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (head := self.buffer.find(b"\r\n\r\n")) >= 0:
            end = head + 4 + content_length(bytes(self.buffer[:head]))
            if len(self.buffer) < end:
                return
            self.take(bytes(self.buffer[head + 4 : end]))
            del self.buffer[:end]
            asyncio.get_running_loop().call_later(self.delay_s, self.transport.write, ANSWER)  # type: ignore[attr-defined]

    def take(self, body: bytes) -> None:
        now = time.time()
        self.totals["requests"] += 1
        self.totals["people"] += body.count(b'"id":')
        if b'"remove":[]' not in body:
            self.removed |= {person["id"]: now for person in orjson.loads(body)["remove"]}


def serve(pipe: Connection, delay_s: float) -> None:
    async def main() -> None:
        removed: dict[str, float] = {}
        totals = {"requests": 0, "people": 0}
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SlowSink(delay_s, removed, totals), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        while (asked := await asyncio.to_thread(pipe.recv)) != "stop":
            pipe.send({"removed": removed, "totals": totals}[asked])

    asyncio.run(main())


class RunningSlowSink:
    def __init__(self, port: int, pipe: Connection) -> None:
        self.port, self._pipe = port, pipe
        self.url = f"http://127.0.0.1:{port}/"

    def removed(self) -> dict[str, float]:
        """When (seconds since the epoch) each id came in to be removed."""
        return self._asked("removed")

    def totals(self) -> dict[str, int]:
        return self._asked("totals")

    def _asked(self, what: str) -> dict:
        self._pipe.send(what)
        return self._pipe.recv()


@contextmanager
def running_slow_sink(delay_s: float) -> Iterator[RunningSlowSink]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, delay_s), daemon=True)
    process.start()
    try:
        yield RunningSlowSink(ours.recv(), ours)
    finally:
        ours.send("stop")
        process.join(5)
