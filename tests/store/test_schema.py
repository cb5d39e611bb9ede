"""The schema: what the models say is what the migrations make, and an upgrade is whole or not at all."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from tortoise.migrations.migration import Migration

from hub.errors import ErrorCode, HubError
from hub.store import Store, StoreError, migrate, pending
from hub.store.database import Database
from hub.store.seal import Keyring
from hub.store.upgrade import model_changes
from tests.conftest import DIALECT, SECRET_KEY

ALL = ["0001_initial", "0002_append_only", "0003_subjects", "0004_rollout_share", "0005_run_history", "0006_alerts"]
ALL += ["0007_scheduled_at", "0008_allowance", "0009_signals"]
ALL += ["0010_feedback_purposes", "0011_erasures", "0012_kept_tokens"]
ALL += ["0013_audit_schedule"]
# An index over a part of a table, which a model cannot say.
ONLY_IN_SQL = "consent_entry_subject"


async def test_no_model_has_changed_without_a_migration() -> None:
    assert await model_changes() == []


async def test_the_detector_would_see_a_changed_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from hub.store.migrations import __name__ as package

    first = __import__(f"{package}.0001_initial", fromlist=["Migration"]).Migration
    monkeypatch.setattr(first, "operations", first.operations[1:])
    assert len(await model_changes()) == 1


async def test_migrations_make_the_schema_that_the_models_describe(database_url: str, tmp_path: Path) -> None:
    await migrate(database_url)
    by_migrations = await described(database_url)
    with_models = await Database.open(database_url)
    try:
        await empty(with_models)
        with with_models.entered():
            await with_models._context.generate_schemas(safe=False)
    finally:
        await with_models.close()
    by_models = await described(database_url)
    assert len(by_models) > 60
    assert [line for line in by_migrations if not line.startswith(ONLY_IN_SQL)] == by_models


async def test_migrating_again_changes_nothing(database_url: str) -> None:
    assert await pending(database_url) == ALL
    assert await migrate(database_url) == ALL
    assert await pending(database_url) == []
    assert await migrate(database_url) == []


async def test_two_that_migrate_at_once_do_it_once(database_url: str) -> None:
    applied = await asyncio.gather(migrate(database_url), migrate(database_url), migrate(database_url))
    assert sorted(applied) == [[], [], ALL]


async def test_a_migration_that_fails_leaves_nothing(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Migration.apply

    async def failing(self: Migration, state: object, **options: object) -> object:
        done = await original(self, state, **options)  # type: ignore[arg-type]
        if self.name == ALL[1] and options.get("schema_editor"):
            raise OSError("the disk is full")
        return done

    with monkeypatch.context() as patch:
        patch.setattr(Migration, "apply", failing)
        with pytest.raises(StoreError):
            await migrate(database_url)
    assert await described(database_url) == []
    assert await migrate(database_url) == ALL


async def test_a_store_that_awaits_migration_says_what_to_run(database_url: str) -> None:
    with pytest.raises(HubError, match="hub migrate") as refused:
        await Store.open(database_url, Keyring.of(SECRET_KEY))
    assert refused.value.code is ErrorCode.CONFLICT


async def test_a_store_that_a_newer_hub_has_used_is_refused_and_not_migrated(database_url: str) -> None:
    await migrate(database_url)
    database = await Database.open(database_url)
    with database.entered():
        await database.fetch(
            "INSERT INTO tortoise_migrations (app, name, applied_at) "
            "SELECT app, '9999_of_tomorrow', applied_at FROM tortoise_migrations WHERE name = '0001_initial'"
        )
    await database.close()
    for use in (pending, migrate, lambda url: Store.open(url, Keyring.of(SECRET_KEY))):
        with pytest.raises(HubError, match="newer") as refused:
            await use(database_url)
        assert (refused.value.code, refused.value.problems[0].path) == (ErrorCode.UNSUPPORTED, ("HUB_DATABASE_URL",))


async def test_one_process_uses_one_dialect(database_url: str, tmp_path: Path) -> None:
    other = "postgresql://nobody@127.0.0.1/none" if DIALECT == "sqlite" else f"sqlite:///{tmp_path / 'x.db'}"
    await migrate(database_url)
    with pytest.raises(HubError, match="process"):
        await pending(other)


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite:///", "mysql://x/y", "hub.db"])
async def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(HubError, match="HUB_DATABASE_URL") as refused:
        await pending(url)
    assert refused.value.code is ErrorCode.UNSUPPORTED


@pytest.mark.skipif(DIALECT != "sqlite", reason="about the database file")
async def test_the_database_file_is_its_owners_alone(database_url: str) -> None:
    await migrate(database_url)
    assert Path(database_url.removeprefix("sqlite:///")).stat().st_mode & 0o077 == 0


@pytest.mark.skipif(DIALECT != "sqlite", reason="about SQLite's settings")
async def test_sqlite_is_durable_and_keeps_references(migrated_url: str) -> None:
    database = await Database.open(migrated_url)
    with database.entered():
        found = [(await database.fetch(f"PRAGMA {name}"))[0][0] for name in ("journal_mode", "synchronous")]
        found += [(await database.fetch(f"PRAGMA {name}"))[0][0] for name in ("foreign_keys", "busy_timeout")]
    await database.close()
    assert found == ["wal", 2, 1, 10_000]


COLUMNS = {
    "sqlite": """SELECT m.name, lower(m.sql) FROM sqlite_master m
        WHERE m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE '%tortoise%' AND m.type IN ('table', 'index')
        AND m.sql IS NOT NULL ORDER BY 1, 2""",
    "postgres": """SELECT table_name || '.' || column_name AS name,
            concat_ws(' ', data_type, is_nullable, column_default, character_maximum_length)
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '%tortoise%'
        UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
            AND tablename NOT LIKE '%tortoise%'
        UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text NOT LIKE '%tortoise%'
        ORDER BY 1, 2""",
}


async def described(url: str) -> list[str]:
    """Every column, index and constraint there is, one a line; on SQLite the lines of the statements, in any order."""
    database = await Database.open(url)
    try:
        with database.entered():
            rows = [tuple(row) for row in await database.fetch(COLUMNS[database.dialect])]
    finally:
        await database.close()
    # SQLite puts a column that was added later on the line of the last one, or of the bracket that closes the table.
    parts = [(name, part) for name, text in rows for part in re.split(r'\n|,\s*(?="\w+" )', text) if part.strip()]
    lines = [f"{name}: {unclosed(part.strip().rstrip(',;'))}" for name, part in parts if part.strip(" )")]
    return sorted(line.replace(" if not exists", "").rstrip(" ;") for line in lines)


def unclosed(line: str) -> str:
    return line.removesuffix(")") if line.count(")") > line.count("(") else line


async def empty(database: Database) -> None:
    with database.entered():
        if database.dialect == "postgres":
            await database.connection.execute_script("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
            return
        await database.fetch("PRAGMA foreign_keys = OFF")
        for (name,) in [
            tuple(row)
            for row in await database.fetch(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
            )
        ]:
            await database.fetch(f'DROP TABLE "{name}"')
