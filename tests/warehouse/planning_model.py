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


NOBODYS = ""


class Job(NamedTuple):
    """One of the vendor's that is open: until when it may take effect, and the payload that it would add."""

    op: str
    until: datetime
    payload: object = None


@dataclass(frozen=True)
class Held:
    """What is known but for the jobs that are open: `job` is the ordinary run's, `leaving` that of the run beside it
    which removes withdrawn people; `said_beside`: that one has had the last word. See `standing`."""

    pid: int
    state: str
    fingerprint: object = None
    refused: object = None
    attempts: int = 0
    retry_at: datetime | None = None
    late_until: datetime | None = None
    late_op: str | None = None
    again: str | None = None
    job: Job | None = None
    leaving: Job | None = None
    said_beside: bool = False

    @property
    def jobs(self) -> list[Job]:
        return [job for job in (self.job, self.leaving) if job]


Ledger = dict[str, Held]
Row = tuple[int, str | None, str, str | None]


def standing(one: Held) -> Held:
    """As everybody must take it while jobs are open: whatever those may do may have been done."""
    adds = one.job is not None and one.job.op == "add"
    fingerprint = one.job.payload if one.job and adds else one.fingerprint
    doubted = one.jobs and fingerprint is not None and one.state != "suppressed"
    ends = [end for end in (one.late_until, *(job.until for job in one.jobs)) if end]
    state = "possible" if doubted else one.state
    return replace(one, state=state, fingerprint=fingerprint, late_until=max(ends, default=None))


