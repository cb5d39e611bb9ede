"""What rules and syncs may name: traits, events, purposes; and the write keys that let data in."""

from __future__ import annotations

import strawberry

from hub.api.context import Info
from hub.api.types.catalogue import EventType, Trait
from hub.api.types.purpose import Purpose
from hub.api.types.writekey import WriteKey
from hub.warehouse import catalogue


@strawberry.type
class CatalogueQueries:
    @strawberry.field(description="Every trait that profiles have, by name.")
    async def traits(self, info: Info) -> list[Trait]:
        return [Trait.of(trait) for trait in await info.context.read(catalogue.traits)]

    @strawberry.field(description="Every kind of event that has been seen, by name.")
    async def event_types(self, info: Info) -> list[EventType]:
        return [EventType.of(event) for event in await info.context.read(catalogue.event_types)]

    @strawberry.field(description="Every purpose, in the order in which they were created.")
    async def purposes(self, info: Info) -> list[Purpose]:
        return [Purpose.of(record) for record in await info.context.hub.store.purposes.all()]

    @strawberry.field(description="Every write key that is not revoked; never its secret.")
    async def write_keys(self, info: Info) -> list[WriteKey]:
        return [WriteKey.of(record) for record in await info.context.hub.store.write_keys.all()]
