"""What an admin has made: purposes, segments, destinations, syncs."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.fields.base import OnDelete
from tortoise.models import Model

KEY = 100
NAME = 300


class Purpose(Model):
    id = fields.BigIntField(primary_key=True)
    key = fields.CharField(KEY, unique=True)
    name = fields.CharField(NAME)
    description = fields.TextField(default="")

    class Meta:
        table = "purpose"


class Segment(Model):
    id = fields.BigIntField(primary_key=True)
    key = fields.CharField(KEY, unique=True)
    name = fields.CharField(NAME)
    description = fields.TextField(default="")
    rule = fields.TextField()
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "segment"


# What a segment was at each of its versions, the one in force included.
class SegmentVersion(Model):
    id = fields.BigIntField(primary_key=True)
    segment: fields.ForeignKeyRelation[Segment] = fields.ForeignKeyField(
        "hub.Segment", related_name="versions", on_delete=OnDelete.CASCADE
    )
    version = fields.IntField()
    name = fields.CharField(NAME)
    description = fields.TextField(default="")
    rule = fields.TextField()
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "segment_version"
        unique_together = (("segment", "version"),)


# The newest evaluation under each lens; `version` is the segment's that was evaluated.
class SegmentEvaluation(Model):
    id = fields.BigIntField(primary_key=True)
    segment: fields.ForeignKeyRelation[Segment] = fields.ForeignKeyField(
        "hub.Segment", related_name="evaluations", on_delete=OnDelete.CASCADE
    )
    segment_id: int
    lens = fields.CharField(20)
    version = fields.IntField()
    size = fields.BigIntField()
    entered = fields.BigIntField()
    left = fields.BigIntField()
    as_of = fields.DatetimeField()
    evaluated_at = fields.DatetimeField()

    class Meta:
        table = "segment_evaluation"
        unique_together = (("segment", "lens"),)


# `secrets` maps each secret field of the configuration to its sealed value.
class Destination(Model):
    id = fields.BigIntField(primary_key=True)
    key = fields.CharField(KEY, unique=True)
    name = fields.CharField(NAME)
    connector = fields.CharField(KEY)
    config: fields.JSONField[dict[str, Any]] = fields.JSONField(default=dict)
    secrets: fields.JSONField[dict[str, str]] = fields.JSONField(default=dict)
    paused = fields.BooleanField(default=False)
    paused_reason: fields.JSONField[dict[str, Any] | None] = fields.JSONField(null=True)
    version = fields.IntField(default=1)
    allowance: fields.JSONField[dict[str, Any] | None] = fields.JSONField(null=True)
    feedback_purposes: fields.JSONField[list[str] | None] = fields.JSONField(null=True)

    class Meta:
        table = "destination"


# What has come of a destination's refresh token, sealed; `version` is the destination's that it was kept under. Whoever
# exchanges it just now is the `holder`, until then at the longest.
class KeptToken(Model):
    id = fields.BigIntField(primary_key=True)
    destination: fields.OneToOneRelation[Destination] = fields.OneToOneField(
        "hub.Destination", related_name="kept_token", on_delete=OnDelete.CASCADE
    )
    sealed = fields.TextField(null=True)
    version = fields.IntField(default=0)
    holder = fields.CharField(KEY, null=True)
    held_until = fields.DatetimeField(null=True)

    class Meta:
        table = "kept_token"


class Sync(Model):
    id = fields.BigIntField(primary_key=True)
    key = fields.CharField(KEY, unique=True)
    segment: fields.ForeignKeyRelation[Segment] = fields.ForeignKeyField(
        "hub.Segment", related_name="syncs", on_delete=OnDelete.RESTRICT
    )
    segment_id: int
    destination: fields.ForeignKeyRelation[Destination] = fields.ForeignKeyField(
        "hub.Destination", related_name="syncs", on_delete=OnDelete.RESTRICT
    )
    destination_id: int
    audience = fields.CharField(NAME)
    purposes: fields.JSONField[list[str]] = fields.JSONField(default=list)
    mode = fields.CharField(20)
    schedule = fields.CharField(NAME)
    field_map: fields.JSONField[dict[str, str]] = fields.JSONField(default=dict)
    max_removal_share = fields.FloatField(default=0.3)
    rollout_share = fields.FloatField(default=1.0, db_default=1.0)
    alerts: fields.JSONField[dict[str, Any] | None] = fields.JSONField(null=True)
    max_growth = fields.FloatField(default=10.0, db_default=10.0)
    scheduled_at = fields.DatetimeField(null=True)
    audit_schedule = fields.CharField(NAME, null=True)
    audit_scheduled_at = fields.DatetimeField(null=True)
    signals: fields.JSONField[dict[str, str] | None] = fields.JSONField(null=True)
    paused = fields.BooleanField(default=False)
    version = fields.IntField(default=1)

    class Meta:
        table = "sync"
        unique_together = (("audience", "destination"),)
