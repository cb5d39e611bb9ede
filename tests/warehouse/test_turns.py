"""Whose turn it is to write to a server: syncs go side by side, and no line of a sync's log is ever passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta
from threading import Event
from time import sleep
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from hub.core.delivery.messages import Verdict
from hub.core.delivery.rows import Stretch
from hub.core.planning import Fate, PlanRequest, Reading
from hub.core.scopes import Scope
from hub.errors import StoreError
from hub.warehouse import postgres
from hub.warehouse.fence import Fenced
from hub.warehouse.outcomes import append_outcomes
from hub.warehouse.payload import read_people
from hub.warehouse.plan import make_plan
from hub.warehouse.schema import take_numbers
from hub.warehouse.settle import fold_so_far, settle
from tests.warehouse.planes import open_plane
from tests.warehouse.town import ASKED, NOW, states, town

pytestmark = pytest.mark.postgres

# More than enough for whoever need not wait.
PATIENCE_S = 30.0
IN_LINE = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
PEOPLE = 40
BESIDE = replace(ASKED, run=ASKED.run + 1)
ELSEWHERE = replace(ASKED, run=ASKED.run + 2, sync=ASKED.sync + 1)


@pytest.fixture
def engine() -> Iterator[Any]:
    with open_plane("postgres") as plane:
        yield plane


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def of(engine: Any, request: PlanRequest) -> Fenced:
    return Fenced(engine, request.run, 1, request.sync)


def planned(engine: Any, request: PlanRequest) -> Reading:
    make_plan(of(engine, request), request)
    return read_people(engine, request, 0, 1000)


def accept(engine: Any, request: PlanRequest, reading: Reading, places: Sequence[int]) -> None:
    rows = Stretch(reading, places[0], places[-1] + 1)
    append_outcomes(of(engine, request), request.run, [Verdict(rows, 1, Fate.ACCEPTED)], NOW)


def wait_in_line(engine: Any, *work: Future[Any]) -> bool:
    """Whether all of them come to wait for a turn that another has."""
    while engine.rows(IN_LINE) != [(len(work),)]:
        if any(one.done() for one in work):
            return False
        sleep(0.01)
    return True


def empty_write(engine: Any, sync: int | None) -> None:
    with engine.write(sync):
        pass


def test_writers_about_different_syncs_do_not_wait_for_each_other(engine: Any) -> None:
    with engine.write(1) as first, engine.write(2) as second:
        first.execute("INSERT INTO fences VALUES (1, 1)")
        second.execute("INSERT INTO fences VALUES (2, 1)")
    assert engine.rows("SELECT count(*) FROM fences") == [(2,)]


@pytest.mark.parametrize(("holding", "coming"), [(1, 1), (None, 1), (1, None), (None, None)])
def test_writers_about_the_same_sync_or_about_everybody_wait(
    engine: Any, threads: ThreadPoolExecutor, holding: int | None, coming: int | None
) -> None:
    with engine.write(holding):
        comer = threads.submit(empty_write, engine, coming)
        assert wait_in_line(engine, comer)
    comer.result(PATIENCE_S)


def test_whoever_writes_about_everybody_is_not_kept_waiting_by_those_who_come_later(
    engine: Any, threads: ThreadPoolExecutor
) -> None:
    order: list[str] = []

    def come(name: str, sync: int | None) -> None:
        with engine.write(sync):
            order.append(name)

    with engine.write(1):
        everybody = threads.submit(come, "everybody", None)
        assert wait_in_line(engine, everybody)
        later = threads.submit(come, "later", 2)
        assert wait_in_line(engine, everybody, later)
    wait([everybody, later], PATIENCE_S)
    assert order == ["everybody", "later"]


def test_a_line_on_its_way_is_waited_for_before_the_sync_is_folded(engine: Any, threads: ThreadPoolExecutor) -> None:
    """Else its number would lie below what counts as folded once it is there."""
    town(engine, "a@x", "b@x")
    reading = planned(engine, ASKED)
    with of(engine, ASKED).write() as tx:
        earlier = take_numbers(tx, "next_outcome", 1)
        later = threads.submit(accept, engine, ASKED, reading, [1])
        folding = threads.submit(fold_so_far, engine_of_another_run(engine), ASKED, now=NOW, in_flight_s=900)
        assert wait_in_line(engine, later, folding)
        tx.execute(
            'INSERT INTO taken (run, "position", upto, attempt, "at", ledger_seq, seq) '
            "VALUES ($run, 1, 1, 1, CAST('2026-01-01' AS TIMESTAMP), 0, $seq)",
            {"run": ASKED.run, "seq": earlier},
        )
    later.result(PATIENCE_S), folding.result(PATIENCE_S)
    assert settle(of(engine, ASKED), ASKED, now=NOW, in_flight_s=900).added == 2
    assert states(engine) == {"a@x": "present", "b@x": "present"}


def engine_of_another_run(engine: Any) -> Fenced:
    """Of the same sync: a run that removes withdrawn people folds what the ordinary one has reached."""
    return of(engine, BESIDE)


def test_a_sync_may_be_folded_while_another_ones_lines_are_on_their_way(
    engine: Any, threads: ThreadPoolExecutor
) -> None:
    """The numbers are of one row: whoever has taken a lower one of another sync and commits later is not overlooked."""
    town(engine, "a@x")
    reading = planned(engine, ASKED)
    accept(engine, ASKED, reading, [0])
    with of(engine, ELSEWHERE).write() as tx:
        take_numbers(tx, "next_outcome", 1)
        threads.submit(settle, of(engine, ASKED), ASKED, now=NOW, in_flight_s=900).result(PATIENCE_S)
    assert states(engine) == {"a@x": "present"}


def test_nothing_is_lost_or_folded_twice_where_runs_of_several_syncs_are_logged_and_folded_at_once(
    engine: Any, threads: ThreadPoolExecutor
) -> None:
    town(engine, *(f"p{number}@x" for number in range(PEOPLE)))
    requests = [ASKED, ELSEWHERE, replace(BESIDE, scope=Scope.FULL)]
    readings = [planned(engine, request) for request in requests]

    def deliver(request: PlanRequest, reading: Reading) -> None:
        for place, row in enumerate(Stretch(reading, 0, len(reading))):
            if place % 3:
                accept(engine, request, reading, [place])
            else:
                refused = [Verdict((row,), 1, Fate.REJECTED, "no such person")]
                append_outcomes(of(engine, request), request.run, refused, NOW)

    def fold_on(request: PlanRequest, logged: Callable[[], bool]) -> None:
        while not logged():
            fold_so_far(of(engine, request), request, now=NOW, in_flight_s=900)

    logging = [threads.submit(deliver, *one) for one in zip(requests, readings, strict=True)]
    folding = [threads.submit(fold_on, request, lambda: all(one.done() for one in logging)) for request in requests]
    for one in logging + folding:
        one.result(2 * PATIENCE_S)
    for request in requests:
        counts = settle(of(engine, request), request, now=NOW + timedelta(hours=1), in_flight_s=900)
        assert counts.balanced and counts.pending == 0 and counts.rejected == len(range(0, PEOPLE, 3))
    # Each was refused once by either run of the first sync, and by the one run of the second.
    told = engine.rows("SELECT sync, sum(attempts), count(*) FROM delivered GROUP BY sync ORDER BY sync")
    assert [(sync, int(attempts), keys) for sync, attempts, keys in told] == [(1, 28, PEOPLE), (2, 14, PEOPLE)]


@pytest.mark.parametrize("copying", [False, True])
def test_a_worker_that_falls_asleep_while_it_writes_about_a_run_loses_its_turn(
    engine: Any, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, copying: bool
) -> None:
    monkeypatch.setattr(postgres, "ASLEEP_MS", 300)
    asleep, awake = Event(), Event()
    fences = pa.schema([("run", pa.int64()), ("fence", pa.int64())])

    def sleeping() -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist([{"run": 1, "fence": 1}], schema=fences)
        asleep.set()
        awake.wait(PATIENCE_S)

    def sleep_while_writing() -> None:
        with engine.write(ASKED.sync) as tx:
            if copying:
                tx.append("fences", pa.RecordBatchReader.from_batches(fences, sleeping()))
            else:
                list(sleeping())
                tx.execute("INSERT INTO fences VALUES (1, 1)")

    sleeper = threads.submit(sleep_while_writing)
    assert asleep.wait(PATIENCE_S)
    with engine.write() as tx:
        tx.execute("INSERT INTO fences VALUES (2, 1)")
    awake.set()
    with pytest.raises((psycopg.Error, StoreError)):
        sleeper.result(PATIENCE_S)
    assert engine.rows("SELECT run FROM fences") == [(2,)]
