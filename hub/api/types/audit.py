"""Audits: what the vendor's own list of members says of an audience."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.api.context import Info
from hub.api.types.catalogue import within_int
from hub.api.types.connection import Connection, Window, page
from hub.api.types.node import UserError
from hub.api.types.profile import Profile
from hub.api.words import UNSET, After, First, says
from hub.core import audits, records
from hub.warehouse import audit

if TYPE_CHECKING:
    from hub.api.types.run import Run

LazyRun = Annotated["Run", strawberry.lazy("hub.api.types.run")]
Kind = Annotated[audits.DriftKind, strawberry.argument(description="How they were found.")]


def _int(number: int | None) -> int | None:
    return None if number is None else within_int(number)


@strawberry.type(
    description="The newest audit of a sync: the vendor's list of members held against what it has acknowledged. What "
    "it finds is known from then on, and the next run puts it right. Where the vendor only says how many there are, "
    "all but `members` and `expected` are null."
)
class SyncAudit:
    record: strawberry.Private[records.Run]
    found: strawberry.Private[audits.Audit | None]
    at: datetime | None = says("When it ended; null while it waits or is under way.")
    expected: int | None = says("People the vendor has acknowledged; null until it has ended.")
    missing: int | None = says("Of those, whom the vendor does not list. They are added again.")
    strangers: int | None = says("People of ours whom the vendor lists, though nothing says that they were sent.")
    unwanted: int | None = says(
        "Of those, who should not be there, and are removed: at once if they may not be sent, else with the next run."
    )
    confirmed: int | None = says("People whose answer never came, and whom the vendor lists.")
    refuted: int | None = says("People whose answer never came, and whom the vendor does not list.")
    unknown_to_us: int | None = says(
        "Whom the vendor lists and the hub does not know: they are counted, never stored, and left alone."
    )
    steady: bool | None = says(
        "Whether the list stayed the same while it was read; by one that did not, nobody is refuted."
    )
    errors: list[UserError] = says("Why it came to no end; empty if it did, or is under way.")

    @classmethod
    def of(cls, run: records.Run, found: audits.Audit | None) -> SyncAudit:
        figures = ("expected", "missing", "strangers", "unwanted", "confirmed", "refuted", "unknown_to_us")
        return cls(
            record=run,
            found=found,
            at=run.finished_at,
            steady=found.steady if found else None,
            errors=[UserError.of(run.failure)] if run.failure else [],
            **{name: _int(getattr(found, name)) if found else None for name in figures},
        )

    @strawberry.field(description="The run that it is, or was the beginning of: its status says how far it is.")
    def run(self) -> LazyRun:
        from hub.api.types.run import Run

        return Run.of(self.record)

    @strawberry.field(description="How many people the vendor lists; while it is under way, those read so far.")
    async def members(self, info: Info) -> int:
        if self.found:
            return within_int(self.found.members)
        return within_int(await info.context.read(audit.sighted, self.record.id))

    @strawberry.field(description="People of ours about whom something was found, in the order in which they came.")
    async def people(self, info: Info, kind: Kind, first: First = UNSET, after: After = UNSET) -> Connection[Profile]:
        read, whose = info.context.read, (self.record.id, kind.value)
        window = Window.of(f"people of audit {self.record.id}, {kind.value}", first, after)
        found = await read(audit.people, *whose, window.position, window.beyond)
        return page(window, found, lambda person: person.pid, Profile.of, lambda: read(audit.count_people, *whose))
