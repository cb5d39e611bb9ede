"""Connectors, as installed, and destinations, as configured."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry.scalars import JSON

from hub.api.context import Info
from hub.api.ids import global_id
from hub.api.types.node import Node, UserError
from hub.api.words import says
from hub.core import records
from hub.sdk.contract import Connector as ConnectorClass

if TYPE_CHECKING:
    from hub.api.types.sync import Sync


@strawberry.type(description="An installed plugin; found by key, not stored, so not a Node.")
class Connector:
    key: str = says("The name destinations give.")
    title: str = says("The name for people.")
    channel: records.Channel = says("What its destinations are for.")
    config_schema: JSON = says("JSON Schema of a destination's `config`; secrets are `writeOnly`.")
    capabilities: JSON = says("What the vendor certainly can do.")

    @classmethod
    def of(cls, connector: type[ConnectorClass[Any]]) -> Connector:
        return cls(
            key=connector.key,
            title=connector.title,
            channel=records.Channel(connector.channel.value),
            config_schema=connector.config_schema(),
            capabilities=asdict(connector.capabilities),
        )

    @classmethod
    def missing(cls, key: str) -> Connector:
        """The connector of a destination whose plugin is no longer installed."""
        return cls(
            key=key, title=f"{key} (not installed)", channel=records.Channel.GENERIC, config_schema={}, capabilities={}
        )


@strawberry.type(description="A plugin that is installed, or asked for, and cannot be used.")
class DisabledConnector:
    key: str = says("The plugin's name.")
    reason: str = says("Why it cannot be used.")


@strawberry.type(description="A connector configured with one vendor account. Secrets are write-only.")
class Destination(Node):
    number: strawberry.Private[int]
    connector_key: strawberry.Private[str]
    key: str = says("The slug that syncs name; never changes.")
    name: str = says("The name for people.")
    config: JSON = says("The configuration without its secrets.")
    version: int = says("Rises with every change of name or configuration.")
    paused: bool = says("Whether nothing is sent there for now.")
    paused_reason: UserError | None = says("Why the hub paused it itself; null if it did not.")

    @classmethod
    def of(cls, record: records.Destination) -> Destination:
        return cls(
            id=global_id("Destination", record.id),
            number=record.id,
            connector_key=record.connector,
            key=record.key,
            name=record.name,
            config=record.config,
            version=record.version,
            paused=record.paused,
            paused_reason=UserError.of(record.paused_reason) if record.paused_reason else None,
        )

    @strawberry.field(description="The plugin that speaks to the vendor.")
    def connector(self, info: Info) -> Connector:
        found = info.context.hub.registry.connectors.get(self.connector_key)
        return Connector.of(found) if found else Connector.missing(self.connector_key)

    @strawberry.field(description="The syncs that send people there.")
    async def syncs(self, info: Info) -> list[Annotated[Sync, strawberry.lazy("hub.api.types.sync")]]:
        from hub.api.types.sync import Sync

        return [Sync.of(record) for record in await info.context.loaders.syncs_of_destination.load(self.number)]
