"""Syncs, their runs, and the plan a run would carry out."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import ID

from hub.api.context import Info
from hub.api.ids import read_id
from hub.api.refusals import errors_of
from hub.api.types.catalogue import within_int
from hub.api.types.connection import Connection, Window, page
from hub.api.types.profile import Profile
from hub.api.types.run import Run, Withheld
from hub.api.types.sync import Sync, SyncPreview, SyncPreviewFor
from hub.api.words import UNSET, After, First, Key
from hub.errors import HubError
from hub.services import previews
from hub.warehouse import views


@strawberry.type
class SyncQueries:
    @strawberry.field(description="The sync with that key; null when there is none.")
    async def sync(self, info: Info, key: Key) -> Sync | None:
        record = await info.context.hub.store.syncs.get(key)
        return Sync.of(record) if record else None

    @strawberry.field(description="Every sync, in the order in which they were created.")
    async def syncs(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[Sync]:
        window, stored = Window.of("syncs", first, after), info.context.hub.store.syncs
        found = await stored.page(window.beyond, window.position)
        return page(window, found, lambda record: record.id, Sync.of, stored.count)

    @strawberry.field(description="The run with that id; null when there is none.")
    async def run(
        self, info: Info, id: Annotated[ID, strawberry.argument(description="The id of the run.")]
    ) -> Run | None:
        noun, number = read_id(id) or ("", 0)
        record = await info.context.loaders.runs.load(number) if noun == "Run" else None
        return Run.of(record) if record else None

    @strawberry.field(description="The plan a run would carry out now; nothing is written or sent.")
    async def sync_preview(
        self, info: Info, sync: Annotated[str, strawberry.argument(description="The key of the sync.")]
    ) -> SyncPreview:
        try:
            return await _preview(info, sync)
        except HubError as error:
            return SyncPreview.refused(errors_of(error))

    @strawberry.field(
        description="What a run would do now about one person, and why: a plan tried on somebody before it is carried "
        "out. Nothing is written or sent."
    )
    async def sync_preview_for(
        self,
        info: Info,
        sync: Annotated[str, strawberry.argument(description="The key of the sync.")],
        external_id: Annotated[str, strawberry.argument(description="The person's external id.")],
    ) -> SyncPreviewFor:
        try:
            return SyncPreviewFor.of(await previews.preview_for(info.context.hub, sync, external_id))
        except HubError as error:
            return SyncPreviewFor(errors=errors_of(error))


async def _preview(info: Info, key: str) -> SyncPreview:
    found = await previews.preview(info.context.hub, key)
    people = await info.context.read(views.profiles_by_pid, [*found.sample_adds, *found.sample_removes])
    return SyncPreview(
        errors=[],
        add=within_int(found.add),
        update=within_int(found.update),
        remove=within_int(found.remove),
        unchanged=within_int(found.unchanged),
        withheld=Withheld.all_of(found.withheld),
        needs_approval=found.needs_approval,
        approval_reasons=list(found.approval_reasons),
        sample_adds=[Profile.of(people[pid]) for pid in found.sample_adds if pid in people],
        sample_removes=[Profile.of(people[pid]) for pid in found.sample_removes if pid in people],
    )
