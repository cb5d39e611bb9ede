"""NATS: an entry for each member in a key-value bucket of JetStream, so that it holds exactly who is in now, whoever
watches it is told of each change, and it can be read back; what the server answers to each is the person's outcome."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from connectors.artefacts import folder_name
from connectors.messages import printable
from connectors.nats.config import NatsConfig
from hub.sdk import Account, Audience, Batch, Capabilities, Channel, Connector, Person, Result

if TYPE_CHECKING:
    from connectors.nats.bucket import Bucket, Entry

# Dots part a key, and most other signs may not stand in one, the percent sign among them.
_UNFIT = re.compile(rb"[^A-Za-z0-9_-]")


class Nats(Connector[NatsConfig]):
    key = "nats"
    title = "NATS"
    channel = Channel.GENERIC
    capabilities = Capabilities(batch=1_000, concurrency=2, read_back=True, erase=True, in_flight_s=60.0)
    Config = NatsConfig
    scopes = (
        "publish to $KV.BUCKET.> and $JS.API.STREAM.INFO.KV_BUCKET",
        "subscribe to _INBOX.>",
        "to read back, publish to $JS.API.CONSUMER.CREATE.KV_BUCKET, $JS.API.CONSUMER.*.KV_BUCKET.> and "
        "$JS.FC.KV_BUCKET.>",
        "to erase, publish to $JS.API.STREAM.PURGE.KV_BUCKET",
    )

    def limits(self) -> Capabilities:
        return replace(self.capabilities, key=self.config.identifier, batch=self.config.batch)

    async def check(self) -> Account:
        async with self._bucket():
            return Account(f"bucket {self.config.bucket} at {self.config.servers[0]}")

    async def ensure_audience(self, name: str) -> Audience:
        """Buckets are the operator's to make: he knows how many copies there should be, and where."""
        return Audience(name, ref=folder_name(name))

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        if not len(batch):
            return Result()
        async with self._bucket() as bucket:
            return Result(await bucket.kept(list(self._entries(audience, batch))))

    async def members(self, audience: Audience) -> AsyncIterator[str]:
        async with self._bucket() as bucket:
            keys = await bucket.keys(f"{audience.ref}.*")
        for key in keys:
            yield unquote(key.rpartition(".")[2].replace("=", "%"))

    async def erase(self, people: Sequence[Person]) -> Result:
        """In every audience of the bucket, with whatever it remembers of before."""
        async with self._bucket() as bucket:
            for person in people:
                await bucket.forget(f"*.{_token(person)}")
        return Result()

    def _bucket(self) -> AbstractAsyncContextManager[Bucket]:
        from connectors.nats.session import bucket

        return bucket(self.http.policy, self.config)

    def _entries(self, audience: Audience, batch: Batch) -> Iterator[Entry]:
        from connectors.nats.bucket import Entry

        about = {"audience": printable(audience.name), "sync": batch.sync, "run": batch.run}
        for person in batch.add:
            value = self.config.message(audience, person, member=True)
            yield Entry(person.key, f"{audience.ref}.{_token(person)}", value, about)
        for person in batch.remove:
            yield Entry(person.key, f"{audience.ref}.{_token(person)}", None, about)


def _token(person: Person) -> str:
    """One part of a key: what a part cannot hold is written as in an address, with = for %."""
    return _UNFIT.sub(lambda found: b"=%02X" % found[0][0], person.key.encode()).decode()
