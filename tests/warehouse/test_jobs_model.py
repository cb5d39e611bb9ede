"""Two runs of a sync side by side, with jobs of the vendor's open in both, agree with one word at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hub.core.delivery.messages import OpenJob, Verdict
from hub.core.delivery.rows import Row
from hub.core.planning import Fate, Op
from hub.core.scopes import Scope
from hub.warehouse.outcomes import NEXT, append_outcomes
from hub.warehouse.settle import fold_so_far, settle
from tests.searching import search
from tests.warehouse import planning_model as model
from tests.warehouse.planes import RUNS, empty, naive, open_plane
from tests.warehouse.planning_model import Held, Ledger
from tests.warehouse.test_plan_model import in_jobs, lines
from tests.warehouse.town import ASKED, HOUR, NOW

IN_FLIGHT = timedelta(hours=2)
JOB = timedelta(hours=5)
KEYS = ("a", "b", "c")
ORDINARY, BESIDE = ASKED, replace(ASKED, run=2, scope=Scope.WITHDRAWN)

ops = st.sampled_from([Op.ADD, Op.ADD, Op.UPDATE, Op.REMOVE])
known = st.sampled_from(
    [
        None,
        Held(1, "present", "old"),
        Held(1, "present", "old", late_until=NOW + 3 * HOUR, late_op="remove", again="add"),
        Held(1, "possible", "old", late_until=NOW + 3 * HOUR, late_op="add"),
        Held(1, "possible", "old", late_until=NOW + 3 * HOUR, late_op="add", again="remove"),
        Held(1, "possible", "old", late_until=NOW + 3 * HOUR, late_op="any"),
        Held(1, "rejected", refused="old", attempts=1, retry_at=NOW),
        Held(1, "suppressed", "old"),
    ]
)
# More of those whose first word is that they are in a job.
words = lines | in_jobs | in_jobs
turns = st.tuples(
    st.sampled_from([ORDINARY, BESIDE]), st.sampled_from(KEYS), st.sampled_from([0, 0, 1, 1, 2, 3, 6]), st.booleans()
)


@pytest.fixture(scope="module", params=["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    with open_plane(request.param) as plane:
        yield plane


@given(
    before=st.fixed_dictionaries(dict.fromkeys(KEYS, known)),
    planned=st.fixed_dictionaries(dict.fromkeys(KEYS, ops)),
    said=st.fixed_dictionaries({(run, key): words for run in (1, 2) for key in KEYS}),
    told=st.lists(turns, min_size=4, max_size=24),
    last=st.permutations([ORDINARY, BESIDE]),
)
@search(60, suppress_health_check=list(HealthCheck))
def test_two_runs_side_by_side_say_what_one_word_at_a_time_says(
    engine: Any, before: dict[str, Held | None], planned: dict[str, Op], said: Any, told: Any, last: Any
) -> None:
    empty(engine, *RUNS)
    two = TwoRuns(engine, {key: one for key, one in before.items() if one}, planned)
    waiting = {who: list(fates) for who, fates in said.items()}
    for request, key, hours, folds in told:
        two.let_pass(hours * HOUR)
        if waiting[request.run, key]:
            two.tell(request, key, *waiting[request.run, key].pop(0))
        if folds:
            two.fold()
    for request in last:
        two.settle(request)


class TwoRuns:
    def __init__(self, engine: Any, held: Ledger, planned: dict[str, Op]) -> None:
        self.now = NOW
        self._engine = engine
        self._held = dict(held)
        self._ops = {1: planned, 2: dict.fromkeys(planned, Op.REMOVE)}
        self._jobs: dict[tuple[int, str], datetime] = {}
        self._latest: dict[tuple[int, str], model.Told] = {}
        with engine.write() as tx:
            for key, one in held.items():
                tx.execute(_HELD, {**_columns(one), "key": key})
            for request in (ORDINARY, BESIDE):
                _plan(tx, request.run, request.scope, self._ops[request.run])

    def let_pass(self, time: timedelta) -> None:
        """Of an attempt that went unanswered it is asked at once what it means; what a job's end means, at its end."""
        if time and any(one.fate in {Fate.UNKNOWN, Fate.RETRY} for one in self._latest.values()):
            self.fold()
        self.now += time

    def tell(self, request: Any, key: str, fate: Fate, other: int) -> None:
        who, op = (request.run, key), self._ops[request.run][key]
        fingerprint = ("other" if other else "new") if op.adds else ""
        row = Row(KEYS.index(key) + 1, 1, key, op, fingerprint)
        if fate is Fate.SUBMITTED:
            self._jobs[who] = self.now
        begun = self._jobs.get(who)
        job = OpenJob("job", begun + JOB) if begun else None
        if fate is Fate.ACCEPTED and not other:
            self._accept_as_planned(request.run, row.position)
        else:
            append_outcomes(self._engine, request.run, [Verdict((row,), 1, fate, "NO_CONSENT", job=job)], self.now)
        since = begun if fate is not Fate.SUBMITTED else None
        payload = fingerprint if op.adds else None
        self._take_in(model.Told(row, fate, self.now, payload, job and job.until, since, request is BESIDE), request)

    def _accept_as_planned(self, run: int, position: int) -> None:
        """In one line for neighbours, as it is for almost everybody."""
        with self._engine.write() as tx:
            line = {"run": run, "position": position, "at": naive(self.now)}
            tx.execute(f"INSERT INTO taken SELECT $run, $position, $position, 1, $at, 0, {NEXT}", line)

    def fold(self) -> None:
        fold_so_far(self._engine, ORDINARY, now=self.now, in_flight_s=IN_FLIGHT.total_seconds())
        self._agree()

    def settle(self, request: Any) -> None:
        for key in KEYS:
            last = self._latest.get((request.run, key))
            if last and last.fate is Fate.SUBMITTED:
                left = last._replace(fate=Fate.UNKNOWN, at=self.now, since=self._jobs[request.run, key])
                self._take_in(left, request)
        settle(self._engine, request, now=self.now, in_flight_s=IN_FLIGHT.total_seconds())
        rows = Counter((1, key, op.value, None) for key, op in self._ops[request.run].items())
        model.end(self._held, rows, request, self.now)
        self._agree()

    def _take_in(self, told: model.Told, request: Any) -> None:
        self._latest[request.run, told.row.key] = told
        model.fold(self._held, told, IN_FLIGHT)

    def _tidied(self, one: dict[str, Any]) -> dict[str, Any]:
        """What can no longer land may be forgotten at once or another time."""
        over = one["late_until"] and one["late_until"] <= naive(self.now)
        return one | {"late_until": None, "late_op": None} if over and _is_quiet(one) else one

    def _agree(self) -> None:
        model.tidy(self._held, list(self._held), self.now)
        rows = self._engine.rows(f"SELECT key, {', '.join(_COLUMNS)} FROM delivered")
        found = {key: self._tidied(dict(zip(_COLUMNS, rest, strict=True))) for key, *rest in rows}
        found = {key: one for key, one in found.items() if _counts(one)}
        expected = {key: _columns(one) for key, one in self._held.items()}
        assert found == expected, f"{found}\n{expected}"


