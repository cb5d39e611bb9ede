"""Kafka: a record for each person whose membership changes, keyed by the person; what became of it is told for each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from connectors.artefacts import folder_name
from connectors.kafka.config import KafkaConfig
from hub.sdk import Account, Audience, Batch, Capabilities, Channel, Connector, EgressDenied, Person, Result

if TYPE_CHECKING:
    from connectors.kafka.client import Cluster, Headers, Record


class Kafka(Connector[KafkaConfig]):
    key = "kafka"
    title = "Apache Kafka"
    channel = Channel.GENERIC
    capabilities = Capabilities(batch=5_000, concurrency=2, in_flight_s=60.0)
    Config = KafkaConfig

    def limits(self) -> Capabilities:
        return replace(self.capabilities, key=self.config.identifier, batch=self.config.batch)

    async def check(self) -> Account:
        return Account(f"cluster {(await self._cluster()).label or self.config.bootstrap[0]}")

    async def ensure_audience(self, name: str) -> Audience:
        """Topics are the cluster's to make: it knows how many partitions and copies there should be."""
        return Audience(name, ref=folder_name(name))

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        from connectors.kafka.client import kept

        if not len(batch):
            return Result()
        await self._cluster()
        topic = self.config.topic.replace("{audience}", audience.ref)
        headers = [("audience", audience.name), ("sync", batch.sync), ("run", batch.run)]
        encoded: Headers = [(name, value.encode()) for name, value in headers]
        return Result(await asyncio.to_thread(kept, self.config, topic, list(self._records(audience, batch)), encoded))

    async def _cluster(self) -> Cluster:
        """Anew each time, since a cluster may have led elsewhere meanwhile. Raises EgressDenied."""
        from connectors.kafka.client import cluster

        self._refuse_unlisted(self.config.brokers)
        found = await asyncio.to_thread(cluster, self.config)
        self._refuse_unlisted(found.brokers)
        return found

    def _refuse_unlisted(self, brokers: Iterable[tuple[str, int]]) -> None:
        """The library resolves names by itself, when it likes: so only a broker will do whose name and port the
        operator has opened, wherever it leads."""
        for host, port in brokers:
            if not self.http.policy.lists(host.lower(), port):
                raise EgressDenied(f"the broker {host}:{port} may not be reached", "the operator can list host:port")

    def _records(self, audience: Audience, batch: Batch) -> Iterator[Record]:
        from connectors.kafka.client import Record

        for person in batch.add:
            yield Record(person.key, self._key(audience, person), self.config.message(audience, person, member=True))
        for person in batch.remove:
            value = None if self.config.removes == "tombstone" else self.config.message(audience, person, member=False)
            yield Record(person.key, self._key(audience, person), value)

    def _key(self, audience: Audience, person: Person) -> bytes:
        """Where audiences share a topic, compaction must keep the last word on a person for each of them."""
        shared = "{audience}" not in self.config.topic
        return (f"{audience.ref}:{person.key}" if shared else person.key).encode()
