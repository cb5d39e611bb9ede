"""librdkafka's mock cluster: brokers in this process that are reached over TCP, with topics that can be read."""

from __future__ import annotations

import json
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from hub.sdk import Audience
from hub.sdk.testing import Vendor

READ_S = 60.0


class Brokers(Vendor):
    def __init__(self, number: int = 2) -> None:
        super().__init__()
        # Whoever holds this client holds the cluster.
        self._cluster = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": number, "log_level": 0})
        told = self._cluster.list_topics(timeout=READ_S).brokers.values()
        self.listens = frozenset(f"{broker.host}:{broker.port}" for broker in told)

    def config(self, **other: Any) -> dict[str, Any]:
        return {"bootstrap": sorted(self.listens)[:1], "security": "plaintext", **other}

    def topics(self) -> list[str]:
        return sorted(self._cluster.list_topics(timeout=READ_S).topics)

    def records(self, topic: str) -> list[Any]:
        """All messages of a topic, in order within each partition."""
        if topic not in self.topics():
            return []
        bootstrap = ",".join(self.listens)
        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "log_level": 0})
        try:
            return self._read(consumer, topic)
        finally:
            consumer.close()

    def _read(self, consumer: Consumer, topic: str) -> list[Any]:
        partitions = [
            TopicPartition(topic, number, 0) for number in self._cluster.list_topics().topics[topic].partitions
        ]
        ends = {one.partition: consumer.get_watermark_offsets(one, timeout=READ_S)[1] for one in partitions}
        consumer.assign(partitions)
        read: list[Any] = []
        while len(read) < sum(ends.values()):
            message = consumer.poll(READ_S)
            assert message is not None and message.error() is None, message and message.error()
            read.append(message)
        return read

    def members(self, audience: Audience) -> set[str]:
        present: dict[str, bool] = {}
        for message in self.records(f"audience.{audience.ref}"):
            value = message.value()
            present[message.key().decode()] = value is not None and json.loads(value)["member"]
        return {key for key, there in present.items() if there}

    def state(self) -> Any:
        told = [(one.topic(), one.key(), one.value()) for topic in self.topics() for one in self.records(topic)]
        return sorted(map(repr, told)), dict(self.subscriptions)
