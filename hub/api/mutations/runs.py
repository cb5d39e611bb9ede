"""Starting runs and deciding about them."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import ID

from hub.api.context import Info
from hub.api.ids import number_of
from hub.api.payloads import RunPayload
from hub.api.refusals import answering
from hub.api.types.run import Run
from hub.api.words import UNSET, AsOf, Key, in_utc
from hub.services import runs

Full = Annotated[bool | None, strawberry.argument(description="Send everybody again, and sweep.")]
Repair = Annotated[bool | None, strawberry.argument(description="Queue the run that puts right what is found.")]
RunId = Annotated[ID, strawberry.argument(description="The id of the run.")]


@strawberry.type
class RunMutations:
    @strawberry.mutation(
        description="Starts a run and returns at once; follow it with `run(id)` or the subscription. `asOf` sets the "
        "clock of the rule. A `full` run sends everybody again, and removes whoever may be there beyond them: whom the "
        "vendor lists, and whom earlier runs are known to have told it about. The brake holds it like any other."
    )
    @answering(RunPayload)
    async def sync_run(self, info: Info, key: Key, as_of: AsOf = UNSET, full: Full = False) -> RunPayload:
        clock = in_utc(as_of, "asOf")
        return RunPayload(run=Run.of(await runs.start(info.context.hub, key, clock, full=bool(full))))

    @strawberry.mutation(
        description="Reads back whom the destination holds, and holds that against what it has acknowledged: "
        "`lastAudit` of the sync says what was found. Nobody is sent anything; whoever may not be sent and is there is "
        "removed at once by a run of its own. UNSUPPORTED where the vendor does not say who is there."
    )
    @answering(RunPayload)
    async def sync_audit(self, info: Info, key: Key, repair: Repair = False) -> RunPayload:
        return RunPayload(run=Run.of(await runs.audit(info.context.hub, key, repair=bool(repair))))

    @strawberry.mutation(
        description="Lets a run go on that waits for approval. CONFLICT when its plan has gone stale: over 24 hours "
        "old, or no longer what a run would do, for another rule, other settings, or other people to add, send again "
        "or remove. That run is then ended, with `failure`, and another one queued: look at its numbers."
    )
    @answering(RunPayload)
    async def run_approve(self, info: Info, id: RunId) -> RunPayload:
        return RunPayload(run=Run.of(await runs.approve(info.context.hub, number_of(id, "Run", "id"))))

    @strawberry.mutation(description="Ends a run; requests already under way are still accounted for.")
    @answering(RunPayload)
    async def run_cancel(self, info: Info, id: RunId) -> RunPayload:
        return RunPayload(run=Run.of(await runs.cancel(info.context.hub, number_of(id, "Run", "id"))))

    @strawberry.mutation(description="Starts a run that tries again whom the vendor refused, with today's data.")
    @answering(RunPayload)
    async def run_retry_rejected(self, info: Info, id: RunId) -> RunPayload:
        return RunPayload(run=Run.of(await runs.retry_rejected(info.context.hub, number_of(id, "Run", "id"))))
