"""Making, changing and resting syncs."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from hub.api.context import Info
from hub.api.inputs import SyncCreateInput, SyncUpdateInput
from hub.api.payloads import QuarantinePayload, SyncPayload
from hub.api.refusals import answering, changes, told
from hub.api.types.catalogue import within_int
from hub.api.types.sync import Sync
from hub.api.words import UNSET, Key, given
from hub.core import records
from hub.services import quarantine, syncs

NewSync = Annotated[SyncCreateInput, strawberry.argument(description="The sync to make.")]
SyncChanges = Annotated[SyncUpdateInput, strawberry.argument(description="What to change.")]
SyncKey = Annotated[str, strawberry.argument(description="The key of the sync.")]
Released = Annotated[str | None, strawberry.argument(description="The person's external id; everyone if left out.")]
Empty = Annotated[bool | None, strawberry.argument(description="Remove everyone who is delivered first.")]
Leave = Annotated[bool | None, strawberry.argument(description="Leave everyone who is delivered where they are.")]


@strawberry.type
class SyncMutations:
    @strawberry.mutation(description="Makes a sync; nothing is sent before its first run.")
    @answering(SyncPayload)
    async def sync_create(self, info: Info, input: NewSync) -> SyncPayload:
        return _payload(await syncs.create(info.context.hub, **_plain(told(input))))

    @strawberry.mutation(description="Changes a sync; the next run carries it out.")
    @answering(SyncPayload)
    async def sync_update(self, info: Info, key: Key, input: SyncChanges) -> SyncPayload:
        # Null means what a new sync would have.
        return _payload(await syncs.update(info.context.hub, key, **_plain(changes(input, **syncs.AT_FIRST))))

    @strawberry.mutation(description="Rests a sync: it does not run by itself; withdrawals are still carried out.")
    @answering(SyncPayload)
    async def sync_pause(self, info: Info, key: Key) -> SyncPayload:
        return _payload(await syncs.pause(info.context.hub, key))

    @strawberry.mutation(description="Takes a sync up again.")
    @answering(SyncPayload)
    async def sync_resume(self, info: Info, key: Key) -> SyncPayload:
        return _payload(await syncs.resume(info.context.hub, key))

    @strawberry.mutation(
        description="While people are delivered, say what becomes of them: `empty` removes them "
        "first, `leave` does not."
    )
    @answering(SyncPayload)
    async def sync_delete(self, info: Info, key: Key, empty: Empty = False, leave: Leave = False) -> SyncPayload:
        return _payload(await syncs.delete(info.context.hub, key, empty=bool(empty), leave=bool(leave)))

    @strawberry.mutation(
        description="Has the next run try quarantined people again, with today's data and all their tries before them."
    )
    @answering(QuarantinePayload)
    async def quarantine_release(self, info: Info, sync: SyncKey, external_id: Released = UNSET) -> QuarantinePayload:
        record, released = await quarantine.let_out(info.context.hub, sync, given(external_id))
        return QuarantinePayload(sync=Sync.of(record), released=within_int(released))


def _plain(asked: dict[str, Any]) -> dict[str, Any]:
    """The same, with the thresholds that were given as a mapping. Here null means something: not to look."""
    alerts = asked.get("alerts")
    if alerts is None:
        return asked
    given = {name: value for name, value in vars(alerts).items() if value is not UNSET}
    if "destination_paused" in given:
        given["destination_paused"] = bool(given["destination_paused"])
    return {**asked, "alerts": given}


def _payload(record: records.Sync) -> SyncPayload:
    return SyncPayload(sync=Sync.of(record))
