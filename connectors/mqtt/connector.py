"""MQTT 5: a retained message for each person, under a topic of its own, so that the broker keeps the last word on each
and whoever subscribes is told of everybody at once; what the broker answers to each is the person's outcome."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from connectors.artefacts import folder_name
from connectors.messages import printable
from connectors.mqtt.config import MqttConfig
from hub.sdk import Account, Audience, Batch, Capabilities, Channel, Connector, Person, Result

if TYPE_CHECKING:
    from connectors.mqtt.delivery import Message
    from connectors.mqtt.session import Session


class Mqtt(Connector[MqttConfig]):
    key = "mqtt"
    title = "MQTT"
    channel = Channel.GENERIC
    capabilities = Capabilities(batch=1_000, concurrency=2, in_flight_s=60.0)
    Config = MqttConfig
    scopes = ("publish to the topics",)

    def limits(self) -> Capabilities:
        return replace(self.capabilities, key=self.config.identifier, batch=self.config.batch)

    async def check(self) -> Account:
        async with self._session():
            return Account(f"{self.config.username} at {self.config.at}" if self.config.username else self.config.at)

    async def ensure_audience(self, name: str) -> Audience:
        """Topics come about by being published to."""
        return Audience(name, ref=folder_name(name))

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        if not len(batch):
            return Result()
        async with self._session() as broker:
            return Result(await broker.kept(list(self._messages(audience, batch))))

    def _session(self) -> AbstractAsyncContextManager[Session]:
        from connectors.mqtt.session import session

        return session(self.http.policy, self.config)

    def _messages(self, audience: Audience, batch: Batch) -> Iterator[Message]:
        from connectors.mqtt.delivery import Message

        about = [("audience", printable(audience.name)), ("sync", batch.sync), ("run", batch.run)]
        for person in batch.add:
            told = self.config.message(audience, person, member=True)
            yield Message(person.key, self._topic(audience, person), told, about)
        for person in batch.remove:
            told = b"" if self.config.removes == "empty" else self.config.message(audience, person, member=False)
            yield Message(person.key, self._topic(audience, person), told, about)

    def _topic(self, audience: Audience, person: Person) -> str:
        """As in an address: a telephone number's plus would be a wildcard, and a slash another level."""
        named = self.config.topic.replace("{audience}", audience.ref)
        return named.replace("{person}", quote(person.key, safe="@"))
