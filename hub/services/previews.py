"""What a run would do now, for a whole sync or for one person: by the run's own statement, and without a trace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from hub.core.brake import ApprovalReason
from hub.core.clock import naive
from hub.core.planning import PlanPreview, PlanRequest
from hub.core.records import Sync, WithheldReason
from hub.errors import ErrorCode, refuse
from hub.services import plans, segments
from hub.services.approval import brake_of
from hub.services.hub import Hub
from hub.services.projection import catch_up
from hub.services.syncs import capabilities_of, destination_of
from hub.warehouse.engine import Engine, Transaction
from hub.warehouse.evaluate import evaluate_in
from hub.warehouse.plan import preview_plan
from hub.warehouse.trial import Trial, try_on

SAMPLE = 10


@dataclass(frozen=True, slots=True)
class SyncPreview:
    """The plan a run would carry out now; `sample_adds` and `sample_removes` are pids."""

    add: int
    update: int
    remove: int
    unchanged: int
    withheld: Mapping[WithheldReason, int]
    approval_reasons: tuple[ApprovalReason, ...]
    sample_adds: tuple[int, ...]
    sample_removes: tuple[int, ...]

    @property
    def needs_approval(self) -> bool:
        return bool(self.approval_reasons)


async def preview(hub: Hub, key: str) -> SyncPreview:
    """What a run would do now, by the run's own statement, on the segment evaluated afresh; nothing of it stays.

    HubError NOT_FOUND, or what keeps the segment or the destination from being used.
    """
    sync, request, selection = await _asked(hub, key)
    found = await asyncio.to_thread(_rehearsed, hub.engine, request, selection)
    summary = found.summary
    return SyncPreview(
        add=summary.to_add,
        update=summary.to_update,
        remove=summary.leavers,
        unchanged=summary.unchanged + summary.to_keep,
        withheld=summary.withheld,
        approval_reasons=(await brake_of(hub, sync)).reasons(summary),
        sample_adds=found.adds,
        sample_removes=found.removes,
    )


async def preview_for(hub: Hub, key: str, external_id: str) -> Trial:
    """What a run would do now about one person, and why; nothing of it stays.

    HubError NOT_FOUND for the sync or the person, else as `preview`.
    """
    _, request, selection = await _asked(hub, key)
    found = await asyncio.to_thread(_tried, hub.engine, request, selection, external_id)
    if found is None:
        raise refuse(ErrorCode.NOT_FOUND, "Nobody with that external id is known.", "externalId")
    return found


async def _asked(hub: Hub, key: str) -> tuple[Sync, PlanRequest, str | None]:
    """The sync, what a run of it would ask now, and how its segment is evaluated."""
    sync = await hub.store.syncs.need(key, "sync")
    capabilities = await capabilities_of(hub, await destination_of(hub, sync))
    segment = await hub.store.segments.find(sync.segment_id)
    selection = await segments.selection(hub, segment) if segment else None
    await catch_up(hub)
    return sync, await plans.request_for(hub, sync, capabilities), selection


def _rehearsed(engine: Engine, request: PlanRequest, selection: str | None) -> PlanPreview:
    with _evaluated(engine, request, selection) as tx:
        return preview_plan(tx, request, SAMPLE)


def _tried(engine: Engine, request: PlanRequest, selection: str | None, external_id: str) -> Trial | None:
    with _evaluated(engine, request, selection) as tx:
        return try_on(tx, request, external_id)


@contextmanager
def _evaluated(engine: Engine, request: PlanRequest, selection: str | None) -> Iterator[Transaction]:
    """The data plane as it would be if the segment were evaluated first, which leaves no trace."""
    with engine.rehearse() as tx:
        if selection is not None:
            evaluate_in(tx, request.segment, request.lens, selection, naive(request.now))
        yield tx
