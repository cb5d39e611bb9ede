"""Any stored thing by its global id."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry
from strawberry import ID

from hub.api.context import Context, Info
from hub.api.ids import read_id
from hub.api.types.alert import AlertChannel
from hub.api.types.destination import Destination
from hub.api.types.node import Node
from hub.api.types.profile import Profile
from hub.api.types.purpose import Purpose
from hub.api.types.run import Run
from hub.api.types.segment import Segment
from hub.api.types.sync import Sync

NOUNS: dict[str, Any] = {
    "Segment": Segment,
    "Profile": Profile,
    "Destination": Destination,
    "Sync": Sync,
    "Run": Run,
    "Purpose": Purpose,
    "AlertChannel": AlertChannel,
}


@strawberry.type
class NodeQueries:
    @strawberry.field(description="Any stored thing by its id; null when there is none.")
    async def node(
        self, info: Info, id: Annotated[ID, strawberry.argument(description="The `id` of the thing.")]
    ) -> Node | None:
        read = read_id(id)
        record = await _find(info.context, *read) if read and read[0] in NOUNS else None
        return NOUNS[read[0]].of(record) if read and record else None


async def _find(context: Context, noun: str, number: int) -> Any:
    if noun == "Purpose":
        return await context.hub.store.purposes.find(number)
    loaders = context.loaders
    loader = {
        "Segment": loaders.segments,
        "Profile": loaders.profiles,
        "Destination": loaders.destinations,
        "Sync": loaders.syncs,
        "Run": loaders.runs,
        "AlertChannel": loaders.alert_channels,
    }[noun]
    return await loader.load(number)
