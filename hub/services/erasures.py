"""Erasing a person: everywhere they may be, and then here.

What comes first is a no to every purpose, under every identifier. It is durable before anybody is told of the erasure,
keeps them out from then on, and has them removed like anybody who withdraws. A destination is done once nothing can put
them there any more and, where its vendor erases people, it has said so. When every destination is done, what the hub
itself knows goes. Keyed hashes in the ledger stay, so that the no stands should the person be imported again.

Each step is found again in the stores and may be repeated, so that it goes on after any crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from hub.core.identifiers import EXTERNAL_ID, normalise, subject
from hub.core.records import (
    ConsentAction,
    Destination,
    Erasure,
    ErasurePlace,
    Run,
    RunCause,
    RunStatus,
    Sync,
)
from hub.core.scopes import Scope
from hub.errors import ErrorCode, HubError, StoreError, refuse
from hub.failpoints import failpoint
from hub.logs import where
from hub.sdk.contract import Capabilities
from hub.services import runs
from hub.services.hub import Hub
from hub.services.projection import catch_up
from hub.services.vendors import Vendors
from hub.store import NewEntry
from hub.warehouse import erasure as traces
from hub.warehouse.views import Person, profile_by_external_id, subjects_of

SOURCE = "erasure"
FIRST_REST, LONGEST_REST = timedelta(seconds=15), timedelta(hours=1)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Requested:
    """What was begun; `person` is the profile while there is one."""

    erasure: Erasure
    person: Person | None
    runs: tuple[Run, ...]


async def erase(hub: Hub, external_id: str, *, requested_at: datetime | None = None) -> Requested:
    """Begin to erase a person; they may not be sent any more when this returns, whatever happens to the process.

    Asked for again, it goes on. `requested_at` is for one that was asked for earlier. HubError NOT_FOUND where nothing
    is known of the person.
    """
    spelled, person = await _find(hub, external_id)
    vendors = Vendors(hub)
    try:
        places, said, now = await _places(hub, vendors, spelled), await _denials(hub, spelled), hub.clock.now()
        async with hub.store.transaction():
            await hub.store.ledger.append(said, recorded_at=now)
            asked_at = requested_at or now
            erasure = await hub.store.erasures.begin(spelled, _subject(hub, spelled), places, now, asked_at)
        queued = [run for place in erasure.left for run in await _removals(hub, erasure, place)]
        hub.signals.consent_changed.set()
        queued += await _see_to(hub, vendors, erasure)
    finally:
        await vendors.close()
    hub.signals.run_queued.set()
    log.info("erasure begun", people=1)
    return Requested(await _again(hub, erasure), person, tuple(queued))


async def erasure_of(hub: Hub, external_id: str) -> Erasure | None:
    """The newest erasure of whoever had that id, also long after they are gone."""
    try:
        return await hub.store.erasures.newest_of(_subject(hub, external_id))
    except ValueError:
        return None


async def tend(hub: Hub, vendors: Vendors) -> None:
    """See how far every erasure has come, and do what is next."""
    for erasure in await hub.store.erasures.under_way():
        try:
            await _tend(hub, vendors, erasure)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - one that cannot be seen to must not keep the others from it
            log.error("cannot see to an erasure", error_type=type(error).__name__, where=where(error))


async def _tend(hub: Hub, vendors: Vendors, erasure: Erasure) -> None:
    await catch_up(hub)
    if await asyncio.to_thread(traces.is_granted, hub.engine, erasure.external_id or ""):
        # Somebody has recorded a grant meanwhile: the erasure goes before it.
        said = await _denials(hub, erasure.external_id or "")
        await hub.store.ledger.append(said, recorded_at=hub.clock.now())
        hub.signals.consent_changed.set()
    await _see_to(hub, vendors, erasure)
    if not (await _again(hub, erasure)).left:
        await _finish(hub, erasure)


def rest(attempts: int) -> timedelta:
    """How long a destination is left alone after so many attempts."""
    doubled: timedelta = FIRST_REST * 2 ** min(attempts, 10)
    return min(doubled, LONGEST_REST)


async def syncs_at(hub: Hub, destination: int) -> list[Sync]:
    return (await hub.store.syncs.of_destinations([destination]))[destination]


async def trace_at(hub: Hub, erasure: Erasure, destination: int) -> traces.Trace:
    ids = [sync.id for sync in await syncs_at(hub, destination)]
    return await asyncio.to_thread(traces.trace, hub.engine, erasure.external_id or "", ids)


async def _find(hub: Hub, external_id: str) -> tuple[str, Person | None]:
    """The id as it is spelled here, and the profile while there is one."""
    with suppress(ValueError):
        spelled = normalise(EXTERNAL_ID, external_id)
        if await asyncio.to_thread(traces.is_known, hub.engine, spelled):
            return spelled, await asyncio.to_thread(profile_by_external_id, hub.engine, spelled)
    raise refuse(ErrorCode.NOT_FOUND, "Nothing is known of a person with that external id.", "externalId")


# The no.


async def _denials(hub: Hub, external_id: str) -> list[NewEntry]:
    people = await asyncio.to_thread(_subjects, hub, external_id)
    history = await hub.store.ledger.for_subjects(people)
    purposes = sorted({*await hub.store.purposes.keys(), *(entry.purpose for entry in history)})
    now = hub.clock.now()
    return [NewEntry(one, purpose, ConsentAction.DENY, SOURCE, now) for one in sorted(people) for purpose in purposes]


def _subjects(hub: Hub, external_id: str) -> set[bytes]:
    """Every keyed hash that is known to be theirs."""
    own = {_subject(hub, external_id)}
    person = profile_by_external_id(hub.engine, external_id)
    return own | subjects_of(hub.engine, [person.pid]).get(person.pid, {}).keys() if person else own


def _subject(hub: Hub, external_id: str) -> bytes:
    return subject(hub.pepper, EXTERNAL_ID, normalise(EXTERNAL_ID, external_id))


# Where they may be.


async def _places(hub: Hub, vendors: Vendors, external_id: str) -> list[int]:
    """The destinations that erase people, those where something was sent, and those of which nobody can tell."""
    found = []
    for destination in await hub.store.destinations.all():
        ids = [sync.id for sync in await syncs_at(hub, destination.id)]
        seen = await asyncio.to_thread(traces.trace, hub.engine, external_id, ids)
        able = await _able(vendors, destination)
        if seen.there or seen.landing or seen.naming or able is None or able.erase:
            found.append(destination.id)
    return found


async def _removals(hub: Hub, erasure: Erasure, place: ErasurePlace) -> list[Run]:
    """The runs that remove the person, like anybody who may no longer be sent."""
    queued = []
    for sync in await syncs_at(hub, place.destination_id):
        seen = await asyncio.to_thread(traces.trace, hub.engine, erasure.external_id or "", [sync.id])
        if seen.there:
            now = hub.clock.now()
            queued.append(await hub.store.runs.queue(sync.id, RunCause.ERASURE, now=now, scope=Scope.WITHDRAWN))
    return queued


async def _see_to(hub: Hub, vendors: Vendors, erasure: Erasure) -> list[Run]:
    """Do what is next at each destination; the runs that were queued for it."""
    queued: list[Run] = []
    for place in erasure.places:
        destination = await hub.store.destinations.find(place.destination_id)
        seen = await trace_at(hub, erasure, place.destination_id)
        if destination is None or (place.done_at and not seen.there):
            continue
        if place.done_at:
            await hub.store.erasures.mark(erasure.id, destination.id, None)
        able = await _able(vendors, destination)
        if not seen.quiet(hub.clock.now()) or await _being_removed(hub, destination):
            await _let_go_of_waiting_plans(hub, seen.adding)
        elif able and able.erase:
            queued += await _have_erased(hub, erasure, place)
        elif able and not seen.there:
            await hub.store.erasures.mark(erasure.id, destination.id, hub.clock.now())
    return queued


async def _have_erased(hub: Hub, erasure: Erasure, place: ErasurePlace) -> list[Run]:
    now = hub.clock.now()
    if place.due_at > now or await hub.store.erasures.run_at(place.destination_id):
        return []
    async with hub.store.transaction():
        await hub.store.erasures.put_off(erasure.id, place.destination_id, now + rest(place.attempts))
        run = await hub.store.erasures.queue(place.destination_id, now=now)
    hub.signals.run_queued.set()
    return [run]


async def _being_removed(hub: Hub, destination: Destination) -> bool:
    for sync in await syncs_at(hub, destination.id):
        if any(run.scope is Scope.WITHDRAWN for run in await hub.store.runs.active_for(sync.id)):
            return True
    return False


async def _let_go_of_waiting_plans(hub: Hub, naming: Sequence[int]) -> None:
    """A plan that names them and waits for approval is not what a run would do any more."""
    for number in naming:
        run = await hub.store.runs.find(number)
        if run and run.status is RunStatus.WAITING_APPROVAL:
            await runs.plan_anew(hub, run, "somebody in it is being erased")


async def _able(vendors: Vendors, destination: Destination) -> Capabilities | None:
    """None where the connector cannot be used now: it may be one that erases, so it is waited for until it can be, or
    until the destination is deleted."""
    try:
        return (await vendors.connect(destination)).limits()
    except HubError:
        return None


# Here.


async def _finish(hub: Hub, erasure: Erasure) -> None:
    ids = [sync.id for sync in await hub.store.syncs.all()]
    now, whose = hub.clock.now(), erasure.external_id or ""
    seen = await asyncio.to_thread(traces.trace, hub.engine, whose, ids)
    await _let_go_of_waiting_plans(hub, seen.naming)
    failpoint("before_forget")
    gone = await asyncio.to_thread(traces.forget_person, hub.engine, whose, ids, now)
    failpoint("after_forget")
    if gone:
        await hub.store.erasures.finish(erasure.id, now)
        hub.signals.imported.set()
        log.info("erasure finished", people=1)


async def _again(hub: Hub, erasure: Erasure) -> Erasure:
    found = await hub.store.erasures.find(erasure.id)
    return found or erasure
