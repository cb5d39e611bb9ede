"""What an audit settles agrees with a naive one, over random worlds, ledgers and lists, on both engines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hub.core.planning import PlanRequest
from hub.core.records import Lens, SyncMode
from hub.core.scopes import Scope
from hub.sdk.contract import ListedAs
from hub.warehouse import audit
from hub.warehouse.audit import FOUND_THERE, NOT_LISTED, Listing
from tests.searching import search
from tests.warehouse.planes import RUNS, empty, naive, open_plane, write_world
from tests.warehouse.planning_model import Held, Ledger, World
from tests.warehouse.test_plan_model import EMAILS, PIDS, START, worlds

HOUR = timedelta(hours=1)
NOW = START + 5 * HOUR
FIGURES = ("members", "expected", "missing", "strangers", "unwanted", "confirmed", "refuted", "unknown_to_us")

instants = st.sampled_from([None, None, None, START, NOW, NOW + HOUR])
there = st.builds(
    Held,
    st.sampled_from(PIDS),
    st.sampled_from(["present", "present", "possible", "possible", "suppressed"]),
    fingerprint=st.just("held"),
    refused=st.sampled_from([None, None, "refused"]),
    late_until=instants,
    again=st.sampled_from([None, None, None, "add", "remove"]),
)
elsewhere = st.builds(
    Held,
    st.sampled_from(PIDS),
    st.sampled_from(["rejected", "suppressed", "absent"]),
    refused=st.sampled_from([None, "refused"]),
    late_until=instants,
)
keys = st.sampled_from([*EMAILS, *(f"p{pid}" for pid in PIDS)])
names = st.sets(keys | st.sampled_from(["nobody@example.com", "p99"]))
# Reasons and times beside what the planner's model knows of a row.
marks = st.tuples(st.sampled_from([None, NOT_LISTED]), st.sampled_from([START, START, START, NOW + HOUR]))


@pytest.fixture(scope="module", params=["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    with open_plane(request.param) as plane:
        yield plane


@given(
    world=worlds,
    sync=st.tuples(
        st.sampled_from(["email", "external_id"]),
        st.sampled_from([("ads",), ("ads", "news")]),
        st.sampled_from([SyncMode.MIRROR, SyncMode.ADD_ONLY, SyncMode.REPLACE]),
    ),
    held=st.dictionaries(keys, there | elsewhere, max_size=6),
    marked=st.dictionaries(keys, marks),
    listed=names,
    listed_as=st.sampled_from(ListedAs),
    steady=st.sampled_from([True, True, False]),
    fields=st.sampled_from([(), (("LTV", "t_ltv"),)]),
)
@search(25, suppress_health_check=list(HealthCheck))
def test_the_sets_find_what_one_at_a_time_finds(
    engine: Any, world: World, sync: Any, held: Ledger, marked: dict[str, Any], listed: set[str], **how: Any
) -> None:
    empty(engine, *RUNS, *audit.TABLES)
    write_world(engine, world, START)
    key, purposes, mode = sync
    request = PlanRequest(7, 1, 1, Lens.LIVE, purposes, mode, key, how["fields"], Scope.AUDIT, NOW, audience="vip")
    marked = {name: marked.get(name, (None, START)) for name in held}
    for name, one in held.items():
        write(engine, name, one, *marked[name])
    figures, after, people = find(world, held, marked, listed, request, steady=how["steady"])

    audit.begin(engine, 1)
    for some in (list(listed), list(listed)[:2]):
        audit.sight(engine, 1, 7, [how["listed_as"].called(name) for name in some], "salt")
    assert audit.sighted(engine, 7) == len(listed)
    found = audit.compare(engine, request, Listing("salt", how["listed_as"], NOW, how["steady"]), NOW)

    assert {name: getattr(found, name) for name in FIGURES if name != "unwanted"} == figures
    assert delivered(engine) == after
    kinds = {kind: {pid for pid, one in drift(engine) if one == kind} for kind in people}
    assert kinds == people
    assert found.unwanted is not None and found.strangers is not None and found.unwanted <= found.strangers
    assert found == audit.compare(engine, request, Listing("other", how["listed_as"], NOW), NOW + HOUR)
    assert not engine.rows("SELECT 1 FROM sightings")
    plan_for_strangers(engine, world, listed, held, request, found.unwanted)


def plan_for_strangers(
    engine: Any, world: World, listed: set[str], held: Ledger, request: PlanRequest, unwanted: int
) -> None:
    """Those unwanted are the strangers whom the next plan removes; whoever may not be sent is among them."""
    ledger = {name: Held(row[0], row[1], row[2]) for name, row in delivered(engine).items()}
    strangers = {name for name in listed if name in ledger and ledger[name].state == "possible"}
    strangers = {name for name in strangers if name not in held or held[name].fingerprint is None}
    for name in strangers:
        # Where nobody holds the name any more, it stands for whom the ledger has it of.
        whose = world.holders(name, request) or {ledger[name].pid}
        if any(world.until(pid, request) is False for pid in whose):
            assert name in {key for (key,) in unwanted_keys(engine, request)}
    assert unwanted <= len(listed)


def unwanted_keys(engine: Any, request: PlanRequest) -> list[tuple[str]]:
    from hub.warehouse.decision import decision

    sql, params = decision(engine, replace(request, scope=Scope.ALL))
    return engine.rows(f"SELECT key FROM ({sql}) d WHERE op = 'remove'", params)  # type: ignore[no-any-return]


def find(
    world: World, held: Ledger, marked: dict[str, Any], listed: set[str], request: PlanRequest, *, steady: bool
) -> tuple[dict[str, int], dict[str, Any], dict[str, set[int]]]:
    after: dict[str, Any] = {}
    people: dict[str, set[int]] = {kind: set() for kind in ("MISSING", "STRANGER", "CONFIRMED", "REFUTED")}
    counts = dict.fromkeys(people, 0)
    expected = 0
    for key, one in held.items():
        reason, at = marked[key]
        acknowledged = one.state == "present" or (one.state == "possible" and reason == NOT_LISTED)
        expected += acknowledged
        kind = judge(one, key in listed, acknowledged=acknowledged, changed=at > NOW, steady=steady)
        if kind:
            counts[kind] += 1
            people[kind].add(one.pid)
        row = changed(one, kind, reason, request)
        if row:
            after[key] = row
    unknown = 0
    for key in listed - held.keys():
        holders = world.holders(key, request)
        if holders:
            counts["STRANGER"] += 1
            people["STRANGER"].add(min(holders))
            after[key] = (min(holders), "possible", "", None, FOUND_THERE, None, None)
        else:
            unknown += 1
    figures = {"members": len(listed), "expected": expected, "missing": counts["MISSING"]}
    figures |= {"strangers": counts["STRANGER"], "confirmed": counts["CONFIRMED"], "refuted": counts["REFUTED"]}
    return {**figures, "unknown_to_us": unknown}, after, people


def judge(one: Held, listed: bool, *, acknowledged: bool, changed: bool, steady: bool) -> str | None:
    if one.again or changed or (one.late_until and one.late_until > NOW):
        return None
    if one.fingerprint is None:
        return "STRANGER" if listed else None
    if acknowledged:
        return ("CONFIRMED" if one.state == "possible" else None) if listed else "MISSING"
    if one.state == "possible":
        return "CONFIRMED" if listed else ("REFUTED" if steady else None)
    return None


def changed(one: Held, kind: str | None, reason: str | None, request: PlanRequest) -> Any:
    """The row after the audit; None where it is gone."""
    row = (one.pid, one.state, one.fingerprint, one.refused, reason, naive(one.late_until), one.again)
    match kind:
        case "MISSING":
            return (one.pid, "possible", one.fingerprint, one.refused, NOT_LISTED, *row[5:])
        case "CONFIRMED":
            return (one.pid, "present", "" if request.fields else one.fingerprint, one.refused, None, None, None)
        case "STRANGER":
            state = "suppressed" if one.state == "suppressed" else "possible"
            return (one.pid, state, "", one.refused, reason if one.refused else FOUND_THERE, None, None)
        case "REFUTED":
            return (one.pid, "rejected", None, one.refused, reason, None, None) if one.refused else None
    return row


def write(engine: Any, key: str, one: Held, reason: str | None, at: datetime) -> None:
    values = {"key": key, "pid": one.pid, "id": f"p{one.pid}", "state": one.state, "print": one.fingerprint}
    values |= {"refused": one.refused, "reason": reason, "at": naive(at), "again": one.again}
    with engine.write() as tx:
        tx.execute(_WRITE, {**values, "until": naive(one.late_until)})


_WRITE = (
    "INSERT INTO delivered (sync, audience, key, pid, external_id, fingerprint, refused, state, reason, attempts, "
    '"at", run, late_until, again) VALUES '
    "(1, 'vip', $key, $pid, $id, $print, $refused, $state, $reason, 0, $at, 1, $until, $again)"
)


def delivered(engine: Any) -> dict[str, Any]:
    columns = "key, pid, state, fingerprint, refused, reason, late_until, again"
    return {key: tuple(rest) for key, *rest in engine.rows(f"SELECT {columns} FROM delivered")}


def drift(engine: Any) -> list[tuple[int, str]]:
    return engine.rows("SELECT pid, kind FROM drift WHERE run = 7")  # type: ignore[no-any-return]


def test_where_the_vendor_only_counts_nobody_is_judged(engine: Any) -> None:
    empty(engine, *RUNS, *audit.TABLES)
    write(engine, "p1", Held(1, "present", "x"), None, START)
    write(engine, "p2", Held(2, "possible", "x"), None, START)
    request = PlanRequest(
        8, 1, 1, Lens.LIVE, ("ads",), SyncMode.MIRROR, "external_id", (), Scope.AUDIT, NOW, audience="vip"
    )
    before = delivered(engine)
    found = audit.count_only(engine, request, 5, START, NOW)
    assert (found.members, found.expected, found.missing, found.drift) == (5, 1, None, 4)
    assert delivered(engine) == before and audit.newest_of(engine, 1) == found
    assert found.ended_at == NOW and found.began_at.tzinfo is UTC


def test_a_deleted_sync_leaves_nothing_of_its_audits(engine: Any) -> None:
    audit.sight(engine, 1, 9, ["a"], "salt")
    audit.forget(engine, 1)
    assert audit.newest_of(engine, 1) is None and not audit.sighted(engine, 9) and not drift(engine)
