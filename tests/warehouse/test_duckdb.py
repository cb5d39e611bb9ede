"""The embedded engine: one writer, many readers, nothing reached but its own file."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from hub.errors import ErrorCode, HubError
from hub.warehouse import schema
from hub.warehouse.duckdb import DuckDbEngine, open_duckdb


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDbEngine]:
    opened = open_duckdb(tmp_path / "hub.duckdb", memory_limit="200MB", threads=2)
    yield opened
    opened.close()


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


def test_it_can_be_closed_while_others_still_ask(tmp_path: Path) -> None:
    for _ in range(20):
        opened = open_duckdb(tmp_path / "hub.duckdb", threads=1)
        threads = [threading.Thread(target=ask_on, args=(opened,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        opened.close()
        for thread in threads:
            thread.join()


def ask_on(engine: DuckDbEngine) -> None:
    """Until it is closed, which says so in its own way."""
    with pytest.raises((duckdb.ConnectionException, duckdb.InterruptException)):
        while True:
            engine.rows("SELECT 1")


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


def test_whoever_an_older_file_holds_as_refused_is_tried_again_from_an_hour_after(engine: DuckDbEngine) -> None:
    schema.create_or_upgrade(engine)
    columns = engine.rows("SELECT table_name, column_name FROM information_schema.columns ORDER BY ALL")
    with engine.write() as tx:
        tx.execute("ALTER TABLE delivered DROP COLUMN retry_at")
        tx.execute("ALTER TABLE plan DROP COLUMN fingerprint")
        for table in ("taken", "fences", "sightings", "audits", "drift"):
            tx.execute(f"DROP TABLE {table}")
        for column in ("job", "late_until"):
            tx.execute(f"ALTER TABLE outcomes DROP COLUMN {column}")
        tx.execute("DROP VIEW standing")
        for column in ("job_op", "job_fingerprint", "job_until", "leaving_until"):
            tx.execute(f"ALTER TABLE delivered DROP COLUMN {column}")
        tx.execute("ALTER TABLE plans DROP COLUMN people")
        tx.execute("DELETE FROM projection WHERE name = 'people'")
        tx.execute("DROP SEQUENCE outcome_numbers")
        for key, refused in (("a", "x"), ("b", None)):
            tx.execute(
                "INSERT INTO delivered VALUES (1, 'vip', $key, 1, 'p1', NULL, $refused, 'rejected', 'why', 7, "
                "TIMESTAMP '2026-01-01 10:00', 1, NULL, NULL, NULL)",
                {"key": key, "refused": refused},
            )
        schema.set_meta(tx, "schema", "1")
    assert schema.create_or_upgrade(engine) == schema.NEWEST
    assert engine.rows("SELECT table_name, column_name FROM information_schema.columns ORDER BY ALL") == columns
    assert engine.rows("SELECT key, attempts, retry_at FROM delivered ORDER BY key") == [
        ("a", 1, datetime(2026, 1, 1, 11)),
        ("b", 7, None),
    ]


def test_a_file_from_a_newer_hub_is_refused(engine: DuckDbEngine) -> None:
    schema.create_or_upgrade(engine)
    with engine.write() as tx:
        schema.set_meta(tx, "schema", str(schema.NEWEST + 1))
    with pytest.raises(HubError, match="newer") as refusal:
        schema.create_or_upgrade(engine)
    assert refusal.value.code is ErrorCode.UNSUPPORTED
