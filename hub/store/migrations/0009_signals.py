from __future__ import annotations

from orjson import loads
from tortoise import fields, migrations
from tortoise.fields.data import JSON_DUMPS
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("hub", "0008_allowance")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Sync",
            name="signals",
            field=fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads),
        ),
    ]
