"""What a run asks of the data plane, built from its sync and kept as JSON, so that another process can go on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from hub.core.planning import EXTERNAL_ID, PlanRequest
from hub.core.records import Lens, Run, Sync, SyncMode
from hub.core.scopes import Scope
from hub.sdk.contract import Capabilities
from hub.services import segments
from hub.services.hub import Hub
from hub.services.projection import catch_up

OWN_ID = frozenset({"id", EXTERNAL_ID})


async def request_of(hub: Hub, run: Run, sync: Sync, capabilities: Capabilities) -> PlanRequest:
    """The plan of a run. A segment is evaluated afresh, and the ledger taken in to its head, before the plan looks at
    either. HubError where the segment's rule no longer holds: then nobody is removed either."""
    lens = Lens.AS_OF if run.as_of else Lens.LIVE
    if run.scope.whole or run.scope.audits:
        segment = await hub.store.segments.find(sync.segment_id)
        assert segment is not None, "the store keeps a segment while it has syncs"  # noqa: S101 - for the reader
        await segments.evaluate(hub, segment.key, run.as_of)
    await catch_up(hub)
    return await request_for(hub, sync, capabilities, run=run.id, scope=run.scope, lens=lens, audience=run.audience)


async def request_for(
    hub: Hub,
    sync: Sync,
    capabilities: Capabilities,
    *,
    run: int = 0,
    scope: Scope = Scope.ALL,
    lens: Lens = Lens.LIVE,
    audience: str = "",
) -> PlanRequest:
    """The plan of this sync as of now. `run` is 0 for one that is only looked at."""
    return PlanRequest(
        run=run,
        sync=sync.id,
        segment=sync.segment_id,
        lens=lens,
        purposes=sync.purposes,
        mode=sync.mode,
        key=capabilities.key,
        fields=await _columns(hub, sync.fields),
        scope=scope,
        now=hub.clock.now(),
        audience=audience or sync.audience,
        resend=capabilities.snapshot,
        rollout_share=sync.rollout_share,
        identifiers=tuple((kind, capabilities.spellings.get(kind, "")) for kind in capabilities.identifiers),
        spelled=tuple((name, how) for name, how in capabilities.spellings.items() if name in sync.fields),
        signals=_signals(sync, capabilities),
    )


def _signals(sync: Sync, capabilities: Capabilities) -> tuple[tuple[str, str], ...]:
    """Of which purpose each signal speaks: whoever is sent has granted all of the sync's own."""
    return tuple((signal, sync.signals.get(signal, sync.purposes[0])) for signal in sorted(capabilities.signals))


async def _columns(hub: Hub, fields: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The vendor's fields with the columns of their traits; a trait that nobody has had yet has no column to send."""
    known = dict(await asyncio.to_thread(hub.engine.rows, "SELECT name, column_name FROM traits"))
    columns = {field: EXTERNAL_ID if trait in OWN_ID else known.get(trait) for field, trait in fields.items()}
    return tuple((field, column) for field, column in sorted(columns.items()) if column)


def to_json(request: PlanRequest) -> dict[str, Any]:
    return {**asdict(request), "now": request.now.isoformat()}


def from_json(kept: Mapping[str, Any]) -> PlanRequest:
    typed: dict[str, Any] = {
        "lens": Lens(kept["lens"]),
        "mode": SyncMode(kept["mode"]),
        "scope": Scope(kept["scope"]),
        "purposes": tuple(kept["purposes"]),
        **{name: tuple(map(tuple, kept.get(name, ()))) for name in ("fields", "identifiers", "spelled", "signals")},
        "now": datetime.fromisoformat(kept["now"]),
    }
    return PlanRequest(**{**kept, **typed})
