"""Who may come in, and whom the hub tells when something is bad."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.fields.base import OnDelete
from tortoise.models import Model

from hub.store.models.definitions import KEY, NAME, Sync


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
    config: fields.JSONField[dict[str, Any]] = fields.JSONField(default=dict)
    secrets: fields.JSONField[dict[str, str]] = fields.JSONField(default=dict)
    delivered_at = fields.DatetimeField(null=True)
    failure: fields.JSONField[dict[str, Any] | None] = fields.JSONField(null=True)
    version = fields.IntField(default=1)

    class Meta:
        table = "alert_channel"


# `watch` is the schedule under which the sync is watched since `watched_since`; the notice is the newest about it.
class SyncHealth(Model):
    id = fields.BigIntField(primary_key=True)
    sync: fields.OneToOneRelation[Sync] = fields.OneToOneField(
        "hub.Sync", related_name="health", on_delete=OnDelete.CASCADE
    )
    sync_id: int
    state = fields.CharField(20)
    since = fields.DatetimeField()
    causes: fields.JSONField[list[dict[str, Any]]] = fields.JSONField(default=list)
    spells = fields.IntField(default=0)
    calm_since = fields.DatetimeField(null=True)
    watch = fields.CharField(NAME)
    watched_since = fields.DatetimeField()
    notice: fields.JSONField[dict[str, Any] | None] = fields.JSONField(null=True)
    version = fields.IntField(default=1)

    class Meta:
        table = "sync_health"


# What a channel has yet to be told, or the log where the channel is null: written in the transaction that turned the
# sync's health, gone once it has been told. Nobody tries it before `due_at`.
class AlertNotice(Model):
    id = fields.BigIntField(primary_key=True)
    channel: fields.ForeignKeyNullableRelation[AlertChannel] = fields.ForeignKeyField(
        "hub.AlertChannel", related_name="notices", null=True, on_delete=OnDelete.CASCADE
    )
    channel_id: int | None
    notice: fields.JSONField[dict[str, Any]] = fields.JSONField()
    attempts = fields.IntField(default=0)
    due_at = fields.DatetimeField()
    created_at = fields.DatetimeField()

    class Meta:
        table = "alert_notice"
