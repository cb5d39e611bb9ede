"""The set operations agree with a naive planner and settler, over whole histories of random worlds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import md5
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hub.core.delivery.messages import OpenJob, Verdict
from hub.core.delivery.rows import Row, Stretch
from hub.core.planning import RESTS, Fate, Op, PlanRequest, PlanSummary, Swap
from hub.core.records import Lens, SyncMode
from hub.core.scopes import Scope
from hub.warehouse.basis import note_changed_people
from hub.warehouse.fingerprint import mapping
from hub.warehouse.outcomes import append_outcomes, progress, withheld
from hub.warehouse.payload import read_people
from hub.warehouse.plan import make_plan, preview_plan
from hub.warehouse.settle import fold_so_far, settle
from tests.searching import search
from tests.warehouse import planning_model as model
from tests.warehouse.planes import RUNS, empty, naive, open_plane, write_world
from tests.warehouse.planning_model import Held, Ledger, Profile, World

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
IN_FLIGHT = timedelta(hours=2)
JOB = timedelta(hours=5)
PIDS = range(1, 7)
# The last two are one for whoever leaves out the dots.
EMAILS = ["a@example.com", "b@example.com", "ab@gmail.com", "a.b@gmail.com"]
FIELDS = (("EMAIL", "t_email"), ("LTV", "t_ltv"))

emails = st.none() | st.sampled_from(EMAILS)
profiles = st.builds(Profile, emails, st.sampled_from([None, 1.5, 2.5]), st.sets(st.sampled_from(EMAILS), max_size=1))
ends = st.sampled_from([None, None, None, False, 3, 30])
worlds = st.builds(
    lambda people, members, consents: World(
        people, members, {who: START + end * HOUR if end else end for who, end in consents.items()}
    ),
    st.dictionaries(st.sampled_from(PIDS), profiles, min_size=2),
    st.sets(st.sampled_from(PIDS)),
    st.fixed_dictionaries({(pid, purpose): ends for pid in PIDS for purpose in ("ads", "news")}),
)
other = st.sampled_from([0, 0, 0, 1])
open_ends = st.lists(st.tuples(st.sampled_from([Fate.UNKNOWN, Fate.RETRY]), other), max_size=2)
# Nothing follows a final fate within a run.
lines = st.builds(
    lambda first, last: [*first, *last],
    open_ends,
    st.lists(st.tuples(st.sampled_from(sorted(set(Fate) - {Fate.SUBMITTED})), other), max_size=1),
)
# Who is in a job of the vendor's stays there, whatever becomes of it.
in_jobs = st.builds(
    lambda before, last: [*before, (Fate.SUBMITTED, 0), *((fate, 0) for fate in last)],
    open_ends,
    st.lists(st.sampled_from(sorted(set(Fate) - {Fate.SUBMITTED, Fate.WITHHELD})), max_size=1),
)
scopes = st.sampled_from([Scope.ALL] * 5 + [Scope.RETRY_REJECTED, Scope.FULL, Scope.FULL, Scope.WITHDRAWN, Scope.EMPTY])
rounds = st.fixed_dictionaries(
    {
        "world": worlds,
        "scope": scopes,
        "resend": st.sampled_from([False, False, True]),
        "share": st.sampled_from([1.0, 1.0, 0.6, 0.25]),
        "hours": st.sampled_from([0, 0, 1, 1, 2, 3, 24, 72]),
        "lines": st.lists(lines | in_jobs, max_size=8) | st.just([[(Fate.ACCEPTED, 0)]] * 8),
        "folds": st.booleans(),
        # How long before the settling the destination said all this.
        "lag": st.sampled_from([0, 0, 1, 3, 6]),
        "swap": st.sampled_from([Swap.MADE, Swap.MADE, Swap.DOUBTED, None]),
    }
)
syncs = st.tuples(
    st.sampled_from(["email", "email", "external_id", "every email"]),
    st.sampled_from([("ads",), ("ads", "news")]),
    st.sampled_from([SyncMode.MIRROR, SyncMode.MIRROR, SyncMode.ADD_ONLY, SyncMode.REMOVE_ONLY, SyncMode.REPLACE]),
    st.sampled_from([(), (), (("adUserData", "news"),)]),
)
# How often in a row somebody had been refused before the first round, with the values of then: a long history in short.
pasts = st.dictionaries(st.sampled_from(PIDS), st.integers(1, len(RESTS) + 1))


@pytest.fixture(scope="module", params=["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    with open_plane(request.param) as plane:
        yield plane


def request_of(
    key: str, purposes: tuple[str, ...], mode: SyncMode, signals: tuple[tuple[str, str], ...] = ()
) -> PlanRequest:
    asked = PlanRequest(0, 1, 1, Lens.LIVE, purposes, mode, key, FIELDS, Scope.ALL, START, audience="vip")
    every = (("email", "google.email"),) if key == "every email" else ()
    return replace(asked, identifiers=every, signals=signals)


def printed(request: PlanRequest, payload: Any) -> str | None:
    """The fingerprint that the engine gives a payload."""
    if payload is None or payload == model.NOBODYS:
        return payload  # type: ignore[no-any-return]
    said = [str(value).lower() if isinstance(value, bool) else value for value in payload]
    texts = "".join("\x1f" + ("\x1e" if value is None else str(value)) for value in said)
    return md5((mapping(request) + texts).encode()).hexdigest()


@given(sync=syncs, world=worlds, hours=st.sampled_from([0, 1, 24]))
@search(12, suppress_health_check=list(HealthCheck))
def test_what_the_plan_says_of_people_is_what_a_look_at_everybody_says_while_nothing_has_changed(
    engine: Any, sync: Any, world: World, hours: int
) -> None:
    empty(engine, *RUNS)
    write_world(engine, world, START)
    request = replace(request_of(*sync), run=1, now=START + hours * HOUR)
    make_plan(engine, request)
    as_planned = read_people(engine, request, 0, 100)
    with engine.write() as tx:
        note_changed_people(tx)
    anew = read_people(engine, request, 0, 100)
    assert as_planned.rows == anew.rows
    assert as_planned.lines == anew.lines


@given(sync=syncs, past=pasts, told=st.lists(rounds, min_size=1, max_size=4))
@search(12, suppress_health_check=list(HealthCheck))
def test_the_sets_say_what_one_at_a_time_says(
    engine: Any, sync: Any, past: dict[int, int], told: list[dict[str, Any]]
) -> None:
    empty(engine, *RUNS)
    now = START
    request = request_of(*sync)
    held = refused_before(engine, told[0]["world"], past, request)
    for run, turn in enumerate(told, 1):
        now += turn["hours"] * HOUR
        write_world(engine, turn["world"], START)
        request = replace(request, run=run, scope=turn["scope"], resend=turn["resend"], now=now)
        request = replace(request, rollout_share=turn["share"])
        held = play(
            engine, turn["world"], held, request, turn["lines"], folds=turn["folds"], swap=turn["swap"], lag=turn["lag"]
        )
    world = told[-1]["world"]
    if not any(one.late_until for one in held.values()):
        quiet(engine, world, held, replace(request, run=len(told) + 1, scope=Scope.ALL, resend=False))


def refused_before(engine: Any, world: World, past: dict[int, int], request: PlanRequest) -> Ledger:
    held: Ledger = {}
    for pid, times in past.items():
        key = world.keys(pid, request)[0] if pid in world.profiles else None
        if key is not None and key not in held:
            retry_at = START + RESTS[times - 1] if times <= len(RESTS) else None
            held[key] = Held(pid, "rejected", refused=world.payload(pid, request), attempts=times, retry_at=retry_at)
            write_refused(engine, key, held[key], request)
    return held


def write_refused(engine: Any, key: str, one: Held, request: PlanRequest) -> None:
    who = {"key": key, "pid": one.pid, "id": f"p{one.pid}", "at": naive(START), "attempts": one.attempts}
    with engine.write() as tx:
        tx.execute(_REFUSED, {**who, "refused": printed(request, one.refused), "retry_at": naive(one.retry_at)})


_REFUSED = (
    'INSERT INTO delivered (sync, audience, key, pid, external_id, refused, state, attempts, "at", run, retry_at) '
    "VALUES (1, 'vip', $key, $pid, $id, $refused, 'rejected', $attempts, $at, 0, $retry_at)"
)


def play(
    engine: Any,
    world: World,
    held: Ledger,
    request: PlanRequest,
    told: list[Any],
    *,
    folds: bool = False,
    swap: Swap | None = Swap.MADE,
    lag: int = 0,
) -> Ledger:
    said_at = request.now - lag * HOUR
    rows = model.plan(world, held, request, told_before(engine))
    preview = preview_plan(engine, request, sample=100)
    summary = make_plan(engine, request)
    assert summary == preview.summary
    assert written(engine, request.run) == Counter({row: n for row, n in rows.items() if row[2] != "unchanged"})
    check_summary(summary, rows, held, world, request)
    assert make_plan(engine, request) == summary
    reading = read_people(engine, request, 0, 100)
    people = reading.rows
    for person in people:
        if person.op.adds:
            email, ltv, *agreed = payload = world.payload(person.pid, request)
            assert person.allowed and person.person.fields == {"EMAIL": email, "LTV": ltv}
            assert list(person.person.signals.values()) == agreed
            assert person.fingerprint == printed(request, payload)
    after = deepcopy(held)
    tally: dict[tuple[Op, Fate], int] = {}
    sent: set[str] = set()
    folded: set[str] = set()
    for at, (person, fates) in enumerate(zip(people, told, strict=False)):
        for attempt, (fate, other) in enumerate(fates, 1):
            payload = world.payload(person.pid, request) if person.op.adds else None
            payload = ("other", *payload[1:]) if other and payload else payload
            row = Row(person.position, person.pid, person.key, person.op, printed(request, payload) or "")
            # Nobody has gone unanswered in a stretch, so the people of one are told about in few words.
            rows_told = (row,) if other or fates[0][0] is not Fate.ACCEPTED else Stretch(reading, at, at + 1)
            job = job_of(at, fates[:attempt], said_at)
            append_outcomes(engine, request.run, [Verdict(rows_told, attempt, fate, "NO_CONSENT", job=job)], said_at)
            since = said_at if job and fate is not Fate.SUBMITTED else None
            about = {"until": job and job.until, "since": since, "beside": request.scope is Scope.WITHDRAWN}
            folded |= model.fold(after, model.Told(row, fate, said_at, payload, **about), IN_FLIGHT)
            if folds:
                model.tidy(after, folded, request.now)
                folded.clear()
                fold_so_far(engine, request, now=request.now, in_flight_s=IN_FLIGHT.total_seconds())
            reached = person.op.adds and fate in {Fate.ACCEPTED, Fate.NOOP, Fate.UNKNOWN, Fate.SUBMITTED}
            sent |= {person.key} if reached else set()
        if fates and fates[-1][0] is Fate.SUBMITTED:
            # Nobody asks after it any more.
            left = model.Told(row, Fate.UNKNOWN, request.now, payload, **{**about, "since": said_at})
            folded |= model.fold(after, left, IN_FLIGHT)
        if fates:
            tally[person.op, fates[-1][0]] = tally.get((person.op, fates[-1][0]), 0) + 1
    model.tidy(after, folded, request.now)
    if request.is_snapshot and swap:
        model.swap(after, sent, request.now, made=swap is Swap.MADE)
    model.end(after, rows, request, request.now)
    check_settled(engine, request, after, tally, swap if request.is_snapshot else None)
    return after


def told_before(engine: Any) -> dict[str, int]:
    """Whom the plans that are still kept had a word about, the newest one counting."""
    sql = 'SELECT key, pid FROM plan WHERE "position" IS NOT NULL ORDER BY run'
    return dict(engine.rows(sql))


def job_of(at: int, fates: list[tuple[Fate, int]], said_at: datetime) -> OpenJob | None:
    return OpenJob(f"job {at}", said_at + JOB) if Fate.SUBMITTED in dict(fates) else None


def check_summary(
    summary: PlanSummary, rows: Counter[model.Row], held: Ledger, world: World, request: PlanRequest
) -> None:
    def total(op: str, reason: str | None = None) -> int:
        return sum(n for (_, _, kind, why), n in rows.items() if kind == op and reason in {None, why})

    assert summary.balanced
    whole = request.scope in {Scope.ALL, Scope.RETRY_REJECTED, Scope.FULL}
    members = world.members & world.profiles.keys() if whole else set()
    assert summary.members == sum(len(world.keys(pid, request)) for pid in members)
    assert (summary.to_add, summary.to_update, summary.to_keep) == (total("add"), total("update"), total("keep"))
    assert (summary.unchanged, summary.rejected) == (total("unchanged"), total("rejected"))
    assert (summary.leavers, summary.moved) == (total("remove"), total("remove", "moved"))
    assert (summary.withdrawn, summary.swept) == (total("remove", "withdrawn"), total("remove", "swept"))
    assert summary.delivered_before == sum(one.fingerprint is not None for one in held.values())


def check_settled(
    engine: Any, request: PlanRequest, after: Ledger, tally: dict[tuple[Op, Fate], int], swap: Swap | None
) -> None:
    as_told: dict[str, Any] = {"now": request.now, "in_flight_s": IN_FLIGHT.total_seconds(), "swap": swap}
    counts = settle(engine, request, **as_told)
    assert counts.balanced
    assert counts == settle(engine, request, **as_told)
    assert counts == progress(engine, request.run)
    done = (Fate.ACCEPTED, Fate.NOOP)
    assert counts.added == sum(tally.get((Op.ADD, fate), 0) for fate in done)
    assert counts.removed == sum(tally.get((Op.REMOVE, fate), 0) for fate in done)
    assert counts.withheld == sum(withheld(engine, request.run).values())
    assert delivered(engine) == {key: in_text(one, request) for key, one in after.items()}


def quiet(engine: Any, world: World, held: Ledger, request: PlanRequest) -> None:
    """Law L4: where all is accepted, what is delivered is what is wanted."""
    accepted = [[(Fate.ACCEPTED, 0)]] * 30
    after = play(engine, world, held, request, accepted)
    again = replace(request, run=request.run + 1)
    assert not [row for row in model.plan(world, after, again) if row[2] in {"add", "update", "remove"}]
    if request.mode in {SyncMode.MIRROR, SyncMode.REPLACE}:
        wanted = {key for _, key, op, _ in model.plan(world, {}, again) if op == "add"}
        there = {key for key, one in after.items() if one.fingerprint is not None}
        assert there == wanted - {key for key, one in after.items() if one.state in {"suppressed", "rejected"}}


def written(engine: Any, run: int) -> Counter[model.Row]:
    rows = engine.rows('SELECT pid, key, op, reason, "position" FROM plan WHERE run = $run', {"run": run})
    positions = sorted(position for *_, position in rows if position is not None)
    assert positions == list(range(1, len(positions) + 1))
    return Counter(tuple(row[:4]) for row in rows)


def in_text(one: Held, request: PlanRequest) -> tuple[Any, ...]:
    prints = printed(request, one.fingerprint), printed(request, one.refused)
    late = naive(one.late_until), one.late_op, one.again, naive(one.retry_at)
    job = one.job and (one.job.op, printed(request, one.job.payload), naive(one.job.until))
    return (
        one.pid,
        one.state,
        *prints,
        one.attempts,
        *late,
        *(job or (None,) * 3),
        one.leaving and naive(one.leaving.until),
    )


def delivered(engine: Any) -> dict[str, tuple[Any, ...]]:
    columns = (
        "key, pid, state, fingerprint, refused, attempts, late_until, late_op, again, retry_at, "
        "job_op, job_fingerprint, job_until, leaving_until"
    )
    return {key: tuple(rest) for key, *rest in engine.rows(f"SELECT {columns} FROM delivered")}
