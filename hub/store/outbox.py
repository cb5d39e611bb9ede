"""The outbox: what one plane must tell the other, kept in the transaction that made it true until it has been applied.

Applying is idempotent, since a crash between applying and `done` repeats it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.store import models
from hub.store.database import Database, stored


@dataclass(frozen=True, slots=True)
class Message:
    id: int
    kind: str
    payload: dict[str, Any]
    created_at: datetime


class Outbox:
    def __init__(self, database: Database) -> None:
        self._database = database

    @stored
    async def add(self, kind: str, payload: Mapping[str, Any]) -> int:
        """Its id. Call it inside `store.transaction()` together with what the message tells of."""
        return int((await models.Outbox.create(kind=kind, payload=dict(payload))).id)

    @stored
    async def pending(self, first: int = 100) -> list[Message]:
        """The oldest that have not been applied."""
        rows = await models.Outbox.all().order_by("id").limit(first)
        return [Message(row.id, row.kind, row.payload, row.created_at) for row in rows]

    @stored
    async def done(self, ids: Iterable[int]) -> None:
        """Forget messages that have been applied."""
        await models.Outbox.filter(id__in=list(ids)).delete()
