"""Where alerts go."""

from __future__ import annotations

import strawberry

from hub.api.context import Info
from hub.api.types.alert import AlertChannel
from hub.api.words import Key


@strawberry.type
class AlertQueries:
    @strawberry.field(description="The alert channel with that key; null when there is none.")
    async def alert_channel(self, info: Info, key: Key) -> AlertChannel | None:
        record = await info.context.hub.store.alert_channels.get(key)
        return AlertChannel.of(record) if record else None

    @strawberry.field(
        description="Every alert channel, in the order in which they were created. The log is always told as well."
    )
    async def alert_channels(self, info: Info) -> list[AlertChannel]:
        return [AlertChannel.of(record) for record in await info.context.hub.store.alert_channels.all()]
