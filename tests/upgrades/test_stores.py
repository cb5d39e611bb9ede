"""The stores of older hubs: upgraded they are made like new ones, and nobody upgrades half of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hub.services.hub import open_hub
from hub.settings import Settings
from hub.store import pending
from hub.warehouse import schema
from hub.warehouse.duckdb import DuckDbEngine, open_duckdb
from tests.acceptance.process import command
from tests.upgrades.conftest import on_sqlite, unpacked
from tests.upgrades.story import HUBS, KEY

pytestmark = on_sqlite


@pytest.mark.parametrize("packed", sorted(HUBS.iterdir()), ids=lambda path: path.name.partition(".")[0])
def test_an_upgraded_data_plane_is_made_like_a_new_one(packed: Path, tmp_path: Path) -> None:
    older, new = (open_duckdb(path / "hub.duckdb") for path in (unpacked(packed, tmp_path / "data"), tmp_path))
    try:
        schema.create_or_upgrade(older)
        schema.create_or_upgrade(new)
        assert described(older) == described(new)
    finally:
        older.close()
        new.close()


def described(engine: DuckDbEngine) -> list[tuple[Any, ...]]:
    """Every column in its place, but for those of the traits and properties that were imported; views and sequences."""
    columns = engine.rows(
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
        "WHERE NOT regexp_matches(column_name, '^[tp]_') ORDER BY table_name, ordinal_position"
    )
    views = engine.rows("SELECT view_name, sql FROM duckdb_views() WHERE NOT internal ORDER BY ALL")
    sequences = engine.rows("SELECT sequence_name, start_value FROM duckdb_sequences() ORDER BY ALL")
    return [*columns, *views, *sequences]


async def test_a_hub_whose_control_plane_is_older_does_not_serve_until_migrated_and_neither_store_is_changed(
    tmp_path: Path,
) -> None:
    data = unpacked(HUBS / "schema-1.tar.xz", tmp_path / "data")
    control_plane = f"sqlite:///{data / 'hub.db'}"
    lacking = await pending(control_plane)
    refused = command(data, "serve", "--port", "0", HUB_SECRET_KEY=KEY)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "run `hub migrate`" in refused.stderr
    assert (version_of(data), await pending(control_plane)) == (1, lacking)


async def test_a_hub_whose_data_plane_alone_is_older_upgrades_it_when_it_is_opened(tmp_path: Path) -> None:
    data = unpacked(HUBS / "schema-7.tar.xz", tmp_path / "data")
    async with open_hub(Settings(data=data, secret_key=KEY)) as hub:
        assert schema.version(hub.engine) == schema.NEWEST


def version_of(data: Path) -> int:
    engine = open_duckdb(data / "hub.duckdb")
    try:
        return schema.version(engine)
    finally:
        engine.close()
