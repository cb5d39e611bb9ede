"""Purposes: what consent is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hub.core.records import Purpose
from hub.store import models
from hub.store.database import stored
from hub.store.repository import KeyedRepository, known


class Purposes(KeyedRepository[Purpose]):
    model, noun = models.Purpose, "purpose"

    async def _records(self, rows: Sequence[models.Purpose]) -> list[Purpose]:
        return [Purpose(row.id, row.key, row.name, row.description) for row in rows]

    @stored
    async def create(self, *, key: str, name: str, description: str = "") -> Purpose:
        """HubError CONFLICT when the key is taken."""
        row = await models.Purpose.create(key=key, name=name, description=description)
        return await self._one(row.id)

    @stored
    async def update(self, /, id: int, **changes: Any) -> Purpose:
        """Changes of `name` and `description`; what is not named stays."""
        if known(changes, "name", "description"):
            await models.Purpose.filter(id=id).update(**changes)
        return await self._one(id)
