"""A naive planner and settler, one person and one outcome at a time: what the set operations must agree with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import md5, sha256
from typing import Any, NamedTuple

from hub.core.delivery.rows import Row as Planned
from hub.core.planning import RESTS, Fate, Op, PlanRequest
from hub.core.records import SyncMode
from hub.core.scopes import Scope


@dataclass
class Profile:
    email: str | None = None
    ltv: float | None = None
    older: set[str] = field(default_factory=set)


@dataclass
class World:
    """`consents`: (pid, purpose) → end of the grant, None for no end, or False for a denial."""

    profiles: dict[int, Profile] = field(default_factory=dict)
    members: set[int] = field(default_factory=set)
    consents: dict[tuple[int, str], datetime | bool | None] = field(default_factory=dict)

    def until(self, pid: int, request: PlanRequest) -> datetime | bool | None:
        """The end of the permission, None for no end, False for no permission."""
        ends = [self.consents.get((pid, purpose), False) for purpose in request.purposes]
        if any(end is False or (end is not None and end <= request.now) for end in ends):
            return False
        return min((end for end in ends if end is not None), default=None)

    def keys(self, pid: int, request: PlanRequest) -> list[str | None]:
        """By which the vendor is told of somebody: None for no way to name them."""
        if request.identifiers:
            return sorted(self._names(pid)) or [None]  # type: ignore[return-value]
        return [f"p{pid}" if request.key == "external_id" else self.profiles[pid].email]

    def holders(self, key: str, request: PlanRequest) -> set[int]:
        if request.identifiers:
            return {pid for pid in self.profiles if key in self._names(pid)}
        if request.key == "external_id":
            return {pid for pid in self.profiles if f"p{pid}" == key}
        return {pid for pid, one in self.profiles.items() if key == one.email or key in one.older}

    def _names(self, pid: int) -> set[str]:
        """Spelled as Google wants them."""
        one = self.profiles[pid]
        known = one.older | ({one.email} if one.email else set())
        return {f"email:{sha256(without_dots(value).encode()).hexdigest()}" for value in known}

    def barred(self, key: str, request: PlanRequest) -> bool:
        return any(self.until(pid, request) is False for pid in self.holders(key, request))

    def payload(self, pid: int, request: PlanRequest) -> tuple[Any, ...]:
        """The mapped traits, then whether the person has agreed to what each signal speaks of."""
        ends = [self.consents.get((pid, purpose), False) for _, purpose in request.signals]
        agreed = [end is None or (end is not False and end > request.now) for end in ends]  # type: ignore[operator]
        return self.profiles[pid].email, self.profiles[pid].ltv, *agreed


def without_dots(address: str) -> str:
    local, _, host = address.partition("@")
    return f"{local.replace('.', '')}@{host}" if host in {"gmail.com", "googlemail.com"} else address


@dataclass(frozen=True)
class Held:
    pid: int
    state: str
    fingerprint: object = None
    refused: object = None
    attempts: int = 0
    retry_at: datetime | None = None
    late_until: datetime | None = None
    late_op: str | None = None
    again: str | None = None


Ledger = dict[str, Held]
Row = tuple[int, str | None, str, str | None]


def plan(world: World, held: Ledger, request: PlanRequest, told_before: dict[str, int] | None = None) -> Counter[Row]:
    """(pid, key, op, reason) of everybody, those unchanged included. `told_before`: whom, by key, the vendor was told
    about not long ago."""
    if request.scope is Scope.FULL:
        held = {key: Held(pid, "absent") for key, pid in (told_before or {}).items()} | held
    whole = request.scope in {Scope.ALL, Scope.RETRY_REJECTED, Scope.FULL}
    members = world.members & world.profiles.keys() if whole else set()
    wanted: dict[str, int] = {}
    rows: list[Row] = []
    for pid in sorted(members):
        for key in world.keys(pid, request):
            reason = _withheld(world, request, pid, key, wanted)
            if reason is None and key is not None:
                wanted[key] = pid
                rows.append((pid, key, *_wanted(world, request, pid, held.get(key))))
            else:
                rows.append((pid, key, "withheld", reason))
    for key, one in held.items():
        if key not in wanted and _may_be_there(one, request):
            reason = _leaving(world, request, key, one, set(wanted.values()))
            if _removed(request, reason):
                rows.append((one.pid, key, "remove", reason))
    return Counter(rows)


def _withheld(world: World, request: PlanRequest, pid: int, key: str | None, wanted: dict[str, int]) -> str | None:
    if world.until(pid, request) is False:
        return "NO_CONSENT"
    if key is None:
        return "NO_IDENTIFIER"
    if held_out(pid, request):
        return "HELD_OUT"
    return "SHARED_IDENTIFIER" if key in wanted or world.barred(key, request) else None


def held_out(pid: int, request: PlanRequest) -> bool:
    lot = int(md5(f"{request.sync}:p{pid}".encode()).hexdigest()[:8], 16)
    return lot >= request.rollout_share * 2**32


def _wanted(world: World, request: PlanRequest, pid: int, held: Held | None) -> tuple[str, str | None]:
    payload = world.payload(pid, request)
    if held and held.state == "suppressed":
        return "withheld", "SUPPRESSED"
    if request.mode is SyncMode.REMOVE_ONLY:
        there = held is not None and held.state == "present"
        return (("keep" if request.resend else "unchanged"), None) if there else ("withheld", "MODE")
    if held and held.refused == payload:
        if held.retry_at is None:
            return "withheld", "QUARANTINED"
        if held.retry_at > request.now and request.scope not in {Scope.RETRY_REJECTED, Scope.FULL}:
            return "rejected", None
    if held is None or held.state != "present":
        return "add", None
    due = held.again is not None and held.late_until is not None and held.late_until <= request.now
    if held.fingerprint == payload and held.pid == pid and not due:
        everybody = request.resend or request.mode is SyncMode.REPLACE or request.scope is Scope.FULL
        return ("keep" if everybody else "unchanged"), None
    return "update", None


def _may_be_there(held: Held, request: PlanRequest) -> bool:
    waits = held.again == "remove" and held.late_until is not None and held.late_until > request.now
    return (held.fingerprint is not None or request.scope is Scope.FULL) and not waits


def _leaving(world: World, request: PlanRequest, key: str, held: Held, wanted: set[int]) -> str:
    if request.scope is Scope.EMPTY:
        return "emptied"
    if world.until(held.pid, request) is False or world.barred(key, request):
        return "withdrawn"
    if held.pid in wanted:
        return "moved"
    return "leaver" if held.fingerprint is not None else "swept"


def _removed(request: PlanRequest, reason: str) -> bool:
    if request.scope is Scope.WITHDRAWN:
        return reason == "withdrawn"
    return not (request.mode is SyncMode.ADD_ONLY and reason in {"leaver", "swept"})


class Told(NamedTuple):
    """One line of the outcome log, with the payload itself in place of its fingerprint. `until` is the deadline of the
    vendor's job that it is about."""

    row: Planned
    fate: Fate
    at: datetime
    payload: Any
    until: datetime | None = None


