"""What a recorded decision must look like. A grant has to be in order; a denial or a withdrawal is never refused on
form: whatever is odd about it is put right in the protective direction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from hub.core.records import ConsentAction
from hub.errors import ErrorCode, HubError, Problem, nearest

SKEW = timedelta(minutes=5)
UNNAMED_SOURCE = "unknown"
LONGEST_PURPOSE = 100

When = datetime | str | None


class Fault(StrEnum):
    """Why a grant is not taken; the value is what the caller reads."""

    PURPOSE = "The purpose is not known: create it first, or choose one that exists."
    SOURCE = "A grant must say where it was given: name its source."
    NO_EFFECTIVE_AT = "A grant must say when it was given: set the instant, with its time zone."
    EFFECTIVE_AT = "The instant of the grant cannot be read: write it as in 2026-01-31T12:00:00Z."
    EFFECTIVE_ZONE = "The instant of the grant has no time zone: append Z or an offset such as +01:00."
    FUTURE = "The grant lies in the future: at most five minutes ahead are taken for a clock that is off."
    EXPIRES_AT = "The expiry cannot be read: write it as in 2026-01-31T12:00:00Z."
    EXPIRES_ZONE = "The expiry has no time zone: append Z or an offset such as +01:00."
    EXPIRES_EARLY = "The expiry does not lie after the instant of the grant."


# What an import's columns are called; the public interface writes them in its own way.
FIELDS = {
    Fault.PURPOSE: "purpose",
    Fault.SOURCE: "source",
    Fault.NO_EFFECTIVE_AT: "effective_at",
    Fault.EFFECTIVE_AT: "effective_at",
    Fault.EFFECTIVE_ZONE: "effective_at",
    Fault.FUTURE: "effective_at",
    Fault.EXPIRES_AT: "expires_at",
    Fault.EXPIRES_ZONE: "expires_at",
    Fault.EXPIRES_EARLY: "expires_at",
}
INPUT_FIELDS = {"effective_at": "effectiveAt", "expires_at": "expiresAt"}


@dataclass(frozen=True, slots=True)
class ConsentInput:
    """A decision as it came in. The person is `external_id`, or `identifier_kind` with `identifier`. Times may be text
    or lack a zone: `validate` says what becomes of that."""

    purpose: str
    action: ConsentAction
    source: str = ""
    external_id: str | None = None
    identifier_kind: str | None = None
    identifier: str | None = None
    evidence: Any = None
    effective_at: When = None
    expires_at: When = None
    entry_id: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """A decision in order, ready for the ledger. Times are aware and in UTC; `effective_at` None stands for the moment
    of recording. Only a grant expires."""

    purpose: str
    action: ConsentAction
    source: str
    evidence: dict[str, Any] | None
    effective_at: datetime | None
    expires_at: datetime | None


def validate(entry: ConsentInput, purposes: Collection[str], now: datetime) -> Statement:
    """The entry in order; raises HubError CONSENT_INVALID naming each fault of a grant under `input`."""
    if entry.action is not ConsentAction.GRANT:
        return _protective(entry, now)
    effective_at, expires_at = read_instant(entry.effective_at), read_instant(entry.expires_at)
    faults = list(_faults(entry, effective_at, expires_at, purposes, now))
    if faults or not isinstance(effective_at, datetime):
        raise HubError(*(_problem(fault, entry, purposes) for fault in faults))
    ends = expires_at if isinstance(expires_at, datetime) else None
    source = storable(entry.source)
    return Statement(storable(entry.purpose), entry.action, source, _evidence(entry.evidence), effective_at, ends)


def storable(text: str) -> str:
    """The text without what a database cannot hold (NUL, halves of surrogate pairs) and without space around it."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode().strip()


class Unread(StrEnum):
    """Why a time is not an instant."""

    MISSING = "missing"
    MALFORMED = "malformed"
    ZONELESS = "zoneless"


def read_instant(when: When) -> datetime | Unread:
    """The instant in UTC, or why there is none."""
    try:
        read = datetime.fromisoformat(when.strip()) if isinstance(when, str) and when.strip() else when
    except ValueError:
        return Unread.MALFORMED
    if not isinstance(read, datetime):
        return Unread.MISSING
    if read.utcoffset() is None:
        return Unread.ZONELESS
    try:
        return read.astimezone(UTC)
    except OverflowError:
        return Unread.MALFORMED


def _protective(entry: ConsentInput, now: datetime) -> Statement:
    """A time that is missing, unreadable, without zone or in the future gives way to the moment of recording, which no
    grant so far outranks."""
    said = read_instant(entry.effective_at)
    effective_at = said if isinstance(said, datetime) and said <= now + SKEW else None
    source = storable(entry.source or "") or UNNAMED_SOURCE
    purpose = storable(entry.purpose)[:LONGEST_PURPOSE]
    return Statement(purpose, entry.action, source, _evidence(entry.evidence), effective_at, None)


_EFFECTIVE_FAULTS = {
    Unread.MISSING: Fault.NO_EFFECTIVE_AT,
    Unread.MALFORMED: Fault.EFFECTIVE_AT,
    Unread.ZONELESS: Fault.EFFECTIVE_ZONE,
}
_EXPIRY_FAULTS = {Unread.MALFORMED: Fault.EXPIRES_AT, Unread.ZONELESS: Fault.EXPIRES_ZONE}


def _faults(
    entry: ConsentInput,
    effective_at: datetime | Unread,
    expires_at: datetime | Unread,
    purposes: Collection[str],
    now: datetime,
) -> Iterator[Fault]:
    if storable(entry.purpose) not in purposes:
        yield Fault.PURPOSE
    if not storable(entry.source):
        yield Fault.SOURCE
    if isinstance(effective_at, Unread):
        yield _EFFECTIVE_FAULTS[effective_at]
    elif effective_at > now + SKEW:
        yield Fault.FUTURE
    if isinstance(expires_at, Unread):
        yield from (_EXPIRY_FAULTS[expires_at],) if expires_at in _EXPIRY_FAULTS else ()
    elif isinstance(effective_at, datetime) and expires_at <= effective_at:
        yield Fault.EXPIRES_EARLY


def _problem(fault: Fault, entry: ConsentInput, purposes: Collection[str]) -> Problem:
    suggestion = nearest(entry.purpose, purposes) if fault is Fault.PURPOSE else None
    return Problem(
        ErrorCode.CONSENT_INVALID,
        fault.value,
        ("input", INPUT_FIELDS.get(FIELDS[fault], FIELDS[fault])),
        suggestion=suggestion,
    )


def _evidence(evidence: Any) -> dict[str, Any] | None:
    kept = _kept(evidence)
    return kept if kept is None or isinstance(kept, dict) else {"evidence": kept}


def _kept(value: Any) -> Any:
    """JSON that every database and parser can hold: no odd text, no integer beyond 64 bits."""
    match value:
        case str():
            return storable(value)
        case bool() | float() | None:
            return value
        case int():
            return value if -(2**63) <= value < 2**63 else str(value)
        case dict():
            return {storable(str(name)): _kept(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_kept(inner) for inner in value]
    return storable(str(value))
