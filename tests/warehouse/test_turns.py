"""Whose turn it is to write to a server: syncs go side by side, and no line of a sync's log is ever passed over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import Event
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pyarrow as pa
import pytest
from structlog.testing import capture_logs

from hub.core.delivery.messages import Verdict
from hub.core.delivery.rows import Stretch
from hub.core.planning import Fate, PlanRequest, Reading
from hub.core.scopes import Scope
from hub.errors import StoreError
from hub.warehouse import postgres, schema, sleepers, turns
from hub.warehouse.engine import Claimed
from hub.warehouse.fence import Fenced
from hub.warehouse.outcomes import NEXT, append_outcomes
from hub.warehouse.payload import read_people
from hub.warehouse.plan import make_plan
from hub.warehouse.settle import fold_so_far, settle
from tests.postgres_server import LOCAL
from tests.warehouse.planes import open_plane
from tests.warehouse.town import ASKED, NOW, states, town

pytestmark = pytest.mark.postgres

# More than enough for whoever need not wait.
PATIENCE_S = 30.0
# Others may have a schema of their own in that database.
IN_LINE = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND objid IN (SELECT CAST(hashtext(current_schema() || sync) AS OID) FROM unnest(ARRAY['', ' 1', ' 2']) AS sync)
"""
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


def test_a_hub_that_starts_on_a_schema_of_its_own_version_waits_for_nobody(
    engine: Any, threads: ThreadPoolExecutor
) -> None:
    assert schema.is_keyed_by(engine, "mark")
    with engine.write():
        assert threads.submit(schema.create_or_upgrade, engine).result(PATIENCE_S / 6) == schema.NEWEST
        assert threads.submit(schema.is_keyed_by, engine, "mark").result(PATIENCE_S / 6)
        assert not threads.submit(schema.is_keyed_by, engine, "another").result(PATIENCE_S / 6)


def test_a_line_on_its_way_is_waited_for_before_the_sync_is_folded(engine: Any, threads: ThreadPoolExecutor) -> None:
    """Else its number would lie below what counts as folded once it is there."""
    town(engine, "a@x", "b@x")
    reading = planned(engine, ASKED)
    with of(engine, ASKED).write() as tx:
        earlier = a_number(tx)
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


def a_number(tx: Any) -> int:
    return int(tx.rows(f"SELECT {NEXT}")[0][0])


def engine_of_another_run(engine: Any) -> Fenced:
    """Of the same sync: a run that removes withdrawn people folds what the ordinary one has reached."""
    return of(engine, BESIDE)


def test_a_sync_may_be_folded_while_another_ones_lines_are_on_their_way(
    engine: Any, threads: ThreadPoolExecutor
) -> None:
    """The numbers are shared: whoever has taken a lower one of another sync and commits later is not overlooked."""
    town(engine, "a@x")
    reading = planned(engine, ASKED)
    accept(engine, ASKED, reading, [0])
    with of(engine, ELSEWHERE).write() as tx:
        a_number(tx)
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


FENCES = pa.schema([("run", pa.int64()), ("fence", pa.int64())])


@dataclass
class Sleeper:
    """Falls asleep in the middle of writing a line of `fences`, and lives on when it is woken."""

    engine: Any
    copies: bool
    claim: Claimed | None = None
    asleep: Event = field(default_factory=Event)
    awake: Event = field(default_factory=Event)

    def write(self, sync: int | None) -> None:
        with self.engine.write(sync, self.claim) as tx:
            if self.copies:
                tx.append("fences", pa.RecordBatchReader.from_batches(FENCES, self._lines()))
            else:
                list(self._lines())
                tx.execute("INSERT INTO fences VALUES (1, 1)")

    def _lines(self) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist([{"run": 1, "fence": 1}], schema=FENCES)
        self.asleep.set()
        self.awake.wait(10 * PATIENCE_S)

    def falls_asleep(self, threads: ThreadPoolExecutor, sync: int | None) -> Future[None]:
        sleeping = threads.submit(self.write, sync)
        assert self.asleep.wait(PATIENCE_S)
        return sleeping

    def finds_its_turn_gone(self, sleeping: Future[None]) -> None:
        """Once it is woken; but not its engine."""
        assert not sleeping.done()
        self.awake.set()
        with pytest.raises((psycopg.Error, StoreError)):
            sleeping.result(PATIENCE_S)
        assert self.engine.rows("SELECT run FROM fences") == [(2,)]
        self.copies = False
        self.write(ASKED.sync)


def write_line(engine: Any, sync: int | None, claim: Claimed | None = None) -> None:
    with engine.write(sync, claim) as tx:
        tx.execute("INSERT INTO fences VALUES (2, 1)")


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever says nothing for a moment is taken for asleep; but not for a run's that lives."""
    monkeypatch.setattr(sleepers, "PATIENCE_S", 0.1)
    monkeypatch.setattr(sleepers, "LOOK_S", 0.05)
    monkeypatch.setattr(sleepers, "SILENT_S", 0.3)
    # A machine with much to do may leave anybody lying for a third of a second.
    monkeypatch.setattr(turns, "ASLEEP_MS", 1_000)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("sync", [None, ASKED.sync])
def test_whoever_falls_asleep_while_it_writes_loses_its_turn(
    engine: Any, threads: ThreadPoolExecutor, sync: int | None, copies: bool
) -> None:
    sleeper = Sleeper(engine, copies)
    sleeping = sleeper.falls_asleep(threads, sync)
    threads.submit(write_line, engine, None).result(PATIENCE_S)
    sleeper.finds_its_turn_gone(sleeping)


