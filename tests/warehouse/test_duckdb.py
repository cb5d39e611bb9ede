"""The embedded engine: one writer, many readers, nothing reached but its own file."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from hub.errors import ErrorCode, HubError
from hub.warehouse import schema
from hub.warehouse.duckdb import DuckDbEngine, open_duckdb


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDbEngine]:
    opened = open_duckdb(tmp_path / "hub.duckdb", memory_limit="200MB", threads=2)
    yield opened
    opened.close()


def test_an_exception_leaves_everything_as_it_was(engine: DuckDbEngine) -> None:
    with engine.write() as tx:
        tx.execute("CREATE TABLE t AS SELECT 1 AS n")
    with pytest.raises(RuntimeError), engine.write() as tx:
        assert tx.execute("INSERT INTO t VALUES ($n)", {"n": 2}) == 1
        raise RuntimeError
    assert engine.rows("SELECT n FROM t") == [(1,)]


def test_a_reader_sees_only_what_is_committed(engine: DuckDbEngine) -> None:
    with engine.write() as tx:
        tx.execute("CREATE TABLE t AS SELECT 1 AS n")
    with engine.write() as tx:
        tx.execute("UPDATE t SET n = 2")
        assert tx.rows("SELECT n FROM t") == [(2,)]
        assert engine.rows("SELECT n FROM t") == [(1,)]
    assert engine.query("SELECT n FROM t").to_pylist() == [{"n": 2}]


def test_temporary_tables_go_with_their_transaction(engine: DuckDbEngine) -> None:
    with engine.write() as tx:
        tx.load("brought", pa.table({"a": [1], "b": ["x"]}))
        tx.append("brought", pa.table({"b": ["y"]}))
        assert tx.rows("SELECT a, b FROM brought ORDER BY b") == [(1, "x"), (None, "y")]
    with pytest.raises(duckdb.CatalogException):
        engine.rows("SELECT * FROM brought")


def test_writers_take_turns(engine: DuckDbEngine) -> None:
    with engine.write() as tx:
        tx.execute("CREATE TABLE t AS SELECT 0 AS n")

    def add() -> None:
        for _ in range(10):
            with engine.write() as tx:
                tx.execute("UPDATE t SET n = n + 1")

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.rows("SELECT n FROM t") == [(40,)]


def test_a_stream_may_be_left_early(engine: DuckDbEngine) -> None:
    with engine.stream("SELECT range AS n FROM range(1000000) WHERE range >= $from", {"from": 1}, rows=1000) as batches:
        assert next(batches).num_rows <= 2048
    with engine.stream("SELECT range AS n FROM range(5000)") as batches:
        assert sum(batch.num_rows for batch in batches) == 5000
    assert engine.rows("SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY (SELECT 1) TO 'out.csv'",
        "ATTACH 'other.duckdb'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '10GB'",
    ],
)
def test_nothing_is_reached_but_its_own_file(engine: DuckDbEngine, statement: str) -> None:
    with pytest.raises(duckdb.Error):
        engine.rows(statement)


def test_a_second_process_is_told_what_to_do(engine: DuckDbEngine, tmp_path: Path) -> None:
    asks = (
        "from hub.warehouse.duckdb import open_duckdb; from hub.errors import HubError\n"
        "import sys\n"
        "try: open_duckdb(sys.argv[1])\n"
        "except HubError as error: print(error.code, error)"
    )
    done = subprocess.run([sys.executable, "-c", asks, tmp_path / "hub.duckdb"], capture_output=True, text=True)
    assert done.stdout.startswith(ErrorCode.CONFLICT)
    assert "HUB_URL" in done.stdout


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hub.duckdb").write_text("not a database" * 1000)
    with pytest.raises(HubError) as refusal:
        open_duckdb(tmp_path / "hub.duckdb")
    assert refusal.value.code is ErrorCode.INVALID


def test_an_impossible_memory_limit_is_named(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="HUB_MEMORY_LIMIT"):
        open_duckdb(tmp_path / "hub.duckdb", memory_limit="plenty")


def test_a_new_file_has_the_newest_schema_and_keeps_it(tmp_path: Path) -> None:
    for _ in range(2):
        opened = open_duckdb(tmp_path / "hub.duckdb")
        assert schema.create_or_upgrade(opened) == schema.NEWEST == schema.version(opened)
        opened.close()


def test_an_older_file_gets_the_upgrades_it_lacks_in_order(
    engine: DuckDbEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.create_or_upgrade(engine)
    steps = (("ALTER TABLE profiles ADD COLUMN extra VARCHAR",), ("ALTER TABLE profiles RENAME COLUMN extra TO more",))
    monkeypatch.setattr(schema, "UPGRADES", (*schema.UPGRADES, *steps))
    monkeypatch.setattr(schema, "NEWEST", schema.NEWEST + 2)
    assert schema.create_or_upgrade(engine) == schema.NEWEST
    assert engine.rows("SELECT more FROM profiles") == []


def test_a_file_from_a_newer_hub_is_refused(engine: DuckDbEngine) -> None:
    schema.create_or_upgrade(engine)
    with engine.write() as tx:
        schema.set_meta(tx, "schema", str(schema.NEWEST + 1))
    with pytest.raises(HubError, match="newer") as refusal:
        schema.create_or_upgrade(engine)
    assert refusal.value.code is ErrorCode.UNSUPPORTED


def test_no_number_is_given_out_twice(engine: DuckDbEngine) -> None:
    schema.create_or_upgrade(engine)
    with engine.write() as tx:
        assert [schema.take_numbers(tx, "next_pid", count) for count in (3, 0, 2)] == [1, 4, 4]
