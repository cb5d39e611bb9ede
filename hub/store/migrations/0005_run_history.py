from __future__ import annotations

from orjson import loads
from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("hub", "0004_rollout_share")]

    operations = [
        ops.CreateModel(
            name="ImportOutcome",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("kind", fields.CharField(unique=True, max_length=20)),
                ("at", fields.DatetimeField()),
                ("failure", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
            ],
            options={"table": "import_outcome", "app": "hub", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="RunMoment",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "run",
                    fields.ForeignKeyField(
                        "hub.Run",
                        source_field="run_id",
                        to_field="id",
                        related_name="moments",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("kind", fields.CharField(max_length=20)),
                ("at", fields.DatetimeField()),
                ("people", fields.BigIntField(null=True)),
                ("seconds", fields.FloatField(null=True)),
            ],
            options={"table": "run_moment", "app": "hub", "pk_attr": "id", "indexes": [("run",)]},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="RunRequest",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "run",
                    fields.ForeignKeyField(
                        "hub.Run",
                        source_field="run_id",
                        to_field="id",
                        related_name="requests",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("number", fields.BigIntField()),
                ("kept", fields.CharField(max_length=20)),
                ("at", fields.DatetimeField(db_index=True)),
                ("method", fields.CharField(max_length=20)),
                ("url", fields.TextField()),
                ("status", fields.IntField(null=True)),
                ("error", fields.CharField(null=True, max_length=100)),
                ("duration_ms", fields.FloatField()),
                ("attempt", fields.IntField()),
                ("people", fields.BigIntField()),
                ("sent", fields.TextField(null=True)),
                ("received", fields.TextField(null=True)),
                ("sent_bytes", fields.BigIntField()),
                ("received_bytes", fields.BigIntField()),
            ],
            options={
                "table": "run_request",
                "app": "hub",
                "unique_together": (("run", "number"),),
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.AddField(
            model_name="Run",
            name="traffic",
            field=fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads),
        ),
        ops.AddField(
            model_name="Sync",
            name="max_growth",
            field=fields.FloatField(default=10.0, db_default=10.0),
        ),
    ]
