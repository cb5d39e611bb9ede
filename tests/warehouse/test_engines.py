"""What every engine promises: one writer, many readers, Arrow in and Arrow out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from hub.errors import ErrorCode, HubError
from hub.warehouse import schema
from tests.warehouse.planes import BOTH, open_plane

COUNTED = "SELECT n FROM generate_series($first, $last) AS series(n)"
AWKWARD = pa.table(
    {
        "number": pa.array([1, None, -(2**62)], pa.int64()),
        "small": pa.array([None, 2, 3], pa.int32()),
        "real": pa.array([0.1, float("inf"), None], pa.float64()),
        "text": pa.array(["", None, 'a "quoted", line\nand \\N é \U0001f600'], pa.string()),
        "flag": pa.array([True, None, False], pa.bool_()),
        "bytes": pa.array([b"", b"\x00\xff\\", None], pa.binary()),
        "at": pa.array([datetime(2026, 1, 1, 12, 0, 0, 5), None, datetime(1001, 1, 1)], pa.timestamp("us")),
    }
)


@pytest.fixture(params=BOTH)
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    with open_plane(request.param) as opened:
        with opened.write() as tx:
            tx.execute("CREATE TABLE t AS SELECT 1 AS n")
        yield opened


def test_an_exception_leaves_everything_as_it_was(engine: Any) -> None:
    with pytest.raises(RuntimeError), engine.write() as tx:
        assert tx.execute("INSERT INTO t VALUES ($n)", {"n": 2}) == 1
        raise RuntimeError
    assert engine.rows("SELECT n FROM t") == [(1,)]


def test_a_reader_sees_only_what_is_committed(engine: Any) -> None:
    with engine.write() as tx:
        tx.execute("UPDATE t SET n = 2")
        assert tx.rows("SELECT n FROM t") == [(2,)]
        assert engine.rows("SELECT n FROM t") == [(1,)]
    assert engine.query("SELECT n FROM t").to_pylist() == [{"n": 2}]


def test_a_rehearsal_leaves_nothing_behind(engine: Any) -> None:
    with engine.rehearse() as tx:
        tx.execute("UPDATE t SET n = 2")
        assert tx.rows("SELECT n FROM t") == [(2,)]
    assert engine.rows("SELECT n FROM t") == [(1,)]


def test_temporary_tables_go_with_their_transaction(engine: Any) -> None:
    for _ in range(2):
        with engine.write() as tx:
            tx.load("brought", pa.table({"a": [1], "b": ["x"]}))
            tx.append("brought", pa.table({"b": ["y"]}))
            assert tx.rows("SELECT a, b FROM brought ORDER BY b") == [(1, "x"), (None, "y")]
        with pytest.raises(Exception, match="brought"):
            engine.rows("SELECT * FROM brought")


def test_what_goes_in_as_arrow_comes_out_as_arrow(engine: Any) -> None:
    with engine.write() as tx:
        tx.load("awkward", AWKWARD)
        tx.append("awkward", pa.RecordBatchReader.from_batches(AWKWARD.schema, AWKWARD.to_batches()))
        found = tx.query("SELECT * FROM awkward")
    assert found.cast(AWKWARD.schema).to_pylist() == [*AWKWARD.to_pylist(), *AWKWARD.to_pylist()]


@pytest.mark.parametrize("times", [0, 1, 20])
def test_few_rows_or_many_are_appended_alike(engine: Any, times: int) -> None:
    rows = pa.concat_tables([AWKWARD.slice(0, 0), *[AWKWARD] * times])
    with engine.write() as tx:
        tx.load("awkward", AWKWARD.slice(0, 0))
        tx.append("awkward", rows.select(rows.column_names[::-1]))
        assert tx.query("SELECT * FROM awkward").cast(AWKWARD.schema).to_pylist() == rows.to_pylist()


def test_a_column_of_few_rows_may_be_missing_throughout(engine: Any) -> None:
    nothing = pa.table({"number": [7, 8], "at": pa.nulls(2), "bytes": pa.nulls(2)})
    with engine.write() as tx:
        tx.load("awkward", AWKWARD.slice(0, 0))
        tx.append("awkward", nothing)
        found = tx.rows('SELECT number, text, "at", bytes FROM awkward ORDER BY number')
    assert found == [(7, None, None, None), (8, None, None, None)]


def test_a_parameter_is_a_value_whatever_it_holds(engine: Any) -> None:
    said = "'; DROP TABLE t; -- 100% $n %(n)s"
    asked = {"said": said, "n": 1}
    assert engine.rows("SELECT CAST($said AS VARCHAR), 7 % 4, n FROM t WHERE n = $n", asked) == [(said, 3, 1)]


def test_a_sum_of_whole_numbers_is_whole(engine: Any) -> None:
    [(total,)] = engine.rows("SELECT sum(n) FROM t")
    assert isinstance(total, int) and total == 1


def test_writers_take_turns(engine: Any) -> None:
    def add() -> None:
        for _ in range(10):
            with engine.write() as tx:
                [(n,)] = tx.rows("SELECT n FROM t")
                tx.execute("UPDATE t SET n = $n", {"n": n + 1})

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.rows("SELECT n FROM t") == [(41,)]


def test_a_stream_may_be_left_early(engine: Any) -> None:
    with engine.stream(COUNTED, {"first": 1, "last": 100_000}, rows=1000) as batches:
        assert next(batches).num_rows <= 2048
    with engine.stream(COUNTED, {"first": 1, "last": 5000}) as batches:
        assert sum(batch.num_rows for batch in batches) == 5000
    assert engine.rows("SELECT 1") == [(1,)]


def test_a_new_trait_disturbs_no_reader(engine: Any) -> None:
    for number in range(8):
        assert len(engine.query("SELECT * FROM t").column_names) == 1 + number
        with engine.write() as tx:
            tx.execute(f"ALTER TABLE t ADD COLUMN extra{number} DOUBLE")


def test_no_number_is_given_out_twice(engine: Any) -> None:
    with engine.write() as tx:
        assert [schema.take_numbers(tx, "next_pid", count) for count in (3, 0, 2)] == [1, 4, 4]


def test_the_schema_is_made_once_and_is_the_newest(engine: Any) -> None:
    assert schema.create_or_upgrade(engine) == schema.NEWEST == schema.version(engine)


@pytest.mark.postgres
def test_hubs_on_the_same_server_take_turns_to_write() -> None:
    from hub.warehouse import postgres

    with open_plane("postgres") as first:
        second = postgres.open_postgres(first._pool.conninfo)
        add_concurrently([first, second] * 4)
        assert second.rows("SELECT value FROM meta WHERE key = 'next_pid'") == [(str(1 + 8 * 5),)]
        second.close()


def add_concurrently(engines: list[Any]) -> None:
    def count(engine: Any) -> None:
        for _ in range(5):
            with engine.write() as tx:
                schema.take_numbers(tx, "next_pid", 1)

    threads = [threading.Thread(target=count, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.postgres
def test_a_server_that_does_not_answer_is_named_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    from hub.warehouse import postgres

    monkeypatch.setattr(postgres, "WAIT_S", 0.5)
    with pytest.raises(HubError, match="No PostgreSQL answers") as refused:
        postgres.open_postgres("postgresql://hub:s3cr3t@127.0.0.1:1/hub")
    assert refused.value.problems[0].code is ErrorCode.UNSUPPORTED
    assert "s3cr3t" not in str(refused.value) and refused.value.__cause__ is None
