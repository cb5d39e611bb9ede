"""Alert channels, and the notices on their way to them.

A notice is written in the transaction that turned a sync's health, once for each channel and once for the log. Whoever
claims one has it to itself for a while; it goes once it has been told, so a crash in between tells it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tortoise.expressions import F
from tortoise.functions import Count, Min

from hub.core.alerts.channel import AlertChannel, AlertChannelKind
from hub.core.alerts.wording import Notice
from hub.errors import Problem
from hub.store import health_rows, models, problems
from hub.store.database import Database, stored
from hub.store.repository import KeyedRepository, known
from hub.store.seal import Keyring

SECRET = "secret"  # noqa: S105 - the name of the field


class AlertChannels(KeyedRepository[AlertChannel]):
    model, noun = models.AlertChannel, "alert channel"

    def __init__(self, database: Database, keys: Keyring) -> None:
        super().__init__(database)
        self._keyring = keys

    async def _records(self, rows: Sequence[models.AlertChannel]) -> list[AlertChannel]:
        return [_channel(row) for row in rows]

    @stored
    async def create(
        self, *, key: str, name: str, kind: AlertChannelKind, url: str = "", to: Sequence[str] = (), secret: str = ""
    ) -> AlertChannel:
        """HubError CONFLICT when the key is taken. The `secret` is sealed."""
        row = await models.AlertChannel.create(
            key=key, name=name, kind=kind.value, config=_config(url, to), secrets=self._sealed(key, secret)
        )
        return _channel(row)

    @stored
    async def update(
        self, /, id: int, *, if_version: int | None = None, secret: str | None = None, **changes: Any
    ) -> AlertChannel:
        """Changes of `name`, `url`, `to` and the `secret` as a new version; HubError CONFLICT when it is not at
        `if_version`."""
        columns = dict(known(changes, "name", "url", "to"))
        old = await self._one(id)
        if columns.keys() & {"url", "to"}:
            columns["config"] = _config(columns.pop("url", old.url), columns.pop("to", old.to))
        if secret is not None:
            columns["secrets"] = self._sealed(old.key, secret)
        await self._swap(id, if_version, columns)
        return await self._one(id)

    @stored
    async def secret(self, id: int) -> str:
        """The secret in the clear, empty where there is none. HubError FORBIDDEN when another HUB_SECRET_KEY sealed
        it."""
        row = await models.AlertChannel.get_or_none(id=id)
        if row is None:
            raise self._gone()
        return str(self._keyring.open(row.secrets[SECRET], _place(row.key))) if row.secrets else ""

    @stored
    async def note(self, id: int, now: datetime, failure: Problem | None) -> None:
        """What the newest try came to."""
        reached = {} if failure else {"delivered_at": now}
        await models.AlertChannel.filter(id=id).update(failure=problems.to_json(failure), **reached)

    def _sealed(self, key: str, secret: str) -> dict[str, str]:
        return {SECRET: self._keyring.seal(secret, _place(key))} if secret else {}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notice for one channel, or for the log where `channel_id` is None, after so many tries."""

    id: int
    channel_id: int | None
    notice: Notice
    attempts: int
    created_at: datetime


class AlertNotices:
    def __init__(self, database: Database) -> None:
        self._database = database

    @stored
    async def due(self, now: datetime) -> list[Waiting]:
        """Of each channel the oldest notice, where it may be tried now: a channel hears things in their order."""
        oldest = models.AlertNotice.all().annotate(oldest=Min("id")).group_by("channel_id")
        heads = [id for _, id in await oldest.values_list("channel_id", "oldest")]
        rows = await models.AlertNotice.filter(id__in=heads, due_at__lte=now).order_by("id")
        return [_waiting(row) for row in rows]

    @stored
    async def claim(self, waiting: Waiting, now: datetime, lease_s: float) -> bool:
        """Whether the next try is the caller's; for `lease_s` seconds nobody else makes one."""
        untouched = models.AlertNotice.filter(id=waiting.id, attempts=waiting.attempts)
        until = now + timedelta(seconds=lease_s)
        return bool(await untouched.update(attempts=F("attempts") + 1, due_at=until))

    @stored
    async def try_again(self, id: int, at: datetime) -> None:
        await models.AlertNotice.filter(id=id).update(due_at=at)

    @stored
    async def done(self, id: int) -> None:
        """Forget a notice that has been told, or given up."""
        await models.AlertNotice.filter(id=id).delete()

    @stored
    async def waiting_for(self, channel_ids: Iterable[int]) -> dict[int, int]:
        """How many notices wait, by channel; those without any are absent."""
        rows = models.AlertNotice.filter(channel_id__in=list(channel_ids)).annotate(many=Count("id"))
        return dict(await rows.group_by("channel_id").values_list("channel_id", "many"))


def _config(url: str, to: Sequence[str]) -> dict[str, Any]:
    return {"url": url} if url else {"to": list(to)}


def _place(key: str) -> tuple[str, str, str]:
    return "alert_channel", key, SECRET


def _channel(row: models.AlertChannel) -> AlertChannel:
    return AlertChannel(
        id=row.id,
        key=row.key,
        name=row.name,
        kind=AlertChannelKind(row.kind),
        version=row.version,
        url=row.config.get("url", ""),
        to=tuple(row.config.get("to", ())),
        delivered_at=row.delivered_at,
        failure=problems.from_json(row.failure),
    )


def _waiting(row: models.AlertNotice) -> Waiting:
    return Waiting(row.id, row.channel_id, health_rows.to_notice(row.notice), row.attempts, row.created_at)
