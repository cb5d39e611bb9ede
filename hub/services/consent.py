"""Recording what people decide, and saying what their decisions add up to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from hub.core.consent import fold
from hub.core.consent_form import ConsentInput, Statement, storable, validate
from hub.core.identifiers import EXTERNAL_ID, KINDS, normalise, subject
from hub.core.records import ConsentEntry, ConsentState
from hub.errors import ErrorCode, nearest, refuse
from hub.services.hub import Hub
from hub.store import NewEntry
from hub.warehouse.views import profile_by_external_id, subjects_of

__all__ = ["ConsentInput", "PurposeStanding", "record", "standing"]

# Under its own external id a person has always been known.
ALWAYS = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class PurposeStanding:
    """What one person's decisions about a purpose add up to at the time of asking. `decided_by` is the entry that
    stands, `history` every entry under any of the person's identifiers, newest first."""

    purpose: str
    state: ConsentState
    expires_at: datetime | None
    decided_by: ConsentEntry | None
    history: tuple[ConsentEntry, ...]


async def record(hub: Hub, asked: ConsentInput) -> ConsentEntry:
    """Add one decision to the ledger; it is durable when this returns.

    HubError CONSENT_INVALID names what is wrong with a grant, or that nobody is named; CONFLICT says that the entry id
    of a grant stands for another entry. A denial that names no purpose is recorded for each; the first is returned.
    """
    person = _subject(hub, asked)
    purposes = await hub.store.purposes.keys()
    now = hub.clock.now()
    told = validate(asked, purposes, now)
    entries = [_entry(person, one, asked, now) for one in _each_purpose(told, purposes)]
    appended = await hub.store.ledger.append(entries, recorded_at=now)
    if appended.conflicts:
        message = "The entry id stands for another entry already: choose another one."
        raise refuse(ErrorCode.CONFLICT, message, "input", "entryId")
    hub.signals.consent_changed.set()
    history = await hub.store.ledger.for_subjects([person], entries[0].purpose)
    return next(entry for entry in history if entry.seq == appended.seqs[0])


async def standing(hub: Hub, external_id: str) -> list[PurposeStanding]:
    """Where a person stands on every purpose, and on whatever else their ledger speaks of; known to the hub or not."""
    linked_at = await asyncio.to_thread(_linked, hub, external_id)
    told: dict[str, list[ConsentEntry]] = {key: [] for key in await hub.store.purposes.keys()}
    for entry in await hub.store.ledger.for_subjects(linked_at):
        told.setdefault(entry.purpose, []).append(entry)
    now = hub.clock.now()
    return [_standing(purpose, entries, linked_at, now) for purpose, entries in told.items()]


def _linked(hub: Hub, external_id: str) -> dict[bytes, datetime]:
    person = profile_by_external_id(hub.engine, external_id)
    own = {subject(hub.pepper, EXTERNAL_ID, external_id): ALWAYS}
    return own | subjects_of(hub.engine, [person.pid]).get(person.pid, {}) if person else own


def _standing(
    purpose: str, entries: Sequence[ConsentEntry], linked_at: dict[bytes, datetime], now: datetime
) -> PurposeStanding:
    folded = fold(entries, linked_at)
    decided_by = next((entry for entry in entries if entry.seq == folded.seq), None)
    history = tuple(sorted(entries, key=lambda entry: entry.seq, reverse=True))
    return PurposeStanding(purpose, folded.at(now), folded.expires_at, decided_by, history)


def _subject(hub: Hub, asked: ConsentInput) -> bytes:
    by_identifier = asked.identifier_kind is not None or asked.identifier is not None
    if (asked.external_id is not None) is by_identifier:
        message = "Name the person by exactly one of externalId, or identifierKind with identifier."
        raise refuse(ErrorCode.CONSENT_INVALID, message, "input", "externalId")
    if asked.external_id is not None:
        return _hashed(hub, EXTERNAL_ID, asked.external_id, "externalId")
    if asked.identifier_kind not in KINDS:
        meant = nearest(asked.identifier_kind or "", KINDS)
        message = f"The kind of identifier must be one of {', '.join(KINDS)}."
        raise refuse(ErrorCode.CONSENT_INVALID, message, "input", "identifierKind", suggestion=meant)
    return _hashed(hub, asked.identifier_kind, asked.identifier or "", "identifier")


def _hashed(hub: Hub, kind: str, value: str, field: str) -> bytes:
    try:
        return subject(hub.pepper, kind, normalise(kind, value))
    except ValueError as reason:
        raise refuse(ErrorCode.CONSENT_INVALID, f"The {field} {reason}.", "input", field) from None


def _each_purpose(told: Statement, purposes: Sequence[str]) -> list[Statement]:
    """Only a denial gets here without a purpose, and then it means every one."""
    return [told] if told.purpose or not purposes else [replace(told, purpose=key) for key in sorted(purposes)]


def _entry(person: bytes, told: Statement, asked: ConsentInput, now: datetime) -> NewEntry:
    entry_id = storable(asked.entry_id)
    if entry_id and not storable(asked.purpose):
        entry_id = f"{entry_id}#{told.purpose}"
    # Without an id of its own, a withdrawal said twice was said twice: a grant may have come in between.
    effective_at = told.effective_at or (None if entry_id else now)
    return NewEntry(
        person, told.purpose, told.action, told.source, effective_at, told.expires_at, told.evidence, entry_id
    )
