"""Syncs: which segment goes to which audience, for which purposes, how and when."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry.scalars import JSON

from hub.api.context import Info
from hub.api.ids import global_id
from hub.api.types.alert import SyncAlerts, SyncHealth
from hub.api.types.audit import SyncAudit
from hub.api.types.catalogue import within_int
from hub.api.types.connection import Connection, Window, page
from hub.api.types.destination import Destination
from hub.api.types.history import SyncFreshness
from hub.api.types.node import Node, UserError
from hub.api.types.profile import Profile
from hub.api.types.purpose import Purpose
from hub.api.types.segment import Segment
from hub.api.words import UNSET, After, First, says
from hub.core import brake, planning, records
from hub.core.scopes import Scope
from hub.services import freshness
from hub.warehouse import audit, rejected
from hub.warehouse.trial import Trial

if TYPE_CHECKING:
    from hub.api.types.run import RejectedPerson, Run, Withheld

LazyRun = Annotated["Run", strawberry.lazy("hub.api.types.run")]
LazyRejected = Annotated["RejectedPerson", strawberry.lazy("hub.api.types.run")]
AUDITS = [scope for scope in Scope if scope.audits]
Quarantined = Annotated[
    bool | None,
    strawberry.argument(description="True for the quarantined alone, false for those who are tried again alone."),
]


@strawberry.type(
    description="A segment sent to an audience at a destination, for purposes, with a mode and a schedule."
)
class Sync(Node):
    record: strawberry.Private[records.Sync]
    key: str = says("The slug; never changes.")
    audience: str = says("The audience's name at the vendor.")
    mode: records.SyncMode = says("What the sync does to the audience.")
    schedule: str = says("manual | continuous | a cron expression")
    audit_schedule: str | None = says("A cron expression, in UTC, by which it is audited; null for never by itself.")
    fields: JSON = says("From the vendor's field to the trait that fills it; nothing else leaves the hub.")
    max_removal_share: float = says("A run that would remove more than this share waits for approval.")
    max_growth: float = says(
        "A run that would make an audience of 100 people or more over so many times as large waits for approval."
    )
    rollout_share: float = says("The share of the members that is sent, stable by person; the rest is HELD_OUT.")
    signals: JSON = says(
        "From the vendor's consent signal to the purpose that it speaks of; one that is not named here speaks of the "
        "sync's own purposes."
    )
    alerts: SyncAlerts = says("From when on something about it is bad, and the alert channels are told.")
    version: int = says("Rises with every change.")
    paused: bool = says("Whether it rests; withdrawals are still carried out.")

    @classmethod
    def of(cls, record: records.Sync) -> Sync:
        return cls(
            id=global_id("Sync", record.id),
            record=record,
            key=record.key,
            audience=record.audience,
            mode=record.mode,
            schedule=record.schedule,
            audit_schedule=record.audit_schedule,
            fields=JSON(dict(record.fields)),
            max_removal_share=record.max_removal_share,
            max_growth=record.max_growth,
            rollout_share=record.rollout_share,
            signals=JSON(dict(record.signals)),
            alerts=SyncAlerts.of(record.alerts),
            version=record.version,
            paused=record.paused,
        )

    @strawberry.field(description="The segment whose members are sent.")
    async def segment(self, info: Info) -> Segment:
        return Segment.of(await info.context.loaders.segments.need(self.record.segment_id))

    @strawberry.field(description="Where they are sent.")
    async def destination(self, info: Info) -> Destination:
        return Destination.of(await info.context.loaders.destinations.need(self.record.destination_id))

    @strawberry.field(description="The purposes, all of which a person must have granted.")
    async def purposes(self, info: Info) -> list[Purpose]:
        found = await info.context.loaders.purposes.load_many(self.record.purposes)
        return [Purpose.of(record) for record in found if record]

    @strawberry.field(description="The newest run; null before the first.")
    async def last_run(self, info: Info) -> LazyRun | None:
        from hub.api.types.run import Run

        number = self.record.last_run_id
        record = await info.context.loaders.runs.load(number) if number else None
        return Run.of(record) if record else None

    @strawberry.field(description="People the destination holds now, as far as it has acknowledged.")
    async def delivered(self, info: Info) -> int:
        return within_int(await info.context.loaders.delivered.load(self.record.id))

    @strawberry.field(
        description="Whom the destination refused last, whichever run it was in, in the order in which they became "
        "known."
    )
    async def rejected(
        self, info: Info, quarantined: Quarantined = None, first: First = UNSET, after: After = UNSET
    ) -> Connection[LazyRejected]:
        from hub.api.types.run import RejectedPerson

        read, whose = info.context.read, (self.record.id, self.record.audience, quarantined)
        window = Window.of(f"rejected of sync {self.record.id}, quarantined {quarantined}", first, after)
        found = await read(rejected.rejected, *whose, window.position, window.beyond)
        return page(
            window,
            found,
            lambda person: person.pid,
            RejectedPerson.of,
            lambda: read(rejected.count_rejected, *whose),
        )

    @strawberry.field(description="How well it is; null until a worker has looked at it, which takes half a minute.")
    async def health(self, info: Info) -> SyncHealth | None:
        seen = await info.context.loaders.healths.load(self.record.id)
        return SyncHealth.of(seen) if seen else None

    @strawberry.field(description="The newest audit, under way or ended; null before the first.")
    async def last_audit(self, info: Info) -> SyncAudit | None:
        runs = info.context.hub.store.runs
        run = await runs.newest_of_sync(self.record.id, AUDITS)
        found = await info.context.read(audit.newest_of, self.record.id)
        if found and (run is None or found.run > run.id):
            # A full run began with it.
            run = await runs.find(found.run)
        return SyncAudit.of(run, found if found and found.run == run.id else None) if run else None

    @strawberry.field(description="How far the destination is behind the segment.")
    async def freshness(self, info: Info) -> SyncFreshness:
        return SyncFreshness.of(await freshness.known(info.context.hub, self.record))

    @strawberry.field(description="Every run, newest first.")
    async def runs(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[LazyRun]:
        from hub.api.types.run import Run

        runs, number = info.context.hub.store.runs, self.record.id
        window = Window.of(f"runs of sync {number}", first, after)
        found = await runs.of_sync(number, window.beyond, window.position)
        return page(window, found, lambda run: run.id, Run.of, lambda: runs.count_of_sync(number))


@strawberry.type(description="The plan a run would carry out now; nothing is written or sent.")
class SyncPreview:
    errors: list[UserError] = says("Why no plan can be made; empty when there is one.")
    add: int = says("How many would be added.")
    update: int = says("How many are there and would be sent again with new values.")
    remove: int = says("How many would be removed.")
    unchanged: int = says("How many are there already, just so.")
    withheld: list[Annotated[Withheld, strawberry.lazy("hub.api.types.run")]] = says(
        "How many would not be sent, and why."
    )
    needs_approval: bool = says("Whether the run would wait for approval.")
    approval_reasons: list[brake.ApprovalReason] = says("Why it would wait; empty when it would not.")
    sample_adds: list[Profile] = says("Some of those who would be added.")
    sample_removes: list[Profile] = says("Some of those who would be removed.")

    @classmethod
    def refused(cls, errors: list[UserError]) -> SyncPreview:
        return cls(
            errors=errors,
            add=0,
            update=0,
            remove=0,
            unchanged=0,
            withheld=[],
            needs_approval=False,
            approval_reasons=[],
            sample_adds=[],
            sample_removes=[],
        )


@strawberry.type(description="What a run would do now about one person, and why; nothing is written or sent.")
class SyncPreviewFor:
    errors: list[UserError] = says("Why nothing can be said; empty when it can.", default_factory=list)
    profile: Profile | None = says("The person; null when nothing can be said.", default=None)
    action: records.MemberAction | None = says(
        "What would be done about them as a member; null for somebody who is no member of the segment.", default=None
    )
    withheld: records.WithheldReason | None = says("Why they are not sent; null unless WITHHELD.", default=None)
    rejection: str | None = says(
        "The vendor's reason, for somebody rejected or quarantined; null for everyone else.", default=None
    )
    retry_at: datetime | None = says(
        "From when the same values are tried again; null unless they are REJECTED.", default=None
    )
    removal: planning.Left | None = says("Why they would be removed; null if they would not be.", default=None)
    fields: JSON | None = says(
        "What would be sent of them, by the vendor's field; null where nothing would be.", default=None
    )

    @classmethod
    def of(cls, trial: Trial) -> SyncPreviewFor:
        return cls(
            profile=Profile.of(trial.person),
            action=trial.action,
            withheld=trial.withheld,
            rejection=trial.rejection,
            retry_at=trial.retry_at,
            removal=trial.removal,
            fields=None if trial.fields is None else JSON(dict(trial.fields)),
        )
