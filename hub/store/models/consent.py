"""The ledger of what people decided, and what the data plane has yet to hear of it."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.models import Model

from hub.store.columns import Digest
from hub.store.models.definitions import KEY


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
    payload: fields.JSONField[dict[str, Any]] = fields.JSONField()
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "outbox"