def fold(held: Ledger, told: Told, in_flight: timedelta) -> set[str]:
    """Take one line of the outcome log into the ledger, in place, and return whom it changed: to `tidy` at the end."""
    before = held.get(told.row.key)
    if before is None and not told.row.op.adds and told.fate not in {Fate.UNKNOWN, Fate.SUBMITTED}:
        return set()
    was = before or Held(told.row.pid, "rejected" if told.row.op.adds else "absent")
    if told.fate in {Fate.REJECTED, Fate.SUPPRESSED} and told.row.op.adds and was.again == "add":
        # The add that was to be repeated is refused: what comes late may take them out, or has.
        was = replace(was, state="possible" if was.fingerprint is not None else was.state, again=None)
    if was.late_until is None or was.late_until <= told.at:
        was = replace(was, late_until=None, late_op=None, again=None)
    after = _after(was, told, in_flight, known=before is not None)
    if after is not None and (after.state != "absent" or after.late_until):
        held[told.row.key] = after
    elif after is not None:
        held.pop(told.row.key, None)
    return {told.row.key} if after is not None else set()


def tidy(held: Ledger, keys: Iterable[str], now: datetime) -> None:
    """Of those about whom something was folded, forget what can no longer land, unless something follows from it."""
    for key in set(keys) & held.keys():
        one = held[key]
        if one.late_until and one.late_until <= now and one.again is None:
            held[key] = replace(one, late_until=None, late_op=None)
            if one.state == "absent":
                del held[key]


