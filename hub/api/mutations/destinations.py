"""Making, changing, checking and resting destinations."""

from __future__ import annotations

from typing import Annotated

import strawberry

from hub.api.context import Info
from hub.api.inputs import DestinationCreateInput, DestinationUpdateInput
from hub.api.payloads import DestinationPayload
from hub.api.refusals import answering, changes, told
from hub.api.types.destination import Destination
from hub.api.words import Key
from hub.core import records
from hub.services import destinations

NewDestination = Annotated[DestinationCreateInput, strawberry.argument(description="The destination to make.")]
DestinationChanges = Annotated[DestinationUpdateInput, strawberry.argument(description="What to change.")]


@strawberry.type
class DestinationMutations:
    @strawberry.mutation(description="Makes a destination; nothing is sent yet.")
    @answering(DestinationPayload)
    async def destination_create(self, info: Info, input: NewDestination) -> DestinationPayload:
        return _payload(await destinations.create(info.context.hub, **told(input)))

    @strawberry.mutation(description="Changes a destination's name or configuration.")
    @answering(DestinationPayload)
    async def destination_update(self, info: Info, key: Key, input: DestinationChanges) -> DestinationPayload:
        changed = changes(input, feedback_purposes=[])
        return _payload(await destinations.update(info.context.hub, key, **changed))

    @strawberry.mutation(
        description="Proves that the credentials work, without changing anything at the vendor; see `warnings` of the "
        "destination for what must be looked after."
    )
    @answering(DestinationPayload)
    async def destination_check(self, info: Info, key: Key) -> DestinationPayload:
        return _payload(await destinations.check(info.context.hub, key))

    @strawberry.mutation(description="Rests a destination: nothing is sent there, withdrawals wait too.")
    @answering(DestinationPayload)
    async def destination_pause(self, info: Info, key: Key) -> DestinationPayload:
        return _payload(await destinations.pause(info.context.hub, key))

    @strawberry.mutation(description="Takes a destination up again, and sends what has waited.")
    @answering(DestinationPayload)
    async def destination_resume(self, info: Info, key: Key) -> DestinationPayload:
        return _payload(await destinations.resume(info.context.hub, key))

    @strawberry.mutation(description="Deletes a destination; CONFLICT while syncs send there.")
    @answering(DestinationPayload)
    async def destination_delete(self, info: Info, key: Key) -> DestinationPayload:
        return _payload(await destinations.delete(info.context.hub, key))


def _payload(record: records.Destination) -> DestinationPayload:
    return DestinationPayload(destination=Destination.of(record))
