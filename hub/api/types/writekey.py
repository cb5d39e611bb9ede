"""Write keys: what an app needs to send events, and nothing more."""

from __future__ import annotations

from datetime import datetime

import strawberry
from strawberry import ID

from hub.api.ids import global_id
from hub.api.words import says
from hub.core import records


@strawberry.type(
    description="A key that may send events and profiles in, and do nothing else. The secret is never shown again."
)
class WriteKey:
    id: ID = says("Opaque and stable.")
    name: str = says("What the key is for.")
    created_at: datetime = says("When it was made.")
    last_used_at: datetime | None = says("When something last came in with it; null if nothing ever did.")

    @classmethod
    def of(cls, record: records.WriteKey) -> WriteKey:
        identity = global_id("WriteKey", record.id)
        return cls(id=identity, name=record.name, created_at=record.created_at, last_used_at=record.last_used_at)
