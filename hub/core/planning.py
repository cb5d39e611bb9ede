"""What a plan is made of, when it must wait for a person, and the sums that must come out (law L5).

The set operation itself is SQL (`hub.warehouse.plan`); here are its request, its answer and the decisions on them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from hub.core.records import Lens, RunCounts, SyncMode, WithheldReason
from hub.core.scopes import Scope
from hub.sdk.contract import Person

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "EXTERNAL_ID",
    "RESTS",
    "Fate",
    "Left",
    "Op",
    "PlanPreview",
    "PlanRequest",
    "PlanSummary",
    "PlannedPerson",
    "Reading",
    "Scope",
    "Swap",
    "Tally",
    "count",
    "needs_approval",
]

EXTERNAL_ID = "external_id"
RESTS = (timedelta(hours=1), timedelta(hours=4), timedelta(days=1), timedelta(days=3))
"""How long the same values of somebody whom the vendor refused rest before they are tried again, by how often in a row
it was; whom it refuses once more after the last rest is quarantined."""


class Op(StrEnum):
    """What is to be done about one vendor key. KEEP sends someone unchanged again, where the destination takes only
    whole audiences."""

    ADD = "add"
    UPDATE = "update"
    KEEP = "keep"
    REMOVE = "remove"

    @property
    def adds(self) -> bool:
        return self is not Op.REMOVE


class Left(StrEnum):
    """Why a remove is planned."""

    LEAVER = "leaver"
    MOVED = "moved"
    SWEPT = "swept"
    WITHDRAWN = "withdrawn"
    EMPTIED = "emptied"


class Swap(StrEnum):
    """What became of a snapshot that was complete: the vendor has put it in the place of the audience, or may have."""

    MADE = "made"
    DOUBTED = "doubted"


class Fate(StrEnum):
    """What one attempt led to for one person: the SDK's outcome kinds, WITHHELD for someone whom the gate dropped, and
    SUBMITTED for someone in a job of the vendor's that is still to be asked after.

    RETRY says that nothing can have reached the vendor; UNKNOWN that something may have.
    """

    ACCEPTED = "accepted"
    NOOP = "noop"
    REJECTED = "rejected"
    SUPPRESSED = "suppressed"
    RETRY = "retry"
    UNKNOWN = "unknown"
    WITHHELD = "withheld"
    SUBMITTED = "submitted"

    @property
    def final(self) -> bool:
        """Nothing more is to be done for this person in this run."""
        return self not in {Fate.RETRY, Fate.UNKNOWN, Fate.SUBMITTED}


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """One run's question to the data plane.

    `key` is `external_id` or an identifier kind; with `identifiers`, kinds with how they are spelled ("" for as they
    are), it is every identifier of these instead. `fields` pairs the vendor's field with the trait's physical column,
    `spelled` some of them with how they are spelled, `signals` the vendor's consent signals with the purpose that each
    speaks of;
    `now` is the real clock, aware, for consent. `resend` plans a KEEP for everyone unchanged. `rollout_share` (over 0,
    up to 1) is how large a part of the members is to be there at all.
    """

    run: int
    sync: int
    segment: int
    lens: Lens
    purposes: tuple[str, ...]
    mode: SyncMode
    key: str
    fields: tuple[tuple[str, str], ...]
    scope: Scope
    now: datetime
    audience: str = ""
    resend: bool = False
    rollout_share: float = 1.0
    identifiers: tuple[tuple[str, str], ...] = ()
    spelled: tuple[tuple[str, str], ...] = ()
    signals: tuple[tuple[str, str], ...] = ()

    @property
    def is_snapshot(self) -> bool:
        """Whether the run says who is in the audience, rather than who comes and goes."""
        everybody = self.scope.whole or self.scope is Scope.EMPTY
        return everybody and (self.mode is SyncMode.REPLACE or self.resend)


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """A plan in numbers. `rejected` are members whom the vendor refused before with the very payload they have now,
    and whose rest is not over;
    `leavers` are all planned removes, of which `moved` lose an old key while the person stays, `withdrawn` may no
    longer be sent, and `swept` are not believed to be there. `delivered_before` counts the keys that may be at the
    vendor."""

    members: int = 0
    unchanged: int = 0
    to_add: int = 0
    to_update: int = 0
    to_keep: int = 0
    rejected: int = 0
    withheld: Mapping[WithheldReason, int] = field(default_factory=dict)
    leavers: int = 0
    moved: int = 0
    withdrawn: int = 0
    swept: int = 0
    delivered_before: int = 0
    watermark: int = 0
    generation: int = 0
    scope: Scope = Scope.ALL

    @property
    def people(self) -> dict[Op, int]:
        """How many people the run has to speak to the vendor about, by what is to be done about them."""
        planned = {Op.ADD: self.to_add, Op.UPDATE: self.to_update, Op.KEEP: self.to_keep, Op.REMOVE: self.leavers}
        return {op: people for op, people in planned.items() if people}

    @property
    def steps(self) -> int:
        """How many those are in all: the highest position in the plan."""
        return sum(self.people.values())

    @property
    def lost(self) -> int:
        """How many the audience loses: neither a changed address nor a withdrawal is a loss of it, nor is whoever is
        not believed to be there."""
        return self.leavers - self.moved - self.withdrawn - self.swept

    @property
    def balanced(self) -> bool:
        held = self.unchanged + self.rejected + sum(self.withheld.values())
        return self.members == held + self.to_add + self.to_update + self.to_keep


def needs_approval(summary: PlanSummary, max_removal_share: float) -> bool:
    """The brake: too large a share of the audience would leave at once. An emptying was asked for by name."""
    if summary.scope in {Scope.WITHDRAWN, Scope.EMPTY, Scope.REPEAT}:
        return False
    return summary.lost > max_removal_share * summary.delivered_before


Tally = Mapping[tuple[Op, Fate], int]
"""How many people of the plan have this operation with this latest fate; those not begun are left out."""

_DONE = (Fate.ACCEPTED, Fate.NOOP)
_DROPPED = (Fate.WITHHELD, Fate.SUPPRESSED)


def count(summary: PlanSummary, tally: Tally) -> RunCounts:
    """The run's counts, everyone without a final fate pending. Raises ValueError if they do not add up (law L5)."""

    def met(op: Op, fates: Sequence[Fate]) -> int:
        return sum(tally.get((op, fate), 0) for fate in fates)

    def adds(fates: Sequence[Fate]) -> int:
        return met(Op.ADD, fates) + met(Op.UPDATE, fates) + met(Op.KEEP, fates)

    settled = RunCounts(
        members=summary.members,
        unchanged=summary.unchanged + met(Op.KEEP, _DONE),
        added=met(Op.ADD, _DONE),
        updated=met(Op.UPDATE, _DONE),
        rejected=summary.rejected + adds([Fate.REJECTED]),
        withheld=sum(summary.withheld.values()) + adds(_DROPPED),
        leavers=summary.leavers,
        removed=met(Op.REMOVE, _DONE),
        remove_rejected=met(Op.REMOVE, [Fate.REJECTED, Fate.SUPPRESSED]),
    )
    return _with_pending(summary, settled, adds(_DONE) + adds([Fate.REJECTED]) + adds(_DROPPED))


