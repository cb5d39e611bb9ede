from __future__ import annotations

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("hub", "0007_scheduled_at")]

    operations = [
        ops.AddField(
            model_name="Destination",
            name="allowance",
            field=fields.JSONField(null=True),
        )
    ]
