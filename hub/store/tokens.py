"""The admin's token and the keys that let events in. Only their SHA-256 is stored: 256 random bits need no more."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from hub.core.records import WriteKey
from hub.errors import ErrorCode, refuse
from hub.store import models
from hub.store.database import Database, stored
from hub.store.repository import Repository

TOKEN_PREFIX, KEY_PREFIX = "hub_admin_", "hub_write_"
# A durable write for every event that comes in would cost more than it tells.
USE_IS_NOTED_EVERY = timedelta(minutes=1)


class Tokens:
    """There is one admin token; whoever holds it may do everything."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @stored
    async def verify(self, token: str) -> bool:
        """Whether this is the admin's token, in constant time."""
        given = _hash(token)
        in_force = await models.AdminToken.filter(revoked_at__isnull=True).values_list("hash", flat=True)
        return sum(hmac.compare_digest(given, str(known)) for known in in_force) > 0

    @stored
    async def bootstrap(self, token: str | None, *, now: datetime) -> str | None:
        """See to it that there is a token. `token` is HUB_ADMIN_TOKEN: it takes the place of any other, unless it was
        itself replaced before, so that a rotation outlives a restart. Without it the first start makes one, and only
        that one is returned, to be shown once."""
        if token is None:
            has_one = await models.AdminToken.filter(revoked_at__isnull=True).exists()
            return None if has_one else await self._replace(_new(TOKEN_PREFIX), now)
        if not await models.AdminToken.filter(hash=_hash(token)).exists():
            await self._replace(token, now)
        return None

    @stored
    async def rotate(self, *, now: datetime) -> str:
        """A new token in place of the old one, which is refused from now on; to be shown once."""
        return await self._replace(_new(TOKEN_PREFIX), now)

    async def _replace(self, token: str, now: datetime) -> str:
        async with self._database.transaction():
            await models.AdminToken.filter(revoked_at__isnull=True).update(revoked_at=now)
            await models.AdminToken.create(hash=_hash(token))
        return token


class WriteKeys(Repository[WriteKey]):
    """Keys in force; a revoked one is as good as gone."""

    model, noun = models.WriteKey, "write key"

    async def _records(self, rows: Sequence[models.WriteKey]) -> list[WriteKey]:
        return [WriteKey(row.id, row.name, row.created_at, row.last_used_at) for row in rows if row.revoked_at is None]

    @stored
    async def create(self, name: str) -> tuple[WriteKey, str]:
        """The key's record, and the key itself, to be shown once."""
        key = _new(KEY_PREFIX)
        row = await models.WriteKey.create(name=name, hash=_hash(key))
        return await self._one(row.id), key

    @stored
    async def bootstrap(self, key: str | None, name: str = "HUB_WRITE_KEY") -> None:
        """See to it that the key which the operator set lets events in, unless it has been revoked."""
        if key is not None and not await models.WriteKey.filter(hash=_hash(key)).exists():
            await models.WriteKey.create(name=name, hash=_hash(key))

    @stored
    async def verify(self, key: str, *, now: datetime) -> WriteKey | None:
        """The record of a key in force, or None. Its use is noted at most once a minute."""
        given = _hash(key)
        row = await models.WriteKey.filter(hash=given, revoked_at__isnull=True).first()
        if row is None or not hmac.compare_digest(row.hash, given):
            return None
        if row.last_used_at is None or now - row.last_used_at >= USE_IS_NOTED_EVERY:
            await models.WriteKey.filter(id=row.id).update(last_used_at=now)
        return (await self._records([row]))[0]

    @stored
    async def revoke(self, id: int, *, now: datetime) -> WriteKey:
        """The key as it was; HubError NOT_FOUND when it is not in force."""
        record = await self._first(models.WriteKey.filter(id=id))
        if record is None:
            raise refuse(ErrorCode.NOT_FOUND, "This write key is not in force.", "id")
        await models.WriteKey.filter(id=id).update(revoked_at=now)
        return record


def _new(prefix: str) -> str:
    return prefix + secrets.token_urlsafe(32)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
