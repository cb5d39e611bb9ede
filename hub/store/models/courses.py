"""What is under way and has been: runs, erasures, imports."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.fields.base import OnDelete
from tortoise.models import Model

from hub.store.columns import Digest
from hub.store.models.definitions import KEY, NAME, Destination, Sync


# `place` is what a run holds of its sync, unique while it holds it: next in line, or under way; see `runs`. `traffic`
# is `hub.core.history.Traffic`. One that erases has a destination instead of a sync.
class Run(Model):
    id = fields.BigIntField(primary_key=True)
    sync: fields.ForeignKeyNullableRelation[Sync] = fields.ForeignKeyField(
        "hub.Sync", related_name="runs", null=True, on_delete=OnDelete.SET_NULL
    )
    sync_id: int | None
    destination: fields.ForeignKeyNullableRelation[Destination] = fields.ForeignKeyField(
        "hub.Destination", related_name="erasing", null=True, on_delete=OnDelete.SET_NULL
    )
    destination_id: int | None
    place = fields.CharField(NAME + KEY, null=True)
    cause = fields.CharField(20)
    scope = fields.CharField(20)
    audience = fields.CharField(NAME, default="")
    status = fields.CharField(20, db_index=True)
    as_of = fields.DatetimeField(null=True)
    watermark = fields.BigIntField(null=True)
    counts: fields.JSONField[dict[str, int]] = fields.JSONField(default=dict)
    withheld: fields.JSONField[dict[str, int]] = fields.JSONField(default=dict)
    plan: fields.JSONField[dict[str, Any] | None] = fields.JSONField(null=True)
    traffic: fields.JSONField[dict[str, Any] | None] = fields.JSONField(null=True)
    failure: fields.JSONField[dict[str, Any] | None] = fields.JSONField(null=True)
    cancel_requested = fields.BooleanField(default=False)
    lease_owner = fields.CharField(KEY, null=True)
    lease_expires_at = fields.DatetimeField(null=True)
    fence = fields.BigIntField(default=0)
    created_at = fields.DatetimeField()
    started_at = fields.DatetimeField(null=True)
    finished_at = fields.DatetimeField(null=True)

    class Meta:
        table = "run"
        unique_together = (("sync", "place"),)


# `subject` is the keyed hash of the external id, which is null once the person is gone.
class Erasure(Model):
    id = fields.BigIntField(primary_key=True)
    subject = Digest(db_index=True)
    external_id = fields.TextField(null=True)
    requested_at = fields.DatetimeField()
    finished_at = fields.DatetimeField(null=True, db_index=True)

    class Meta:
        table = "erasure"


class ErasurePlace(Model):
    id = fields.BigIntField(primary_key=True)
    erasure: fields.ForeignKeyRelation[Erasure] = fields.ForeignKeyField(
        "hub.Erasure", related_name="places", on_delete=OnDelete.CASCADE
    )
    erasure_id: int
    destination: fields.ForeignKeyRelation[Destination] = fields.ForeignKeyField(
        "hub.Destination", related_name="erasures", on_delete=OnDelete.CASCADE
    )
    destination_id: int
    done_at = fields.DatetimeField(null=True)
    attempts = fields.IntField(default=0)
    due_at = fields.DatetimeField()

    class Meta:
        table = "erasure_place"
        unique_together = (("erasure", "destination"),)


# What happened to a run, and when: a few rows each.
class RunMoment(Model):
    id = fields.BigIntField(primary_key=True)
    run: fields.ForeignKeyRelation[Run] = fields.ForeignKeyField(
        "hub.Run", related_name="moments", on_delete=OnDelete.CASCADE
    )
    kind = fields.CharField(20)
    at = fields.DatetimeField()
    people = fields.BigIntField(null=True)
    seconds = fields.FloatField(null=True)

    class Meta:
        table = "run_moment"
        indexes = (("run",),)


# Some of a run's requests, numbered as they ended; `kept` says why this one is among them. Nothing here is of a person.
class RunRequest(Model):
    id = fields.BigIntField(primary_key=True)
    run: fields.ForeignKeyRelation[Run] = fields.ForeignKeyField(
        "hub.Run", related_name="requests", on_delete=OnDelete.CASCADE
    )
    number = fields.BigIntField()
    kept = fields.CharField(20)
    at = fields.DatetimeField(db_index=True)
    method = fields.CharField(20)
    url = fields.TextField()
    status = fields.IntField(null=True)
    error = fields.CharField(KEY, null=True)
    duration_ms = fields.FloatField()
    attempt = fields.IntField()
    people = fields.BigIntField()
    sent = fields.TextField(null=True)
    received = fields.TextField(null=True)
    sent_bytes = fields.BigIntField()
    received_bytes = fields.BigIntField()

    class Meta:
        table = "run_request"
        unique_together = (("run", "number"),)


# How the newest import of each kind went; `failure` is null for one that went in.
class ImportOutcome(Model):
    id = fields.BigIntField(primary_key=True)
    kind = fields.CharField(20, unique=True)
    at = fields.DatetimeField()
    failure: fields.JSONField[dict[str, Any] | None] = fields.JSONField(null=True)

    class Meta:
        table = "import_outcome"
