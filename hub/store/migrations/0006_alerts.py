from __future__ import annotations

from orjson import loads
from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("hub", "0005_run_history")]

    operations = [
        ops.CreateModel(
            name="AlertChannel",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("key", fields.CharField(unique=True, max_length=100)),
                ("name", fields.CharField(max_length=300)),
                ("kind", fields.CharField(max_length=20)),
                ("config", fields.JSONField(default=dict, encoder=JSON_DUMPS, decoder=loads)),
                ("secrets", fields.JSONField(default=dict, encoder=JSON_DUMPS, decoder=loads)),
                ("delivered_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("failure", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                ("version", fields.IntField(default=1)),
            ],
            options={"table": "alert_channel", "app": "hub", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="AlertNotice",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "channel",
                    fields.ForeignKeyField(
                        "hub.AlertChannel",
                        source_field="channel_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="notices",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("notice", fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                ("attempts", fields.IntField(default=0)),
                ("due_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={"table": "alert_notice", "app": "hub", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="SyncHealth",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "sync",
                    fields.OneToOneField(
                        "hub.Sync",
                        source_field="sync_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="health",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("state", fields.CharField(max_length=20)),
                ("since", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("causes", fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ("spells", fields.IntField(default=0)),
                ("calm_since", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("watch", fields.CharField(max_length=300)),
                ("watched_since", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("notice", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                ("version", fields.IntField(default=1)),
            ],
            options={"table": "sync_health", "app": "hub", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.AddField(
            model_name="Sync",
            name="alerts",
            field=fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads),
        ),
    ]
