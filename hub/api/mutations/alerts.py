"""Making, changing, trying and deleting the channels that alerts go to."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from hub.api.context import Info
from hub.api.inputs import AlertChannelCreateInput, AlertChannelUpdateInput
from hub.api.payloads import AlertChannelPayload
from hub.api.refusals import answering, changes, told
from hub.api.types.alert import AlertChannel
from hub.api.words import Key
from hub.core.alerts import channel
from hub.services import alert_channels

NewChannel = Annotated[AlertChannelCreateInput, strawberry.argument(description="The channel to make.")]
ChannelChanges = Annotated[AlertChannelUpdateInput, strawberry.argument(description="What to change.")]


@strawberry.type
class AlertMutations:
    @strawberry.mutation(description="Makes an alert channel: it hears of every sync that turns from now on.")
    @answering(AlertChannelPayload)
    async def alert_channel_create(self, info: Info, input: NewChannel) -> AlertChannelPayload:
        return _payload(await alert_channels.create(info.context.hub, **_plain(told(input))))

    @strawberry.mutation(description="Changes an alert channel's name, address or secret.")
    @answering(AlertChannelPayload)
    async def alert_channel_update(self, info: Info, key: Key, input: ChannelChanges) -> AlertChannelPayload:
        return _payload(await alert_channels.update(info.context.hub, key, **_plain(changes(input))))

    @strawberry.mutation(description="Deletes an alert channel, with what waits for it.")
    @answering(AlertChannelPayload)
    async def alert_channel_delete(self, info: Info, key: Key) -> AlertChannelPayload:
        return _payload(await alert_channels.delete(info.context.hub, key))

    @strawberry.mutation(
        description="Tells an alert channel something harmless, now and once, and says what came of it."
    )
    @answering(AlertChannelPayload)
    async def alert_channel_test(self, info: Info, key: Key) -> AlertChannelPayload:
        return _payload(await alert_channels.test(info.context.hub, key))


def _plain(asked: dict[str, Any]) -> dict[str, Any]:
    """The same, with what is nested as mappings."""
    return {name: told(value) if name in alert_channels.WAYS else value for name, value in asked.items()}


def _payload(record: channel.AlertChannel) -> AlertChannelPayload:
    return AlertChannelPayload(alert_channel=AlertChannel.of(record))
