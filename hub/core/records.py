"""The nouns of the control plane as plain values: what the store returns and services pass on.

Times are aware datetimes in UTC. `id` is the row's number inside; `key` is the admin's slug, unique and never changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from hub.core.alerts.thresholds import Thresholds
from hub.core.scopes import Scope
from hub.errors import Problem


class Channel(StrEnum):
    EMAIL = "EMAIL"
    ADS = "ADS"
    PUSH = "PUSH"
    CMS = "CMS"
    GENERIC = "GENERIC"


class SyncMode(StrEnum):
    MIRROR = "MIRROR"
    ADD_ONLY = "ADD_ONLY"
    REMOVE_ONLY = "REMOVE_ONLY"
    REPLACE = "REPLACE"


class RunStatus(StrEnum):
    PLANNING = "PLANNING"
    WAITING_APPROVAL = "WAITING_APPROVAL"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        return self in {RunStatus.SUCCEEDED, RunStatus.PARTIAL, RunStatus.FAILED, RunStatus.CANCELLED}


class RunCause(StrEnum):
    MANUAL = "MANUAL"
    SCHEDULE = "SCHEDULE"
    CHANGE = "CHANGE"
    WITHDRAWAL = "WITHDRAWAL"
    ERASURE = "ERASURE"


class WithheldReason(StrEnum):
    NO_CONSENT = "NO_CONSENT"
    SUPPRESSED = "SUPPRESSED"
    NO_IDENTIFIER = "NO_IDENTIFIER"
    HELD_OUT = "HELD_OUT"
    BELOW_FLOOR = "BELOW_FLOOR"
    MODE = "MODE"
    QUARANTINED = "QUARANTINED"
    SHARED_IDENTIFIER = "SHARED_IDENTIFIER"


class MemberAction(StrEnum):
    """What a run would do about one member."""

    ADD = "ADD"
    UPDATE = "UPDATE"
    KEEP = "KEEP"
    UNCHANGED = "UNCHANGED"
    REJECTED = "REJECTED"
    WITHHELD = "WITHHELD"


class DeliveryState(StrEnum):
    PRESENT = "PRESENT"
    ABSENT = "ABSENT"
    POSSIBLY_PRESENT = "POSSIBLY_PRESENT"
    REJECTED = "REJECTED"


class ConsentAction(StrEnum):
    GRANT = "GRANT"
    DENY = "DENY"
    WITHDRAW = "WITHDRAW"


class ConsentState(StrEnum):
    GRANTED = "GRANTED"
    DENIED = "DENIED"
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"


class Lens(StrEnum):
    """Which membership: the live one, or the one an `asOf` evaluation keeps for itself."""

    LIVE = "live"
    AS_OF = "as_of"


@dataclass(frozen=True, slots=True)
class Purpose:
    id: int
    key: str
    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation of a segment; `entered` and `left` are against the evaluation before it under the same lens."""

    size: int
    entered: int
    left: int
    as_of: datetime
    evaluated_at: datetime


@dataclass(frozen=True, slots=True)
class Segment:
    id: int
    key: str
    name: str
    description: str
    rule: str
    version: int
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class Destination:
    """A connector with one vendor account. `config` never holds a secret; those stay sealed in the store."""

    id: int
    key: str
    name: str
    connector: str
    config: dict[str, Any]
    version: int
    paused: bool = False
    paused_reason: Problem | None = None
    # What its vendor's unsubscribes are about; empty means what it is used for.
    feedback_purposes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sync:
    id: int
    key: str
    segment_id: int
    destination_id: int
    audience: str
    purposes: tuple[str, ...]
    mode: SyncMode
    schedule: str
    fields: dict[str, str]
    max_removal_share: float
    version: int
    paused: bool = False
    last_run_id: int | None = None
    rollout_share: float = 1.0
    max_growth: float = 10.0
    alerts: Thresholds = field(default_factory=Thresholds)
    signals: dict[str, str] = field(default_factory=dict)
    audit_schedule: str | None = None


@dataclass(frozen=True, slots=True)
class RunCounts:
    """Law L5: members = unchanged + added + updated + rejected + withheld + pending, and
    leavers = removed + remove_rejected + remove_pending."""

    members: int = 0
    unchanged: int = 0
    added: int = 0
    updated: int = 0
    rejected: int = 0
    withheld: int = 0
    pending: int = 0
    leavers: int = 0
    removed: int = 0
    remove_rejected: int = 0
    remove_pending: int = 0

    @property
    def balanced(self) -> bool:
        reached = self.unchanged + self.added + self.updated + self.rejected
        gone = self.removed + self.remove_rejected + self.remove_pending
        return self.members == reached + self.withheld + self.pending and self.leavers == gone


@dataclass(frozen=True, slots=True)
class Run:
    id: int
    sync_id: int | None
    cause: RunCause
    status: RunStatus
    counts: RunCounts
    withheld: dict[WithheldReason, int] = field(default_factory=dict)
    as_of: datetime | None = None
    watermark: int | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failure: Problem | None = None
    cancel_requested: bool = False
    scope: Scope = Scope.ALL
    destination_id: int | None = None  # where an ERASE goes, which is of no sync
    # The audience that an EMPTY run clears, when the sync has moved on to another; empty means the sync's own.
    audience: str = ""


@dataclass(frozen=True, slots=True)
class ErasurePlace:
    """A destination where somebody who is being erased may be. A run there is not asked for again before `due_at`."""

    destination_id: int
    done_at: datetime | None
    attempts: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Erasure:
    """Somebody is being erased, or has been: then `external_id` is gone, and only the keyed hash of it is left."""

    id: int
    subject: bytes
    external_id: str | None
    requested_at: datetime
    finished_at: datetime | None
    places: tuple[ErasurePlace, ...]

    @property
    def left(self) -> tuple[ErasurePlace, ...]:
        return tuple(place for place in self.places if place.done_at is None)


@dataclass(frozen=True, slots=True)
class ConsentEntry:
    """One line of the ledger. `subject` is the 16-byte keyed hash of `kind:value` (see core.identifiers);
    `seq` is handed out in commit order."""

    seq: int
    subject: bytes
    purpose: str
    action: ConsentAction
    source: str
    evidence: dict[str, Any] | None
    effective_at: datetime
    recorded_at: datetime
    expires_at: datetime | None = None
    entry_id: str = ""


@dataclass(frozen=True, slots=True)
class WriteKey:
    """A key that lets events in; the key itself was shown once and is not kept."""

    id: int
    name: str
    created_at: datetime
    last_used_at: datetime | None = None


class TraitType(StrEnum):
    """What a trait or property holds. NUMBER is a double; an integer of over 15 digits is TEXT, so nothing is lost."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    TEXTS = "texts"


@dataclass(frozen=True, slots=True)
class Trait:
    """A trait of profiles, or a property of one event. `column` is its physical column; `known` counts its values."""

    name: str
    column: str
    type: TraitType
    known: int = 0
    classification: str = "unclassified"


@dataclass(frozen=True, slots=True)
class EventType:
    name: str
    properties: tuple[Trait, ...] = ()
    count: int = 0
    first_seen: datetime | None = None
    last_seen: datetime | None = None
