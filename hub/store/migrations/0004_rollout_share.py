from __future__ import annotations

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("hub", "0003_subjects")]

    operations = [
        ops.AddField(
            model_name="Sync",
            name="rollout_share",
            field=fields.FloatField(default=1.0, db_default=1.0),
        )
    ]
