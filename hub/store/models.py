"""The tables of the control plane. They stay inside the store, which hands out `hub.core.records`. Notes on them are
comments, since Tortoise would write a docstring into the schema.

Change one, then write the migration with `python -m hub.store.migrations`; a test compares the two.
"""

from __future__ import annotations

from tortoise import fields
from tortoise.fields.base import OnDelete
from tortoise.models import Model

from hub.store.columns import Digest

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
    segment = fields.ForeignKeyField("hub.Segment", related_name="versions", on_delete=OnDelete.CASCADE)
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
    segment = fields.ForeignKeyField("hub.Segment", related_name="evaluations", on_delete=OnDelete.CASCADE)
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
    config = fields.JSONField(default=dict)
    secrets = fields.JSONField(default=dict)
    paused = fields.BooleanField(default=False)
    paused_reason = fields.JSONField(null=True)
    version = fields.IntField(default=1)
    allowance = fields.JSONField(null=True)

    class Meta:
        table = "destination"


class Sync(Model):
    id = fields.BigIntField(primary_key=True)
    key = fields.CharField(KEY, unique=True)
    segment = fields.ForeignKeyField("hub.Segment", related_name="syncs", on_delete=OnDelete.RESTRICT)
    destination = fields.ForeignKeyField("hub.Destination", related_name="syncs", on_delete=OnDelete.RESTRICT)
    audience = fields.CharField(NAME)
    purposes = fields.JSONField(default=list)
    mode = fields.CharField(20)
    schedule = fields.CharField(NAME)
    field_map = fields.JSONField(default=dict)
    max_removal_share = fields.FloatField(default=0.3)
    rollout_share = fields.FloatField(default=1.0, db_default=1.0)
    alerts = fields.JSONField(null=True)
    max_growth = fields.FloatField(default=10.0, db_default=10.0)
    scheduled_at = fields.DatetimeField(null=True)
    paused = fields.BooleanField(default=False)
    version = fields.IntField(default=1)

    class Meta:
        table = "sync"
        unique_together = (("audience", "destination"),)


# `place` is what a run holds of its sync, unique while it holds it: next in line, or under way; see `runs`. `traffic`
# is `hub.core.history.Traffic`.
class Run(Model):
    id = fields.BigIntField(primary_key=True)
    sync = fields.ForeignKeyField("hub.Sync", related_name="runs", null=True, on_delete=OnDelete.SET_NULL)
    place = fields.CharField(NAME + KEY, null=True)
    cause = fields.CharField(20)
    scope = fields.CharField(20)
    audience = fields.CharField(NAME, default="")
    status = fields.CharField(20, db_index=True)
    as_of = fields.DatetimeField(null=True)
    watermark = fields.BigIntField(null=True)
    counts = fields.JSONField(default=dict)
    withheld = fields.JSONField(default=dict)
    plan = fields.JSONField(null=True)
    traffic = fields.JSONField(null=True)
    failure = fields.JSONField(null=True)
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


# What happened to a run, and when: a few rows each.
class RunMoment(Model):
    id = fields.BigIntField(primary_key=True)
    run = fields.ForeignKeyField("hub.Run", related_name="moments", on_delete=OnDelete.CASCADE)
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
    run = fields.ForeignKeyField("hub.Run", related_name="requests", on_delete=OnDelete.CASCADE)
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
    failure = fields.JSONField(null=True)

    class Meta:
        table = "import_outcome"


# The ledger. Triggers refuse any change of a row once it stands. Times are microseconds since 1970, in UTC;
# `identity` is what makes an entry the same as one before: its entry id, or else its content.
class ConsentEntry(Model):
    seq = fields.BigIntField(primary_key=True)
    identity = Digest(unique=True)
    subject = Digest()
    purpose = fields.TextField()
    action = fields.CharField(20)
    source = fields.TextField()
    evidence = fields.TextField(null=True)
    effective_us = fields.BigIntField()
    recorded_us = fields.BigIntField()
    expires_us = fields.BigIntField(null=True)
    entry_id = fields.TextField(default="")
    content_hash = Digest()

    class Meta:
        table = "consent_entry"


# What the data plane has yet to be told: written in the transaction that made it true, gone once applied.
class Outbox(Model):
    id = fields.BigIntField(primary_key=True)
    kind = fields.CharField(KEY)
    payload = fields.JSONField()
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "outbox"


# `hash` is the hex SHA-256 of the token, which is nowhere stored.
class AdminToken(Model):
    id = fields.BigIntField(primary_key=True)
    hash = fields.CharField(64, unique=True)
    created_at = fields.DatetimeField(auto_now_add=True)
    revoked_at = fields.DatetimeField(null=True)

    class Meta:
        table = "admin_token"


class WriteKey(Model):
    id = fields.BigIntField(primary_key=True)
    name = fields.CharField(NAME)
    hash = fields.CharField(64, unique=True)
    created_at = fields.DatetimeField(auto_now_add=True)
    last_used_at = fields.DatetimeField(null=True)
    revoked_at = fields.DatetimeField(null=True)

    class Meta:
        table = "write_key"


# `config` holds a webhook's address or the addresses of an e-mail, `secrets` each secret field's sealed value.
class AlertChannel(Model):
    id = fields.BigIntField(primary_key=True)
    key = fields.CharField(KEY, unique=True)
    name = fields.CharField(NAME)
    kind = fields.CharField(20)
    config = fields.JSONField(default=dict)
    secrets = fields.JSONField(default=dict)
    delivered_at = fields.DatetimeField(null=True)
    failure = fields.JSONField(null=True)
    version = fields.IntField(default=1)

    class Meta:
        table = "alert_channel"


# `watch` is the schedule under which the sync is watched since `watched_since`; the notice is the newest about it.
class SyncHealth(Model):
    id = fields.BigIntField(primary_key=True)
    sync = fields.OneToOneField("hub.Sync", related_name="health", on_delete=OnDelete.CASCADE)
    state = fields.CharField(20)
    since = fields.DatetimeField()
    causes = fields.JSONField(default=list)
    spells = fields.IntField(default=0)
    calm_since = fields.DatetimeField(null=True)
    watch = fields.CharField(NAME)
    watched_since = fields.DatetimeField()
    notice = fields.JSONField(null=True)
    version = fields.IntField(default=1)

    class Meta:
        table = "sync_health"


# What a channel has yet to be told, or the log where the channel is null: written in the transaction that turned the
# sync's health, gone once it has been told. Nobody tries it before `due_at`.
class AlertNotice(Model):
    id = fields.BigIntField(primary_key=True)
    channel = fields.ForeignKeyField("hub.AlertChannel", related_name="notices", null=True, on_delete=OnDelete.CASCADE)
    notice = fields.JSONField()
    attempts = fields.IntField(default=0)
    due_at = fields.DatetimeField()
    created_at = fields.DatetimeField()

    class Meta:
        table = "alert_notice"
