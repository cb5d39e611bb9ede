"""Syncs: which segment goes to which audience, for what, how and when; and how one comes to an end.

The people of an audience that a sync has left, or that goes away with it, are removed by a run of scope EMPTY.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from hub.core.alerts.thresholds import Thresholds
from hub.core.records import Destination, Run, RunCause, RunStatus, Sync, SyncMode
from hub.core.scopes import Scope
from hub.core.slug import key_problems
from hub.errors import ErrorCode, HubError, Problem, refuse
from hub.sdk.contract import Capabilities
from hub.services import sync_form
from hub.services.auditing import can_audit
from hub.services.hub import Hub
from hub.services.schedule import MANUAL
from hub.services.vendors import Vendors
from hub.warehouse import audit, catalogue
from hub.warehouse.plan import forget_sync
from hub.warehouse.settle import audiences

UNDER_WAY = frozenset({RunStatus.PLANNING, RunStatus.RUNNING})
NOT_FOR_MEMBERS = frozenset({Scope.WITHDRAWN, Scope.EMPTY, Scope.REPEAT})
RECENT_RUNS = 50
# What a sync is set to unless it is told otherwise. `alerts` are thresholds by name, None for the usual ones.
AT_FIRST: Mapping[str, Any] = MappingProxyType(
    {
        "mode": SyncMode.MIRROR,
        "schedule": MANUAL,
        "audit_schedule": None,
        "fields": {},
        "max_removal_share": 0.3,
        "max_growth": 10.0,
        "rollout_share": 1.0,
        "alerts": None,
        "signals": {},
    }
)


async def create(
    hub: Hub,
    key: str,
    segment: str,
    destination: str,
    audience: str,
    purposes: Sequence[str],
    **settings: Any,
) -> Sync:
    """A new sync with these of the `AT_FIRST` settings of its own; nothing is sent before its first run.

    HubError NOT_FOUND for segment, destination or a purpose, INVALID, RULE_UNKNOWN_TRAIT for a mapped trait,
    UNSUPPORTED for a destination that cannot remove or not do the mode, CONFLICT for a taken key or audience.
    """
    to = await hub.store.destinations.need(destination, "input", "destination")
    of = await hub.store.segments.need(segment, "input", "segment")
    audience = audience.strip()
    given = {**AT_FIRST, **settings, "audience": audience, "purposes": list(purposes)}
    given["alerts"] = Thresholds(**(given["alerts"] or {}))
    problems = [*key_problems(key), *await _problems(hub, to, given)]
    if problems:
        raise HubError(*problems)
    if await hub.store.syncs.get(key):
        raise refuse(ErrorCode.CONFLICT, f"There is a sync “{key}” already: choose another key.", "input", "key")
    await _refuse_taken_audience(hub, to, audience)
    made = await hub.store.syncs.create(key=key, segment_id=of.id, destination_id=to.id, **_tidied(given))
    hub.signals.consent_changed.set()
    return made


async def update(hub: Hub, key: str, *, if_version: int | None = None, **changes: Any) -> Sync:
    """Change `audience`, `purposes`, `mode`, `schedule`, `audit_schedule`, `fields`, `max_removal_share`, `max_growth`,
    `rollout_share`, `signals` or `alerts`; what is not given stays, also of the thresholds in `alerts`, and None for
    them means the defaults.

    Another audience: those delivered are removed from the old one, and the next run adds to the new one. HubError
    NOT_FOUND, CONFLICT when the sync is not at `if_version`, else as `create`.
    """
    sync = await hub.store.syncs.need(key)
    to = await destination_of(hub, sync)
    if changes.get("audience", sync.audience) != sync.audience:
        # A name that was stored with blanks is somebody's audience, and stays until another one is given.
        changes["audience"] = changes["audience"].strip()
    if "alerts" in changes:
        given = changes["alerts"]
        changes["alerts"] = Thresholds() if given is None else replace(sync.alerts, **given)
    if problems := await _problems(hub, to, changes):
        raise HubError(*problems)
    if changes.get("audience", sync.audience) != sync.audience:
        await _refuse_taken_audience(hub, to, changes["audience"])
    changed = await hub.store.syncs.update(sync.id, if_version=if_version, **_tidied(changes))
    if not changes:
        return changed
    await empty_left_audiences(hub, changed)
    # Other purposes may take people's permission away, and a continuous sync has something new to say.
    hub.signals.consent_changed.set()
    return changed


async def pause(hub: Hub, key: str) -> Sync:
    """Do not run by itself any more; withdrawals are still carried out. HubError NOT_FOUND."""
    sync = await hub.store.syncs.need(key)
    return await hub.store.syncs.pause(sync.id)


async def resume(hub: Hub, key: str) -> Sync:
    """HubError NOT_FOUND, or CONFLICT while the sync is being emptied for its deletion."""
    sync = await hub.store.syncs.need(key)
    if await _being_deleted(hub, sync):
        said = "The sync is being emptied, and then deleted: cancel that run to keep it."
        raise refuse(ErrorCode.CONFLICT, said, "key")
    resumed = await hub.store.syncs.resume(sync.id)
    hub.signals.run_queued.set()
    hub.signals.consent_changed.set()
    return resumed


async def delete(hub: Hub, key: str, *, empty: bool = False, leave: bool = False) -> Sync:
    """Delete at once where nobody is delivered, or with `leave`. With `empty` the sync is paused, a run removes
    everyone, and the sync is deleted once that has succeeded.

    HubError NOT_FOUND; INVALID for both at once; CONFLICT while a run is under way, or while people are delivered and
    neither is said; UNSUPPORTED for `empty` where the destination cannot remove.
    """
    sync = await hub.store.syncs.need(key)
    if empty and leave:
        raise refuse(ErrorCode.INVALID, "Say either `empty` or `leave`.", "empty")
    held = sum((await asyncio.to_thread(audiences, hub.engine, sync.id)).values())
    if held and not (empty or leave):
        said = f"{held} people may be in “{sync.audience}”: say `empty` to remove them first, or `leave` to leave them."
        raise refuse(ErrorCode.CONFLICT, said, "key", suggestion="empty")
    if held and empty:
        return await _empty_then_delete(hub, sync)
    await _stop_runs(hub, sync)
    await _delete_now(hub, sync)
    return sync


async def empty_left_audiences(hub: Hub, sync: Sync) -> list[Run]:
    """Queue the runs that empty the audiences which the sync has left, where there is somebody to remove now."""
    held = await asyncio.to_thread(audiences, hub.engine, sync.id, removable_at=hub.clock.now())
    active = await hub.store.runs.active_for(sync.id)
    begun = {run.audience for run in active if run.scope is Scope.EMPTY}
    return [await _queue_emptying(hub, sync, left) for left in held if left != sync.audience and left not in begun]


async def after_emptying(hub: Hub, run: Run) -> None:
    """To be told of every run that has ended: deletes the sync that was emptied for it, once nobody can be there."""
    if run.scope not in {Scope.EMPTY, Scope.REPEAT} or run.status is not RunStatus.SUCCEEDED or run.sync_id is None:
        return
    sync = await hub.store.syncs.find(run.sync_id)
    if sync is None or not sync.paused or not await _emptied_last(hub, sync):
        return
    if not await asyncio.to_thread(audiences, hub.engine, sync.id) and not await hub.store.runs.active_for(sync.id):
        await _delete_now(hub, sync)


async def _emptied_last(hub: Hub, sync: Sync) -> bool:
    """Whether the last thing asked of the sync was to empty its own audience, which only a deletion asks."""
    for run in await hub.store.runs.of_sync(sync.id, RECENT_RUNS):
        if run.scope not in {Scope.WITHDRAWN, Scope.REPEAT} and (run.audience or sync.audience) == sync.audience:
            return run.scope is Scope.EMPTY and run.status is RunStatus.SUCCEEDED
    return False


async def _empty_then_delete(hub: Hub, sync: Sync) -> Sync:
    destination = await destination_of(hub, sync)
    if not (await capabilities_of(hub, destination)).remove:
        said = f"{destination.connector} cannot remove anybody: delete the sync with `leave`."
        raise refuse(ErrorCode.UNSUPPORTED, said, "empty", suggestion="leave")
    await _stop_runs(hub, sync)
    paused = await hub.store.syncs.pause(sync.id)
    await empty_left_audiences(hub, sync)
    await _queue_emptying(hub, sync, sync.audience)
    return paused


async def _queue_emptying(hub: Hub, sync: Sync, audience: str) -> Run:
    run = await hub.store.runs.queue(
        sync.id, RunCause.MANUAL, now=hub.clock.now(), scope=Scope.EMPTY, audience=audience
    )
    hub.signals.run_queued.set()
    return run


async def _stop_runs(hub: Hub, sync: Sync) -> None:
    """Nothing new is begun for the sync; HubError CONFLICT while something is under way."""
    active = await hub.store.runs.active_for(sync.id)
    if any(run.status in UNDER_WAY for run in active):
        said = "A run of the sync is under way: cancel it, or wait for its end, then delete the sync."
        raise refuse(ErrorCode.CONFLICT, said, "key")
    for run in active:
        if run.scope not in NOT_FOR_MEMBERS:
            await hub.store.runs.request_cancel(run.id, now=hub.clock.now())


async def _delete_now(hub: Hub, sync: Sync) -> None:
    for run in await hub.store.runs.active_for(sync.id):
        await hub.store.runs.request_cancel(run.id, now=hub.clock.now())
    await hub.store.runs.let_go_of_cancelled(sync.id)
    await hub.store.syncs.delete(sync.id)
    await asyncio.to_thread(forget_sync, hub.engine, sync.id)
    await asyncio.to_thread(audit.forget, hub.engine, sync.id)


async def _being_deleted(hub: Hub, sync: Sync) -> bool:
    active = await hub.store.runs.active_for(sync.id)
    return any(run.scope is Scope.EMPTY and run.audience == sync.audience for run in active)


async def _problems(hub: Hub, destination: Destination, given: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the parts that are given."""
    found: list[Iterable[Problem]] = []
    if "audience" in given:
        found.append(sync_form.audience_problems(given["audience"]))
    if "purposes" in given:
        found.append(sync_form.purpose_problems(given["purposes"], await hub.store.purposes.keys()))
    if "mode" in given:
        capabilities = await capabilities_of(hub, destination)
        found.append(sync_form.mode_problems(given["mode"], destination.connector, capabilities))
    if "schedule" in given:
        found.append(sync_form.schedule_problems(given["schedule"]))
    if given.get("audit_schedule") is not None:
        able = can_audit(await capabilities_of(hub, destination))
        found.append(sync_form.audit_schedule_problems(given["audit_schedule"], destination.connector, can_audit=able))
    if "fields" in given:
        traits = await asyncio.to_thread(catalogue.traits, hub.engine)
        found.append(sync_form.field_problems(given["fields"], [trait.name for trait in traits]))
    found += [judge(given[name]) for name, judge in sync_form.NUMBERS.items() if name in given]
    if "alerts" in given:
        found.append(sync_form.threshold_problems(given["alerts"]))
    if given.get("signals"):
        signals = (await capabilities_of(hub, destination)).signals
        purposes = await hub.store.purposes.keys()
        found.append(sync_form.signal_problems(given["signals"], destination.connector, signals, purposes))
    return [problem for problems in found for problem in problems]


