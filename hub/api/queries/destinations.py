"""Connectors that are installed, and destinations that are configured."""

from __future__ import annotations

import strawberry

from hub.api.context import Info
from hub.api.types.destination import Connector, Destination, DisabledConnector
from hub.api.words import Key


@strawberry.type
class DestinationQueries:
    @strawberry.field(description="Every installed connector, by key.")
    def connectors(self, info: Info) -> list[Connector]:
        installed = info.context.hub.registry.connectors
        return [Connector.of(installed[key]) for key in sorted(installed)]

    @strawberry.field(description="Every plugin that cannot be used, with the reason; the others run.")
    def disabled_connectors(self, info: Info) -> list[DisabledConnector]:
        disabled = info.context.hub.registry.disabled
        return [DisabledConnector(key=key, reason=disabled[key]) for key in sorted(disabled)]

    @strawberry.field(description="The destination with that key; null when there is none.")
    async def destination(self, info: Info, key: Key) -> Destination | None:
        record = await info.context.hub.store.destinations.get(key)
        return Destination.of(record) if record else None

    @strawberry.field(description="Every destination, in the order in which they were created.")
    async def destinations(self, info: Info) -> list[Destination]:
        return [Destination.of(record) for record in await info.context.hub.store.destinations.all()]