_COLUMNS = ("state", "fingerprint", "refused", "attempts", "late_until", "late_op", "again", "retry_at",
            "job_op", "job_fingerprint", "job_until", "leaving_until")  # fmt: skip
_HELD = (
    'INSERT INTO delivered (sync, audience, key, pid, external_id, "at", run, ' + ", ".join(_COLUMNS) + ") "
    "VALUES (1, 'vip', $key, 1, 'p1', CAST('2026-01-01' AS TIMESTAMP), 0, "
    + ", ".join(f"${name}" for name in _COLUMNS)
    + ")"
)


def _is_quiet(one: dict[str, Any]) -> bool:
    return not (one["again"] or one["job_until"] or one["leaving_until"])


def _counts(one: dict[str, Any]) -> bool:
    return bool(one["state"] != "absent" or one["late_until"] or not _is_quiet(one))


def _columns(one: Held) -> dict[str, Any]:
    job = one.job or model.Job(None, None)  # type: ignore[arg-type]
    found = {name: getattr(one, name, None) for name in _COLUMNS}
    found |= {"job_op": job.op, "job_fingerprint": job.payload, "job_until": naive(job.until)}
    found |= {"leaving_until": one.leaving and naive(one.leaving.until)}
    return found | {name: naive(found[name]) for name in ("late_until", "retry_at")}


def _plan(tx: Any, run: int, scope: Scope, ops: dict[str, Op]) -> None:
    members = sum(op.adds for op in ops.values())
    head = {"run": run, "scope": scope.value, "at": naive(NOW), "members": members}
    tx.execute("INSERT INTO plans VALUES ($run, 1, 'vip', $scope, $at, $members, 0, 0, 0, 0, NULL, 0)", head)
    for position, key in enumerate(KEYS, 1):
        row = {
            "run": run,
            "key": key,
            "op": ops[key].value,
            "position": position,
            "print": "new" if ops[key].adds else "",
        }
        tx.execute("INSERT INTO plan VALUES ($run, 1, 'p1', $key, $op, NULL, NULL, FALSE, $position, $print)", row)
