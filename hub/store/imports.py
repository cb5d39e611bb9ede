"""How the newest import of each kind went."""

from __future__ import annotations

from datetime import datetime

from hub.core.imports import ImportKind
from hub.errors import Problem
from hub.store import models, problems
from hub.store.database import Database, stored


class Imports:
    def __init__(self, database: Database) -> None:
        self._database = database

    @stored
    async def note(self, kind: ImportKind, at: datetime, failure: Problem | None) -> None:
        row = models.ImportOutcome(kind=kind.value, at=at, failure=problems.to_json(failure))
        await models.ImportOutcome.bulk_create([row], on_conflict=["kind"], update_fields=["at", "failure"])

    @stored
    async def failed_since(self, since: datetime) -> dict[ImportKind, Problem]:
        """Of the kinds whose newest import failed after that instant, why."""
        rows = await models.ImportOutcome.filter(at__gt=since)
        found = {ImportKind(row.kind): problems.from_json(row.failure) for row in rows}
        return {kind: failure for kind, failure in found.items() if failure}
