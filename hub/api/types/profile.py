"""Profiles: a person, what is known of them, and why they are where they are."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry.scalars import JSON

from hub.api.context import Info
from hub.api.ids import global_id
from hub.api.types.consent import Consent
from hub.api.types.node import Node
from hub.api.words import says
from hub.core.records import DeliveryState
from hub.warehouse import views

if TYPE_CHECKING:
    from hub.api.types.run import Run
    from hub.api.types.segment import Segment
    from hub.api.types.sync import Sync

# A vendor that suppresses somebody holds them no more than one that rejects them; the reason tells which.
STATES = {
    "present": DeliveryState.PRESENT,
    "possible": DeliveryState.POSSIBLY_PRESENT,
    "rejected": DeliveryState.REJECTED,
    "suppressed": DeliveryState.REJECTED,
    "absent": DeliveryState.ABSENT,
}


@strawberry.type(
    description="Why a profile is in or out of a segment: the rule's tree with each part's verdict and the values "
    "it saw."
)
class MembershipExplanation:
    member: bool = says("Whether the rule makes the profile a member now.")
    since: datetime | None = says("When the evaluation noticed; null for somebody who is not a member.")
    because: JSON = says(
        "The rule's tree: each part with its verdict (true, false or null for unknown) and what it saw."
    )


@strawberry.type(description="What one destination was last told about one profile.")
class Delivery:
    state: DeliveryState = says("What the destination holds, as far as it has acknowledged.")
    at: datetime = says("When that became so.")
    reason: str | None = says("The vendor's reason, where it gave one.")
    sync_id: strawberry.Private[int]
    run_id: strawberry.Private[int | None]

    @classmethod
    def of(cls, told: views.Delivered) -> Delivery:
        return cls(state=STATES[told.state], at=told.at, reason=told.reason, sync_id=told.sync, run_id=told.run)

    @strawberry.field(description="The sync that told it; null once that is deleted.")
    async def sync(self, info: Info) -> Annotated[Sync, strawberry.lazy("hub.api.types.sync")] | None:
        from hub.api.types.sync import Sync

        record = await info.context.loaders.syncs.load(self.sync_id)
        return Sync.of(record) if record else None

    @strawberry.field(description="The run that told it; null if that is no longer on record.")
    async def run(self, info: Info) -> Annotated[Run, strawberry.lazy("hub.api.types.run")] | None:
        from hub.api.types.run import Run

        record = await info.context.loaders.runs.load(self.run_id) if self.run_id else None
        return Run.of(record) if record else None


@strawberry.type(description="A person the hub knows.")
class Profile(Node):
    pid: strawberry.Private[int]
    external_id: str = says("The id under which the person was imported.")
    traits: JSON = says("The traits that are known, by name.")

    @classmethod
    def of(cls, person: views.Person) -> Profile:
        identity = global_id("Profile", person.pid)
        return cls(id=identity, pid=person.pid, external_id=person.external_id, traits=JSON(person.traits))

    @strawberry.field(description="One consent per purpose, also where nothing is on record yet.")
    async def consents(self, info: Info) -> list[Consent]:
        return await info.context.loaders.consents.load(self.pid)

    @strawberry.field(description="The segments this profile is a member of, by the last evaluation.")
    async def segments(self, info: Info) -> list[Annotated[Segment, strawberry.lazy("hub.api.types.segment")]]:
        from hub.api.types.segment import Segment

        found = await info.context.loaders.segments.load_many(await info.context.loaders.memberships.load(self.pid))
        return [Segment.of(record) for record in found if record]

    @strawberry.field(
        description="Why this profile is in or out of a segment: the rule's tree with each part's verdict and the "
        "values it saw. Null when no segment has that key."
    )
    async def membership(
        self,
        info: Info,
        segment: Annotated[str, strawberry.argument(description="The key of the segment.")],
    ) -> MembershipExplanation | None:
        from hub.services import segments

        found = await segments.explain_membership(info.context.hub, self.external_id, segment)
        if found is None:
            return None
        return MembershipExplanation(member=found.member, since=found.since, because=JSON(found.because))

    @strawberry.field(description="What each destination was last told about this profile.")
    async def deliveries(self, info: Info) -> list[Delivery]:
        return await info.context.loaders.deliveries.load(self.pid)
