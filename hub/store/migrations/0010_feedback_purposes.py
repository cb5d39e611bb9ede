from __future__ import annotations

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("hub", "0009_signals")]

    operations = [
        ops.AddField(
            model_name="Destination",
            name="feedback_purposes",
            field=fields.JSONField(null=True),
        )
    ]