def _with_pending(summary: PlanSummary, settled: RunCounts, ended: int) -> RunCounts:
    counts = replace(
        settled,
        pending=summary.to_add + summary.to_update + summary.to_keep - ended,
        remove_pending=summary.leavers - settled.removed - settled.remove_rejected,
    )
    if not counts.balanced or min(counts.pending, counts.remove_pending) < 0:
        raise ValueError(f"the counts of the run do not add up: {counts}")
    return counts


@dataclass(frozen=True, slots=True)
class PlanPreview:
    """What a run would do now, with the internal ids of a few of the people concerned."""

    summary: PlanSummary
    adds: tuple[int, ...] = ()
    removes: tuple[int, ...] = ()


class PlannedPerson(NamedTuple):
    """One row of the plan as it stands at this reading: `allowed` and the person's fields are decided now, not at the
    plan. `allowed_until` (aware) is when the consent lapses by itself. A remove is always allowed, without fields.
    """

    position: int
    pid: int
    op: Op
    person: Person
    fingerprint: str
    allowed: bool
    allowed_until: datetime | None
    reason: str = ""

    @property
    def key(self) -> str:
        return self.person.key

    def may_go(self, now: datetime) -> bool:
        """Whether this person may be sent at this instant, as far as this reading knows."""
        return self.allowed and (self.allowed_until is None or now < self.allowed_until)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Part of a plan with payloads and consent, as columns of one length in the order of `positions`.

    `as_of` is the watermark and the generation of the consent projection when it was read. `last` is the highest
    position looked at, also of rows left out because they have a final outcome: read on from it. `lines` are the
    columns that go on into the outcome log: position, pid, key, op, fingerprint.
    """

    as_of: tuple[int, int]
    last: int
    positions: Sequence[int] = ()
    pids: Sequence[int] = ()
    ops: Sequence[Op] = ()
    people: Sequence[Person] = ()
    fingerprints: Sequence[str] = ()
    allowed: Sequence[bool] = ()
    until: Sequence[datetime | None] = ()
    reasons: Sequence[str] = ()
    lines: pa.Table | None = None

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def rows(self) -> list[PlannedPerson]:
        return [self[at] for at in range(len(self))]

    def __getitem__(self, at: int) -> PlannedPerson:
        op, until, reason = self.ops[at], self.until[at], self.reasons[at]
        about = (self.positions[at], self.pids[at], op, self.people[at], self.fingerprints[at])
        return PlannedPerson(*about, self.allowed[at], until, reason)

    def find(self, position: int) -> int | None:
        """Where the row of this position stands, if it was read."""
        at = bisect_left(self.positions, position)
        return at if at < len(self) and self.positions[at] == position else None
