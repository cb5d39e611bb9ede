"""The consent ledger takes new entries only: the database itself refuses to change or delete one."""

from __future__ import annotations

from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops

TABLE = "consent_entry"
REFUSAL = "the consent ledger is append-only"
CHANGES = ("update", "delete")

SQLITE = """
CREATE TRIGGER {table}_no_{change} BEFORE {change} ON {table}
BEGIN
    SELECT RAISE(ABORT, '{refusal}');
END
"""
POSTGRES = """
CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '{refusal}';
END
$$;
CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse();
CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse();
CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse();
"""


async def forbid_changes(_: Any, editor: Any) -> None:
    if editor.DIALECT == "sqlite":
        # One statement at a time and whole: the editor would split a trigger at its semicolons.
        for change in CHANGES:
            await editor.client.execute_query(SQLITE.format(table=TABLE, change=change, refusal=REFUSAL))
    else:
        await editor.client.execute_script(POSTGRES.format(table=TABLE, refusal=REFUSAL))


async def allow_changes(_: Any, editor: Any) -> None:
    if editor.DIALECT == "sqlite":
        for change in CHANGES:
            await editor.client.execute_query(f"DROP TRIGGER {TABLE}_no_{change}")
    else:
        await editor.client.execute_script(f"DROP FUNCTION {TABLE}_refuse() CASCADE")


class Migration(migrations.Migration):
    dependencies = [("hub", "0001_initial")]

    operations = [ops.RunPython(forbid_changes, allow_changes)]
