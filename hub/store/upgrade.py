"""Bringing a control plane's schema up to date: one transaction for all that is missing, so that none is half done, and
one at a time, so that two processes may start at once."""

from __future__ import annotations

from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.writer import MigrationWriter

from hub.errors import ErrorCode, refuse
from hub.store.database import APP, MIGRATIONS, Database, configuration, read_url, stored

# Any number will do, as long as nobody else uses it: "hub migrate" in ASCII, cut to 63 bits.
MIGRATING = 0x687562206D696772


class Upgrade:
    def __init__(self, database: Database) -> None:
        self._database = database

    @stored
    async def pending(self) -> list[str]:
        """The names of the migrations that are missing, oldest first."""
        executor = self._executor()
        await _refuse_newer(executor)
        return [step.migration.name for step in await executor.plan()]

    async def apply(self) -> list[str]:
        """Apply what is missing; the names of what was applied by this call."""
        async with self._database.transaction():
            return await self._apply_one_at_a_time()

    @stored
    async def _apply_one_at_a_time(self) -> list[str]:
        if self._database.dialect == "postgres":
            await self._database.fetch("SELECT pg_advisory_xact_lock($1)", MIGRATING)
        executor, applied = self._executor(), list[str]()
        # The library reads its own table before it makes it, which would spoil a transaction on PostgreSQL.
        await executor.recorder.ensure_schema(executor._schema_editor(atomic=False))
        await _refuse_newer(executor)

        def note(event: str, _: str, name: str) -> None:
            if event == "apply_done":
                applied.append(name)

        await executor.migrate(direction="forward", progress=note)
        await self._refuse_dangling()
        return applied

    async def _refuse_dangling(self) -> None:
        """Foreign keys are off on SQLite while tables are rebuilt: see that none was broken before committing."""
        if self._database.dialect == "sqlite" and await self._database.fetch("PRAGMA foreign_key_check"):
            raise refuse(
                ErrorCode.CONFLICT, "The migration would leave rows that refer to nothing: nothing was changed."
            )

    def _executor(self) -> MigrationExecutor:
        return MigrationExecutor(self._database.connection, {APP: {"migrations": MIGRATIONS}})


async def _refuse_newer(executor: MigrationExecutor) -> None:
    await executor.loader.build_graph()
    if set(await executor.recorder.applied_migrations()) - executor.loader.graph.nodes.keys():
        message = "A newer hub has used the control plane: start that version or a later one."
        raise refuse(ErrorCode.UNSUPPORTED, message, "HUB_DATABASE_URL")


async def migrate(url: str) -> list[str]:
    """Upgrade the control plane at `url`; returns the names of the migrations applied, none when up to date."""
    database = await Database.open(url, foreign_keys="OFF")
    try:
        return await Upgrade(database).apply()
    finally:
        await database.close()


async def pending(url: str) -> list[str]:
    """The names of the migrations that `hub migrate` would apply."""
    database = await Database.open(url)
    try:
        return await Upgrade(database).pending()
    finally:
        await database.close()


async def model_changes() -> list[MigrationWriter]:
    """What the models have that no migration has made; empty when they agree."""
    connection, _ = read_url("postgresql://unused/unused")
    async with TortoiseContext() as context:
        await context.init(config=configuration(connection), init_connections=False)
        assert context.apps is not None  # noqa: S101 - init has just made them
        return await MigrationAutodetector(context.apps, {APP: {"migrations": MIGRATIONS}}).changes()


async def write_migration() -> list[str]:
    return [str(writer.write()) for writer in await model_changes()]
