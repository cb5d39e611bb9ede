from __future__ import annotations

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("hub", "0006_alerts")]

    operations = [
        ops.AddField(
            model_name="Sync",
            name="scheduled_at",
            field=fields.DatetimeField(null=True),
        )
    ]
