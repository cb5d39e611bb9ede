"""The laws, checked on what the destination received and said, what the hub logged, and what people had allowed.

Nothing of the machine, the planner or the settler is asked: who is wanted is worked out here a second time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from hub.core.delivery.messages import Ended
from hub.core.planning import RESTS, Fate
from tests.simulation.course import LONGEST_READING_S, Line, Run
from tests.simulation.rim import Hub
from tests.simulation.town import Clock, Town
from tests.simulation.vendors import Request, Said, Vendor, Word

TAKEN = frozenset({Fate.ACCEPTED, Fate.NOOP})
MEANS = {
    Fate.ACCEPTED: Word.TAKEN,
    Fate.NOOP: Word.TAKEN,
    Fate.REJECTED: Word.REFUSED,
    Fate.SUPPRESSED: Word.SUPPRESSED,
}


def violations(hub: Hub) -> Iterator[str]:
    """What went against a law, in words."""
    for check in CHECKS:
        yield from check(hub)


# Consent (L3).


def _allowed_at(town: Town, clock: Clock, key: str, at: float) -> bool:
    """Whether everybody known by this key could be sent at this moment, by the hub's clock."""
    holders = {link.pid for link in town.links if link.key == key and link.at <= at}
    said = {entry.pid: entry.until for entry in town.entries if entry.at <= at}
    ends = [said.get(pid, False) for pid in holders]
    return bool(holders) and all(end is None or (end is not False and end > clock.wall(at)) for end in ends)


def sent_without_consent(hub: Hub) -> Iterator[str]:
    """Somebody who at no moment of the reading before the request could be sent. Whoever waited read too early."""
    for request in hub.vendor.requests:
        for one in request.said:
            if one.adds and not _allowed_before(hub, one.key, request.at):
                yield f"L3: {one.key} was sent at {request.at:.2f} without consent"


def _allowed_before(hub: Hub, key: str, at: float) -> bool:
    since = at - LONGEST_READING_S - 0.001
    changes = [one.at for one in (*hub.town.entries, *hub.town.links)] + [step for step, _ in hub.clock.steps]
    moments = [since, *(moment for moment in changes if since < moment <= at)]
    return any(_allowed_at(hub.town, hub.clock, key, moment) for moment in moments)


# One at a time (L7), and no more at once than the limits say.


def two_in_flight(hub: Hub) -> Iterator[str]:
    busy: dict[str, float] = {}
    for request in hub.vendor.requests:
        for one in request.said:
            if busy.get(one.key, -1.0) > request.at:
                yield f"L7: two operations in flight for {one.key} at {request.at:.2f}"
            busy[one.key] = request.at if request.ended is None else request.ended
        if len({one.key for one in request.said}) < len(request.said):
            yield f"L7: a request at {request.at:.2f} names somebody twice"
    for course in hub.all_courses:
        if course.most_at_once > hub.limits.concurrency:
            yield f"{course.most_at_once} requests at once, {hub.limits.concurrency} allowed"


# The log (L1, L5).


def not_one_fate(hub: Hub) -> Iterator[str]:
    """A second word after a final one, or, in a run that completed, none at all."""
    for run in hub.runs:
        done: set[int] = set()
        for line in run.lines:
            if line.row.position in done:
                yield f"L5: a word on {line.row.key} after the final one, in run {run.number}"
            if line.fate.final:
                done.add(line.row.position)
        told = {line.row.position for line in run.lines}
        for position, fate in run.latest().items() if run.ended else ():
            if fate is Fate.SUBMITTED:
                yield f"L5: nobody asked what became of the job with {run.rows[position - 1].key} in run {run.number}"
        completed = run.finish is not None and run.finish.ended is Ended.COMPLETED
        for row in run.rows if completed else ():
            if row.position not in told:
                yield f"L5: nothing is known of {row.key} although run {run.number} completed"


def sent_again(hub: Hub) -> Iterator[str]:
    """Whoever the hub knows to be in a job is not sent once more in that run, whatever becomes of it."""
    requests = _by_run_and_key(hub.vendor)
    for run in hub.runs:
        for line in run.lines:
            if line.fate is Fate.SUBMITTED and any(
                request.at > line.at for request in requests[run.number, line.row.key]
            ):
                yield f"{line.row.key} was sent again in run {run.number}, although in a job since {line.at:.2f}"


def made_up(hub: Hub) -> Iterator[str]:
    """A fate that the destination has never told: above all a failed row that counts as accepted."""
    requests = _by_run_and_key(hub.vendor)
    for run in hub.runs:
        for line in run.lines:
            word = MEANS.get(line.fate)
            if word and not any(_told(request, line, word) for request in requests[run.number, line.row.key]):
                yield f"{line.row.key} counts as {line.fate} in run {run.number}: the destination never said so"
            if line.fate is Fate.WITHHELD and not line.row.op.adds:
                yield f"a remove of {line.row.key} was withheld"