def _tidied(given: Mapping[str, Any]) -> dict[str, Any]:
    tidy = dict(given)
    for name in ("schedule", "audit_schedule"):
        if tidy.get(name):
            tidy[name] = " ".join(tidy[name].split())
    return tidy


async def _refuse_taken_audience(hub: Hub, destination: Destination, audience: str) -> None:
    syncs = (await hub.store.syncs.of_destinations([destination.id]))[destination.id]
    for sync in syncs:
        held = await asyncio.to_thread(audiences, hub.engine, sync.id)
        if audience == sync.audience:
            said = f"The sync “{sync.key}” fills this audience: one audience has one sync."
            raise refuse(ErrorCode.CONFLICT, said, "input", "audience")
        if audience in held:
            said = f"The sync “{sync.key}” has left this audience and is still emptying it: try again when it is done."
            raise refuse(ErrorCode.CONFLICT, said, "input", "audience")


async def destination_of(hub: Hub, sync: Sync) -> Destination:
    destination = await hub.store.destinations.find(sync.destination_id)
    if destination is None:
        raise refuse(ErrorCode.NOT_FOUND, "The destination of the sync no longer exists.", "key")
    return destination


async def capabilities_of(hub: Hub, destination: Destination) -> Capabilities:
    """What the connector can do under this configuration."""
    vendors = Vendors(hub)
    try:
        return (await vendors.connect(destination)).limits()
    finally:
        await vendors.close()
