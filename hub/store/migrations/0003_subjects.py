"""Entries with an entry id are found by their subject here; all others by their identity, which begins with it."""

from __future__ import annotations

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("hub", "0002_append_only")]

    operations = [
        ops.RunSQL(
            "CREATE INDEX consent_entry_subject ON consent_entry (subject) WHERE entry_id <> ''",
            "DROP INDEX consent_entry_subject",
        )
    ]