@pytest.mark.parametrize("sync", [None, ASKED.sync])
def test_a_runs_heir_does_not_wait_for_the_one_before_to_wake(
    engine: Any, threads: ThreadPoolExecutor, sync: int | None
) -> None:
    sleeper = Sleeper(engine, copies=True, claim=Claimed(7, 3))
    sleeping = sleeper.falls_asleep(threads, sync)
    threads.submit(write_line, engine, sync, Claimed(7, 4)).result(PATIENCE_S / 2)
    sleeper.finds_its_turn_gone(sleeping)


@pytest.mark.usefixtures("soon")
def test_an_heir_behind_somebody_else_who_waits_is_not_forgotten(engine: Any, threads: ThreadPoolExecutor) -> None:
    sleeper = Sleeper(engine, copies=True, claim=Claimed(7, 3))
    sleeping = sleeper.falls_asleep(threads, ASKED.sync)
    everybody = threads.submit(empty_write, engine, None)
    assert wait_in_line(engine, everybody)
    threads.submit(write_line, engine, ASKED.sync, Claimed(7, 4)).result(PATIENCE_S / 2)
    everybody.result(PATIENCE_S)
    sleeper.finds_its_turn_gone(sleeping)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("comer", [None, Claimed(8, 9), Claimed(7, 3), Claimed(7, 2)])
def test_a_run_that_nobody_has_claimed_since_keeps_its_turn_however_silent_it_is(
    engine: Any, threads: ThreadPoolExecutor, comer: Claimed | None
) -> None:
    slow = Sleeper(engine, copies=True, claim=Claimed(7, 3))
    writing = slow.falls_asleep(threads, ASKED.sync)
    coming = threads.submit(write_line, engine, ASKED.sync, comer)
    assert not wait([coming], 5 * sleepers.SILENT_S).done
    slow.awake.set()
    writing.result(PATIENCE_S), coming.result(PATIENCE_S)
    assert engine.rows("SELECT run FROM fences ORDER BY run") == [(1,), (2,)]


@pytest.mark.usefixtures("soon")
def test_one_of_a_run_that_nobody_takes_over_is_ended_once_no_lease_can_last(
    engine: Any, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sleepers, "SILENT_WITH_A_RUN_S", 0.6)
    sleeper = Sleeper(engine, copies=True, claim=Claimed(7, 3))
    sleeping = sleeper.falls_asleep(threads, ASKED.sync)
    threads.submit(write_line, engine, None).result(PATIENCE_S)
    sleeper.finds_its_turn_gone(sleeping)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("way", ["slow rows", "one slow statement"])
def test_whoever_is_slow_and_at_work_keeps_its_turn(engine: Any, threads: ThreadPoolExecutor, way: str) -> None:
    begun = Event()

    def slowly() -> Iterator[pa.RecordBatch]:
        for run in range(30):
            # Enough for the driver to send it on its way.
            yield pa.RecordBatch.from_pylist([{"run": run, "fence": 1}] * 5_000, schema=FENCES)
            begun.set()
            sleep(sleepers.SILENT_S / 6)

    def work() -> None:
        with engine.write() as tx:
            if way == "slow rows":
                tx.append("fences", pa.RecordBatchReader.from_batches(FENCES, slowly()))
            else:
                begun.set()
                tx.execute(f"INSERT INTO fences SELECT 1, 1 FROM pg_sleep({5 * sleepers.SILENT_S})")

    working = threads.submit(work)
    assert begun.wait(PATIENCE_S)
    coming = threads.submit(empty_write, engine, None)
    working.result(PATIENCE_S), coming.result(PATIENCE_S)


@contextmanager
def another_role(engine: Any) -> Iterator[Any]:
    """An engine on the same schema, as somebody who may not end the connections of the first."""
    [(schema, superuser)] = engine.rows("SELECT current_schema(), current_setting('is_superuser')")
    if superuser != "on":
        pytest.skip("only a superuser makes roles")
    name, server = f"lesser_{uuid4().hex}", os.environ.get("HUB_TEST_POSTGRES_URL") or LOCAL
    at = urlsplit(server)
    with psycopg.connect(server, autocommit=True) as ruler:
        ruler.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
        ruler.execute(f"GRANT CREATE ON DATABASE {at.path[1:]} TO {name}")
        ruler.execute(f"GRANT ALL ON SCHEMA {schema} TO {name}; GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {name}")
        where = at._replace(netloc=f"{name}:{name}@{at.hostname}:{at.port}", query=f"options=-csearch_path%3D{schema}")
        lesser = postgres.open_postgres(where.geturl())
        try:
            yield lesser
        finally:
            lesser.close()
            ruler.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.usefixtures("soon")
def test_an_heir_that_may_not_end_the_one_before_says_what_to_do_and_waits(
    engine: Any, threads: ThreadPoolExecutor
) -> None:
    sleeper = Sleeper(engine, copies=True, claim=Claimed(7, 3))
    with another_role(engine) as heirs, capture_logs() as logged:
        sleeping = sleeper.falls_asleep(threads, ASKED.sync)
        coming = threads.submit(write_line, heirs, ASKED.sync, Claimed(7, 4))
        until(lambda: bool(logged))
        assert not wait([coming], 5 * sleepers.SILENT_S).done
        sleeper.awake.set()
        sleeping.result(PATIENCE_S), coming.result(PATIENCE_S)
    [line] = logged
    assert (line["event"], line["run"], line["code"]) == (sleepers.MAY_NOT_END, 7, "FORBIDDEN")


def until(come_true: Callable[[], bool]) -> None:
    deadline = monotonic() + PATIENCE_S
    while not come_true():
        assert monotonic() < deadline, "it never came true"
        sleep(0.01)
