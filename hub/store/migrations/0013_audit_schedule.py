from __future__ import annotations

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("hub", "0012_kept_tokens")]

    operations = [
        ops.AddField(model_name="Sync", name="audit_schedule", field=fields.CharField(null=True, max_length=300)),
        ops.AddField(model_name="Sync", name="audit_scheduled_at", field=fields.DatetimeField(null=True)),
    ]
