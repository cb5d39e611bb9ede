from __future__ import annotations

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops

from hub.store.columns import Digest


class Migration(migrations.Migration):
    dependencies = [("hub", "0010_feedback_purposes")]

    operations = [
        ops.CreateModel(
            name="Erasure",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("subject", Digest(db_index=True)),
                ("external_id", fields.TextField(null=True, unique=False)),
                ("requested_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("finished_at", fields.DatetimeField(null=True, db_index=True, auto_now=False, auto_now_add=False)),
            ],
            options={"table": "erasure", "app": "hub", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="ErasurePlace",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "erasure",
                    fields.ForeignKeyField(
                        "hub.Erasure",
                        source_field="erasure_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="places",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "destination",
                    fields.ForeignKeyField(
                        "hub.Destination",
                        source_field="destination_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="erasures",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("done_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("attempts", fields.IntField(default=0)),
                ("due_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "erasure_place",
                "app": "hub",
                "unique_together": (("erasure", "destination"),),
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.AddField(
            model_name="Run",
            name="destination",
            field=fields.ForeignKeyField(
                "hub.Destination",
                source_field="destination_id",
                null=True,
                db_constraint=True,
                to_field="id",
                related_name="erasing",
                on_delete=OnDelete.SET_NULL,
            ),
        ),
    ]
