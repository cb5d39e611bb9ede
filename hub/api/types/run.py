"""Runs: one execution of a sync, its counts, and what the vendor refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.api.context import Info
from hub.api.ids import global_id
from hub.api.types.catalogue import within_int
from hub.api.types.connection import Connection, Window, page
from hub.api.types.history import RunMoment, RunRequest, RunThroughput
from hub.api.types.node import Node, UserError
from hub.api.types.profile import Profile
from hub.api.words import UNSET, After, First, says
from hub.core import brake, records
from hub.core.scopes import Scope
from hub.warehouse import rejected, views

if TYPE_CHECKING:
    from hub.api.types.destination import Destination
    from hub.api.types.sync import Sync


@strawberry.type(
    description="members = unchanged + added + updated + rejected + withheld + pending; "
    "leavers = removed + removeRejected + removePending."
)
class RunCounts:
    members: int = says("Members of the segment when the run was planned.")
    unchanged: int = says("Members who were there already, just so.")
    added: int = says("Members who were added.")
    updated: int = says("Members who were there and were sent again with new values.")
    rejected: int = says("Members whom the vendor refused.")
    withheld: int = says("Members who were not sent; `withheld` of the run says why.")
    pending: int = says("Members without an answer yet, or whose answer never came.")
    leavers: int = says("People to remove when the run was planned.")
    removed: int = says("People who were removed.")
    remove_rejected: int = says("People whose removal the vendor refused.")
    remove_pending: int = says("People whose removal has no answer yet, or whose answer never came.")

    @classmethod
    def of(cls, counts: records.RunCounts) -> RunCounts:
        names = records.RunCounts.__slots__
        return cls(**{name: within_int(getattr(counts, name)) for name in names})


@strawberry.type(description="How many members were not sent, for one reason.")
class Withheld:
    reason: records.WithheldReason = says("Why they were not sent.")
    count: int = says("How many.")

    @classmethod
    def all_of(cls, counts: Mapping[records.WithheldReason, int]) -> list[Withheld]:
        return [cls(reason=reason, count=within_int(count)) for reason, count in sorted(counts.items()) if count]


@strawberry.type(description="One person whom the vendor refused.")
class Rejection:
    reason: str = says("The vendor's reason, without personal data.")
    attempts: int = says("How often it was tried, in the run in which it was refused.")
    person: strawberry.Private[views.Person | None]

    @classmethod
    def of(cls, record: views.Rejected) -> Rejection:
        return cls(reason=record.reason, attempts=record.attempts, person=record.person)

    @strawberry.field(description="The person; null once the profile is gone.")
    def profile(self) -> Profile | None:
        return Profile.of(self.person) if self.person else None


@strawberry.type(
    description="One person whom a sync's destination refused last. The same values are tried again after 1 hour, 4 "
    "hours, 1 day and 3 days, other values with the next run; refused once more, the person is quarantined."
)
class RejectedPerson:
    reason: str = says("The vendor's reason, without personal data.")
    refusals: int = says("How often in a row the vendor refused the person, in one run each; a release begins anew.")
    refused_at: datetime = says("When it did so last.")
    quarantined: bool = says("Whether the same values are not tried again until `quarantineRelease`.")
    retry_at: datetime | None = says("From when the same values are tried again; null for someone quarantined.")
    person: strawberry.Private[views.Person | None]

    @classmethod
    def of(cls, record: rejected.RejectedPerson) -> RejectedPerson:
        return cls(
            reason=record.reason,
            refusals=record.refusals,
            refused_at=record.refused_at,
            quarantined=record.retry_at is None,
            retry_at=record.retry_at,
            person=record.person,
        )

    @strawberry.field(description="The person; null once the profile is gone.")
    def profile(self) -> Profile | None:
        return Profile.of(self.person) if self.person else None


@strawberry.type(description="One execution of a sync: a plan, its deliveries, its outcome.")
class Run(Node):
    record: strawberry.Private[records.Run]
    cause: records.RunCause = says("Why it was started.")
    scope: Scope = says("Whom it is about.")
    status: records.RunStatus = says("Where it stands.")
    counts: RunCounts = says("What became of the members and the leavers.")
    withheld: list[Withheld] = says("How many members were not sent, and why.")
    as_of: datetime | None = says("The clock of the rule, if one was given.")
    started_at: datetime | None = says("When work began; null while it waits.")
    finished_at: datetime | None = says("When it ended; null until then.")
    failure: UserError | None = says("Why it failed; null if it did not.")

    @classmethod
    def of(cls, record: records.Run) -> Run:
        return cls(
            id=global_id("Run", record.id),
            record=record,
            cause=record.cause,
            scope=record.scope,
            status=record.status,
            counts=RunCounts.of(record.counts),
            withheld=Withheld.all_of(record.withheld),
            as_of=record.as_of,
            started_at=record.started_at,
            finished_at=record.finished_at,
            failure=UserError.of(record.failure) if record.failure else None,
        )

    @strawberry.field(description="Where a run of scope ERASE erases; null for every other, and once that is deleted.")
    async def destination(
        self, info: Info
    ) -> Annotated[Destination, strawberry.lazy("hub.api.types.destination")] | None:
        from hub.api.types.destination import Destination

        number = self.record.destination_id
        record = await info.context.loaders.destinations.load(number) if number else None
        return Destination.of(record) if record else None

    @strawberry.field(description="The sync it belongs to; null once that is deleted, and where it erases.")
    async def sync(self, info: Info) -> Annotated[Sync, strawberry.lazy("hub.api.types.sync")] | None:
        from hub.api.types.sync import Sync

        number = self.record.sync_id
        record = await info.context.loaders.syncs.load(number) if number else None
        return Sync.of(record) if record else None

    @strawberry.field(
        description="Whom the vendor refused in this run, and why; then, for the newest few runs of a sync, whom it "
        "refused before with the very same values, which rest. As many as `rejected` and "
        "`removeRejected` of the counts together."
    )
    async def rejections(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[Rejection]:
        window, read = Window.of(f"rejections of run {self.record.id}", first, after), info.context.read
        found = await read(views.rejections, self.record.id, window.position, window.beyond)
        return page(
            window,
            found,
            lambda rejected: rejected.position,
            Rejection.of,
            lambda: read(views.count_rejections, self.record.id),
        )

    @strawberry.field(description="Why its plan had to wait for approval, or waits; empty when it had not to.")
    async def approval_reasons(self, info: Info) -> list[brake.ApprovalReason]:
        plan = await info.context.hub.store.runs.plan(self.record.id)
        return brake.kept_reasons(plan["waits"]) if plan else []

    @strawberry.field(
        description="What happened to the run, in its order, over every process that worked on it: a few moments, 200 "
        "at most."
    )
    async def timeline(self, info: Info) -> list[RunMoment]:
        found = await info.context.hub.store.history.timeline(self.record.id)
        return [RunMoment.of(moment) for moment in found]

    @strawberry.field(
        description="Some of the requests that the run made: the first 100, the first 100 that failed and the last "
        "100. They stay for 30 days and for the newest 20 runs of the sync. Who died without a word leaves up to two "
        "seconds of them out, and its last ones."
    )
    async def requests(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[RunRequest]:
        history, number = info.context.hub.store.history, self.record.id
        window = Window.of(f"requests of run {number}", first, after)
        found = await history.requests(number, window.beyond, window.position)
        return page(
            window, found, lambda request: request.number, RunRequest.of, lambda: history.count_requests(number)
        )

    @strawberry.field(description="How fast it delivered; null before it has begun to.")
    async def throughput(self, info: Info) -> RunThroughput | None:
        found = await info.context.hub.store.history.traffic(self.record.id)
        return RunThroughput.of(found) if found.seconds else None