def _told(request: Request, line: Line, word: Word) -> bool:
    known = max(request.ended or 0.0, request.told)
    return request.answered and known <= line.at and request.words.get(line.row.key) is word


def forgotten(hub: Hub) -> Iterator[str]:
    """Whoever may have reached the vendor, without a certain word, is logged as unknown. A word that came is logged,
    or, if the process died first, unknown is."""
    runs = {run.number: run for run in hub.runs}
    for request in hub.vendor.requests:
        for one in request.said if request.arrived else ():
            if not _accounted_for(runs[request.run], request, one):
                yield f"{one.key} may have been reached at {request.at:.2f} in run {request.run}: nobody knows"


def _accounted_for(run: Run, request: Request, one: Said) -> bool:
    fates = {line.fate for line in run.lines if line.row.key == one.key and line.at >= request.at}
    word = request.words.get(one.key) if request.answered else None
    if word is Word.AGAIN:
        return True
    return Fate.UNKNOWN in fates or any(MEANS.get(fate) is word for fate in fates if word)


def _by_run_and_key(vendor: Vendor) -> defaultdict[tuple[int, str], list[Request]]:
    found: defaultdict[tuple[int, str], list[Request]] = defaultdict(list)
    for request in vendor.requests:
        for one in request.said:
            found[request.run, one.key].append(request)
    return found


# After quiet (L2, L4).


def unfinished(hub: Hub) -> Iterator[str]:
    for run in hub.active.values():
        yield f"run {run.number} never ends"
    if hub.queued:
        yield "a run never begins"


def not_as_desired(hub: Hub) -> Iterator[str]:
    """The destination holds whoever is wanted, as they are now, less those it refuses; and nobody else."""
    wanted, there = _wanted(hub), hub.vendor.there
    excused = _refused(hub)
    for key in sorted(there.keys() - wanted.keys()):
        yield f"L4: {key} is there and must not be"
    for key in sorted(wanted.keys() - excused):
        if key not in there:
            yield f"L4: {key} is wanted and is not there"
        elif there[key] != wanted[key]:
            yield f"L7: {key} is there as {there[key]}, not as {wanted[key]}"


def left_open(hub: Hub) -> Iterator[str]:
    """The hub's last word on everybody agrees with what is so. A vendor that names nobody may leave it open."""
    if not (hub.vendor.names_everybody or hub.vendor.healed):
        return
    wanted, excused, last = _wanted(hub), _refused(hub), _last_words(hub)
    for key in sorted(wanted.keys() - excused):
        if key not in last or last[key].fate not in TAKEN or not last[key].row.op.adds:
            yield f"L4: {key} is wanted, and the last word on them is {last.get(key)}"
    for key in sorted(last.keys() - wanted.keys()):
        line = last[key]
        if line.row.op.adds:
            yield f"L4: {key} is not wanted, and the last word on them is {line}"


def _wanted(hub: Hub) -> dict[str, str]:
    town, found = hub.town, dict[str, str]()
    for pid in sorted(town.people.members):
        one = town.people.profiles[pid]
        key = f"p{pid}" if town.key == "external_id" else one.email
        if key and key not in found and _allowed_at(town, hub.clock, key, hub.clock.now):
            found[key] = f"{one.email}|{one.ltv}"
    return found


def _refused(hub: Hub) -> set[str]:
    """Whom the destination does not take: unsubscribed, refused as they are now, or so often that they are let rest."""
    vendor, wanted = hub.vendor, _wanted(hub)
    bad = {key for key, payload in wanted.items() if vendor.bad(Said(key, True, payload))}
    tired = {key for key, times in vendor.refusals.items() if times > len(RESTS)}
    return bad | vendor.suppressed | tired


def _last_words(hub: Hub) -> dict[str, Line]:
    """The last words that say that somebody is there, may be, or is gone."""
    lines = [line for run in hub.runs for line in run.lines if line.fate in TAKEN or _may_be_there(line)]
    return {line.row.key: line for line in sorted(lines, key=lambda line: line.at)}


def _may_be_there(line: Line) -> bool:
    return line.fate is Fate.UNKNOWN and line.row.op.adds


CHECKS: tuple[Callable[[Hub], Iterator[str]], ...] = (
    sent_without_consent,
    two_in_flight,
    not_one_fate,
    sent_again,
    made_up,
    forgotten,
    unfinished,
    not_as_desired,
    left_open,
)
