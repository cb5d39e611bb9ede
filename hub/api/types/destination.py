"""Connectors, as installed, and destinations, as configured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, cast

import strawberry
from strawberry.scalars import JSON

from hub.api.context import Info
from hub.api.ids import global_id
from hub.api.types.node import Node, UserError
from hub.api.words import says
from hub.core import records
from hub.sdk import contract
from hub.services import versions

if TYPE_CHECKING:
    from hub.api.types.sync import Sync


@strawberry.type(description="A dated version of a vendor's API.")
class ApiVersion:
    name: str = says("As the vendor calls it, and `api_version` of the configuration.")
    until: date | None = says("The last day on which the vendor answers it; null where nobody has said so.")

    @classmethod
    def of(cls, version: contract.ApiVersion) -> ApiVersion:
        return cls(name=version.name, until=version.until)


@strawberry.type(description="An installed plugin; found by key, not stored, so not a Node.")
class Connector:
    key: str = says("The name destinations give.")
    title: str = says("The name for people.")
    channel: records.Channel = says("What its destinations are for.")
    config_schema: JSON = says("JSON Schema of a destination's `config`; secrets are `writeOnly`.")
    capabilities: JSON = says("What the vendor certainly can do.")
    scopes: list[str] = says("The least that the credentials must be allowed, in the vendor's words.")
    versions: list[ApiVersion] = says("The dated versions of the vendor's API that it was tested with.")

    @classmethod
    def of(cls, connector: type[contract.Connector[Any]]) -> Connector:
        return cls(
            key=connector.key,
            title=connector.title,
            channel=records.Channel(connector.channel.value),
            config_schema=JSON(connector.config_schema()),
            capabilities=JSON(asdict(connector.capabilities)),
            scopes=list(connector.scopes),
            versions=[ApiVersion.of(version) for version in connector.versions],
        )

    @classmethod
    def missing(cls, key: str) -> Connector:
        """The connector of a destination whose plugin is no longer installed."""
        nothing: dict[str, Any] = {"config_schema": {}, "capabilities": {}, "scopes": [], "versions": []}
        return cls(key=key, title=f"{key} (not installed)", channel=records.Channel.GENERIC, **nothing)


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
    feedback_purposes: list[str] = says(
        "What is withdrawn when the vendor tells of an unsubscribe, a bounce or a complaint. None: the purposes of the "
        "destination's syncs, and every purpose while it has no sync."
    )

    @classmethod
    def of(cls, record: records.Destination) -> Destination:
        return cls(
            id=global_id("Destination", record.id),
            number=record.id,
            connector_key=record.connector,
            key=record.key,
            name=record.name,
            config=JSON(record.config),
            version=record.version,
            paused=record.paused,
            paused_reason=UserError.of(record.paused_reason) if record.paused_reason else None,
            feedback_purposes=list(record.feedback_purposes),
        )

    @strawberry.field(description="The plugin that speaks to the vendor.")
    def connector(self, info: Info) -> Connector:
        found = info.context.hub.registry.connectors.get(self.connector_key)
        return Connector.of(found) if found else Connector.missing(self.connector_key)

    @strawberry.field(
        description="The dated version of the vendor's API that is used: `api_version` of the configuration, or the "
        "connector's default. Null where the vendor's versions are not dated, or the connector is not installed."
    )
    def api_version(self, info: Info) -> ApiVersion | None:
        found = self._version(info)
        return ApiVersion.of(found) if found else None

    @strawberry.field(
        description="What works but must be looked after, such as an API version that lapses within 60 days or has."
    )
    def warnings(self, info: Info) -> list[UserError]:
        found = self._version(info)
        problem = versions.warning(found, info.context.hub.clock.now().date()) if found else None
        return [UserError.of(problem)] if problem else []

    def _version(self, info: Info) -> contract.ApiVersion | None:
        installed = info.context.hub.registry.connectors.get(self.connector_key)
        return versions.version_of(installed, cast(Mapping[str, Any], self.config)) if installed else None

    @strawberry.field(
        description="Where the vendor is to send unsubscribes, bounces and complaints, below this hub's address; the "
        "connector's page says what comes after it. Null where the vendor tells nothing."
    )
    def feedback_url(self, info: Info) -> str | None:
        found = info.context.hub.registry.connectors.get(self.connector_key)
        return f"/hooks/{self.key}" if found and found.capabilities.feedback else None

    @strawberry.field(description="The syncs that send people there.")
    async def syncs(self, info: Info) -> list[Annotated[Sync, strawberry.lazy("hub.api.types.sync")]]:
        from hub.api.types.sync import Sync

        return [Sync.of(record) for record in await info.context.loaders.syncs_of_destination.load(self.number)]
