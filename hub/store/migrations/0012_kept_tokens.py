from __future__ import annotations

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("hub", "0011_erasures")]

    operations = [
        ops.CreateModel(
            name="KeptToken",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "destination",
                    fields.OneToOneField(
                        "hub.Destination",
                        source_field="destination_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="kept_token",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("sealed", fields.TextField(null=True, unique=False)),
                ("version", fields.IntField(default=0)),
                ("holder", fields.CharField(null=True, max_length=100)),
                ("held_until", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={"table": "kept_token", "app": "hub", "pk_attr": "id"},
            bases=["Model"],
        ),
    ]
