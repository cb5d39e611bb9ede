"""A data file that is written anew holds what it held, and nothing of what was deleted."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from hub.warehouse import schema
from hub.warehouse.duckdb import open_duckdb
from hub.warehouse.rewriting import rewrite

CATALOGUE = """SELECT 'table', table_name, sql FROM duckdb_tables() WHERE NOT internal
    UNION ALL SELECT 'view', view_name, sql FROM duckdb_views() WHERE NOT internal
    UNION ALL SELECT 'index', index_name, sql FROM duckdb_indexes()
    UNION ALL SELECT 'macro', function_name, macro_definition FROM duckdb_functions() WHERE NOT internal
    UNION ALL SELECT constraint_type, table_name, constraint_text FROM duckdb_constraints()
    ORDER BY ALL"""
ADD = "INSERT INTO profiles (pid, external_id, first_seen, changed_at) VALUES ($pid, $id, now(), now())"
CANARY = "somebody-who-was-erased@example.com"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """With somebody in it who has been deleted since, and somebody who stays."""
    path = tmp_path / "it's.duckdb"
    engine = open_duckdb(path)
    schema.create_or_upgrade(engine)
    for pid, address in ((1, CANARY), (2, "stays@example.com")):
        with engine.write() as tx:
            tx.execute(ADD, {"pid": pid, "id": address})
    engine.close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("DELETE FROM profiles WHERE pid = 1")
    return path


def held(path: Path) -> tuple[list[object], list[object]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute("SELECT pid, external_id FROM profiles").fetchall()
        return connection.execute(CATALOGUE).fetchall(), rows


def test_what_was_deleted_is_gone_and_all_else_is_as_it_was(file: Path) -> None:
    before = held(file)
    assert CANARY.encode() in file.read_bytes()
    rewrite(file)
    assert held(file) == before and before[1] == [(2, "stays@example.com")]
    assert {kind for kind, *_ in before[0]} >= {"table", "view", "macro", "NOT NULL"}  # type: ignore[misc]
    assert CANARY.encode() not in file.read_bytes()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_the_hub_goes_on_with_it(file: Path) -> None:
    rewrite(file, memory_limit="200MB", threads=1)
    engine = open_duckdb(file)
    assert schema.create_or_upgrade(engine) == schema.NEWEST
    with engine.write() as tx:
        tx.execute(ADD, {"pid": 3, "id": "new"})
    assert engine.rows("SELECT pid FROM profiles ORDER BY pid") == [(2,), (3,)]
    engine.close()