def _after(was: Held, told: Told, in_flight: timedelta, *, known: bool) -> Held | None:
    """None where nothing changes."""
    adds, payload = told.row.op.adds, told.payload
    op = "add" if adds else "remove"
    stale = was.late_op is not None and (was.late_op != "add" or was.again is not None or was.fingerprint != payload)
    match told.fate:
        case Fate.ACCEPTED | Fate.NOOP if adds:
            again = "add" if stale else None
            there = replace(was, pid=told.row.pid, state="present", fingerprint=payload, again=again)
            return replace(there, refused=None, attempts=0, retry_at=None)
        case Fate.ACCEPTED | Fate.NOOP:
            if was.late_op not in {None, "remove"}:
                return replace(was, state="possible", attempts=0, again="remove")
            return replace(was, state="absent", fingerprint=None, attempts=0, again=None)
        case Fate.UNKNOWN | Fate.SUBMITTED:
            late_until, late_op = was.late_until, was.late_op
            lands = max(told.at + in_flight, told.until or told.at)
            late_until = max(late_until or told.at, lands)
            late_op = op if late_op in {None, op} else "any"
            again = "add" if adds and stale else None
            state = was.state if not adds and was.fingerprint is None else "possible"
            changed = replace(was, state=state, late_until=late_until, late_op=late_op, again=again)
            sent = replace(changed, pid=told.row.pid, fingerprint=payload, refused=None, retry_at=None)
            return sent if adds else changed
        case Fate.REJECTED if adds:
            state = was.state if was.fingerprint is not None else "rejected"
            retry_at = told.at + RESTS[was.attempts] if was.attempts < len(RESTS) else None
            tried = replace(was, attempts=was.attempts + 1, retry_at=retry_at)
            return replace(tried, pid=told.row.pid, state=state, refused=payload)
        case Fate.SUPPRESSED if adds:
            return replace(was, pid=told.row.pid, state="suppressed")
        case Fate.REJECTED | Fate.SUPPRESSED:
            return was
    return None


def swap(held: Ledger, sent: set[str], now: datetime, *, made: bool) -> None:
    """The vendor took a snapshot of these keys as the whole audience, or may have: whoever else is gone, or may be."""
    for key, one in list(held.items()):
        if key in sent or one.fingerprint is None:
            continue
        if not made or (one.late_until is not None and one.late_until > now):
            held[key] = replace(one, state="possible" if one.state == "present" else one.state)
        elif one.refused is not None or one.state == "suppressed":
            state = "suppressed" if one.state == "suppressed" else "rejected"
            held[key] = replace(one, state=state, fingerprint=None, late_until=None, late_op=None, again=None)
        else:
            del held[key]


def end(held: Ledger, rows: Counter[Row], request: PlanRequest, now: datetime) -> None:
    """What is forgotten when a run has ended."""
    in_plan = {key for _, key, op, _ in rows if op not in {"unchanged", Op.REMOVE}}
    whole = request.scope in {Scope.ALL, Scope.RETRY_REJECTED, Scope.FULL}
    for key, one in list(held.items()):
        gone = one.state == "absent" and one.late_until is not None and one.late_until <= now
        if gone or (whole and one.state == "rejected" and key not in in_plan):
            del held[key]
