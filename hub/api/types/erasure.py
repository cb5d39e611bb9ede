"""Erasures: how far they have come, and where."""

from __future__ import annotations

from datetime import datetime

import strawberry

from hub.api.context import Info
from hub.api.types.destination import Destination
from hub.api.words import says
from hub.core import records
from hub.errors import HubError
from hub.services.syncs import capabilities_of

PAUSED = "The destination is paused: resume it."
UNUSABLE = "The connector cannot be used ({why}), and may be one that erases: mend it, or delete the destination."
GOING_ON = "The person is being removed or erased there; what comes to nothing is tried again."


@strawberry.type(description="A destination where somebody who is being erased may be.")
class ErasurePlace:
    number: strawberry.Private[int]
    done_at: datetime | None = says("Since when they are gone there, as far as it has acknowledged; null until then.")

    @strawberry.field(description="The destination.")
    async def destination(self, info: Info) -> Destination | None:
        record = await info.context.loaders.destinations.load(self.number)
        return Destination.of(record) if record else None

    @strawberry.field(description="What it waits for; null once it is done.")
    async def waits_for(self, info: Info) -> str | None:
        record = await info.context.loaders.destinations.load(self.number)
        if self.done_at or record is None:
            return None
        if record.paused:
            return PAUSED
        try:
            await capabilities_of(info.context.hub, record)
        except HubError as error:
            return UNUSABLE.format(why=error.problems[0].message)
        return GOING_ON


@strawberry.type(
    description="Somebody is being erased, or has been. They may not be sent from the moment it was asked for."
)
class Erasure:
    requested_at: datetime = says("When it was asked for.")
    finished_at: datetime | None = says(
        "Since when nothing is left of the person, neither at the destinations nor here; null until then."
    )
    places: list[ErasurePlace] = says("The destinations that erase people, and those that may hold them.")

    @classmethod
    def of(cls, record: records.Erasure) -> Erasure:
        places = [ErasurePlace(number=place.destination_id, done_at=place.done_at) for place in record.places]
        return cls(requested_at=record.requested_at, finished_at=record.finished_at, places=places)