def plan(world: World, held: Ledger, request: PlanRequest, told_before: dict[str, int] | None = None) -> Counter[Row]:
    """(pid, key, op, reason) of everybody, those unchanged included. `told_before`: whom, by key, the vendor was told
    about not long ago."""
    held = {key: standing(one) for key, one in held.items()}
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
    vendor's job that it is about, `since` when the vendor took that in; `beside` says that it is of the run that
    removes withdrawn people."""

    row: Planned
    fate: Fate
    at: datetime
    payload: Any
    until: datetime | None = None
    since: datetime | None = None
    beside: bool = False

    @property
    def op(self) -> str:
        return "add" if self.row.op.adds else "remove"


class Contrary(NamedTuple):
    """What else was under way, of the same kind or not, when an operation was begun: by requests that went unanswered,
    and by all that there is. `followed`: the word is on a job that was known to be open, `crossed`: and somebody
    else has said something since."""

    late: str | None
    any: str | None
    followed: bool
    crossed: bool


def fold(held: Ledger, told: Told, in_flight: timedelta) -> set[str]:
    """Take one line of the outcome log into the ledger, in place, and return whom it changed: to `tidy` at the end."""
    before = held.get(told.row.key)
    if before is None and not told.row.op.adds and told.fate not in {Fate.UNKNOWN, Fate.SUBMITTED}:
        return set()
    refused = told.row.op.adds and told.fate is not Fate.SUBMITTED
    was = before or Held(told.row.pid, "rejected" if refused else "absent")
    others = _others(was, told)
    if told.fate is Fate.SUBMITTED:
        after: Held | None = _begun(was, told, others, in_flight)
    else:
        after = _after(_without_job(was, told), told, others, in_flight)
    after = after and replace(after, said_beside=told.beside)
    if after is not None and (after.state != "absent" or after.late_until or after.jobs):
        held[told.row.key] = after
    elif after is not None:
        held.pop(told.row.key, None)
    return {told.row.key} if after is not None else set()


def tidy(held: Ledger, keys: Iterable[str], now: datetime) -> None:
    """Of those about whom something was folded, forget what can no longer land, unless something follows from it."""
    for key in set(keys) & held.keys():
        one = held[key]
        if one.late_until and one.late_until <= now and one.again is None and not one.jobs:
            held[key] = replace(one, late_until=None, late_op=None)
            if one.state == "absent":
                del held[key]


def _others(was: Held, told: Told) -> Contrary:
    begun = told.since or told.at
    late = was.late_op if was.late_until and was.late_until > begun else None
    other = was.job if told.beside else was.leaving
    job = other.op if other and other.until > begun else None
    own = was.leaving if told.beside else was.job
    crossed = own is not None and was.again is not None and was.said_beside is not told.beside
    return Contrary(late, _both(late, job), followed=own is not None, crossed=crossed)


def _both(one: str | None, other: str | None) -> str | None:
    return (one or other) if one is None or other is None or one == other else "any"


def _without_job(was: Held, told: Told) -> Held:
    """But for the job that this is the word on. What is late counts until nobody can need it any more: a job that is
    still open was perhaps begun before."""
    without = replace(was, leaving=None) if told.beside else replace(was, job=None)
    return _still_late(without, told.since or told.at)


def _still_late(was: Held, at: datetime) -> Held:
    gone = was.late_until is not None and was.late_until <= at
    return replace(was, late_until=None, late_op=None) if gone and not was.jobs else was


def _begun(was: Held, told: Told, others: Contrary, in_flight: timedelta) -> Held:
    """In a job from now on: nothing else is known than before. Whom it adds is no longer to be removed later, but might
    have to be at once; what comes late may then have other values."""
    was = _still_late(was, told.at)
    job = Job(told.op, max(told.at + in_flight, told.until or told.at), told.payload)
    again = was.again
    if told.row.op.adds and again == "remove":
        again = "add" if others.any else None
    begun = replace(was, pid=told.row.pid, again=again)
    return replace(begun, leaving=job) if told.beside else replace(begun, job=job)


def _stale(was: Held, told: Told, others: Contrary) -> bool:
    """Whether an add may be followed by another one, or by a remove, that was begun before it."""
    if others.any is None:
        return False
    return others.any != "add" or was.again is not None or was.fingerprint != told.payload


def _after(was: Held, told: Told, others: Contrary, in_flight: timedelta) -> Held | None:
    """None where nothing changes."""
    adds, payload = told.row.op.adds, told.payload
    was = replace(was, pid=told.row.pid)
    match told.fate:
        case Fate.ACCEPTED | Fate.NOOP if adds:
            again = "add" if others.crossed or _stale(was, told, others) else None
            there = replace(was, state="present", fingerprint=payload, again=again)
            return _due(replace(there, refused=None, attempts=0, retry_at=None), told)
        case Fate.ACCEPTED | Fate.NOOP:
            again = "remove" if others.crossed or others.any not in {None, "remove"} else None
            if others.crossed or others.late not in {None, "remove"}:
                return _due(replace(was, state="possible", attempts=0, again=again), told)
            gone = replace(was, state="absent", fingerprint=None, attempts=0, again=again)
            return _due(gone, told)
        case Fate.UNKNOWN:
            late_until = max(was.late_until or told.at, told.at + in_flight, told.until or told.at)
            again = "add" if adds and _stale(was, told, others) else None
            state = was.state if not adds and was.fingerprint is None else "possible"
            late_op = told.op if was.late_op in {None, told.op} else "any"
            changed = replace(was, state=state, late_until=late_until, late_op=late_op, again=again)
            sent = replace(changed, fingerprint=payload, refused=None, retry_at=None)
            return sent if adds else changed
    undone = others.followed and told.fate in {Fate.RETRY, Fate.WITHHELD}
    if not undone and told.fate not in {Fate.REJECTED, Fate.SUPPRESSED}:
        return None
    if adds and was.again == "add" and was.fingerprint is not None:
        # The add that was to be repeated is refused: what comes late may take them out, or has, or has other values.
        was = replace(was, state="possible", fingerprint=NOBODYS)
    again = was.again if others.any and not (adds and was.again == "add") else None
    was = replace(was, again=again)
    if adds and told.fate is Fate.SUPPRESSED:
        return replace(was, state="suppressed")
    return _refused(was, told) if adds and told.fate is Fate.REJECTED else was


def _refused(was: Held, told: Told) -> Held:
    state = was.state if was.fingerprint is not None else "rejected"
    retry_at = told.at + RESTS[was.attempts] if was.attempts < len(RESTS) else None
    tried = replace(was, attempts=was.attempts + 1, retry_at=retry_at)
    return replace(tried, state=state, refused=told.payload)


def _due(one: Held, told: Told) -> Held:
    """What is to be repeated though nothing can land any more is to be repeated at once."""
    at_once = one.again is not None and one.late_until is None and not one.jobs
    return replace(one, late_until=told.at) if at_once else one


def swap(held: Ledger, sent: set[str], now: datetime, *, made: bool) -> None:
    """The vendor took a snapshot of these keys as the whole audience, or may have: whoever else is gone, or may be."""
    for key, one in list(held.items()):
        if key in sent or one.fingerprint is None:
            continue
        if not made or one.leaving or (one.late_until is not None and one.late_until > now):
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
        gone = one.state == "absent" and one.late_until is not None and one.late_until <= now and not one.jobs
        if gone or (whole and one.state == "rejected" and key not in in_plan):
            del held[key]
