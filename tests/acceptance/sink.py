"""A receiver of webhooks: a real HTTP server that checks every signature and keeps the audiences it is told of."""

from __future__ import annotations

import base64
import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook

SECRET = "whsec_" + base64.b64encode(bytes(range(7, 39))).decode()


@dataclass(frozen=True)
class Received:
    headers: dict[str, str]
    body: bytes
    change: dict[str, Any]

    @property
    def added(self) -> list[str]:
        return [person["id"] for person in self.change["add"]]

    @property
    def removed(self) -> list[str]:
        return [person["id"] for person in self.change["remove"]]


@dataclass
class Sink:
    """`rejects` names ids that are refused; `answers` are given first, once each: (status, body, headers).
    While it is not `answering`, whoever asks is kept waiting."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    audiences: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    rejects: dict[str, str] = field(default_factory=dict)
    answers: deque[tuple[int, bytes, dict[str, str]]] = field(default_factory=deque)
    forged: list[str] = field(default_factory=list)
    answering: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/audience"

    @property
    def config(self) -> dict[str, Any]:
        return {"url": self.url, "secret": SECRET}

    def held(self, audience: str) -> set[str]:
        return set(self.audiences.get(audience, ()))

    def of(self, audience: str) -> list[Received]:
        return [one for one in self.received if one.change["audience"] == audience]

    def take(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        self.answering.wait()
        with self.lock:
            try:
                Webhook(SECRET).verify(body, headers)
            except Exception as error:
                self.forged.append(repr(error))
            change = json.loads(body)
            self.received.append(Received(headers, body, change))
            if self.answers:
                return self.answers.popleft()
            return 200, self._applied(change), {"Content-Type": "application/json"}

    def _applied(self, change: dict[str, Any]) -> bytes:
        people = self.audiences.setdefault(change["audience"], {})
        people |= {one["id"]: one["fields"] for one in change["add"] if one["id"] not in self.rejects}
        for one in change["remove"]:
            people.pop(one["id"], None)
        refused = [{"id": i, "reason": self.rejects[i]} for i in (p["id"] for p in change["add"]) if i in self.rejects]
        return json.dumps({"rejected": refused}).encode() if refused else b""


@contextmanager
def listening() -> Iterator[Sink]:
    sink = Sink()
    sink.answering.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(*sink.take({name.lower(): value for name, value in self.headers.items()}, body))

        def do_HEAD(self) -> None:
            self._answer(200, b"", {})

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sink.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
