"""Destinations: a connector with one account. Their secrets are sealed and opened here alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hub.core.records import Destination
from hub.errors import Problem
from hub.store import models, problems
from hub.store.database import Database, stored
from hub.store.repository import KeyedRepository, known
from hub.store.seal import Keyring


class Destinations(KeyedRepository[Destination]):
    model, noun = models.Destination, "destination"

    def __init__(self, database: Database, keys: Keyring) -> None:
        super().__init__(database)
        self._keyring = keys

    async def _records(self, rows: Sequence[models.Destination]) -> list[Destination]:
        return [_destination(row) for row in rows]

    @stored
    async def create(
        self,
        *,
        key: str,
        name: str,
        connector: str,
        config: Mapping[str, Any],
        secrets: Mapping[str, Any],
        feedback_purposes: Sequence[str] = (),
    ) -> Destination:
        """`config` without its secrets, `secrets` by field; HubError CONFLICT when the key is taken."""
        sealed = self._seal(key, secrets)
        row = await models.Destination.create(
            key=key,
            name=name,
            connector=connector,
            config=dict(config),
            secrets=sealed,
            feedback_purposes=list(feedback_purposes),
        )
        return _destination(row)

    @stored
    async def update(
        self, /, id: int, *, if_version: int | None = None, secrets: Mapping[str, Any] | None = None, **changes: Any
    ) -> Destination:
        """Changes of `name`, `config` (whole, without secrets) and `feedback_purposes` as a new version. `secrets`
        merges by field: one that is not named stays, None removes. HubError CONFLICT when it is not at `if_version`."""
        known(changes, "name", "config", "feedback_purposes")
        async with self._database.transaction():
            row = await models.Destination.filter(id=id).select_for_update().first()
            if row is None:
                raise self._gone()
            if secrets:
                changes["secrets"] = self._merged(row, secrets)
            await self._swap(id, if_version, changes)
        return await self._one(id)

    @stored
    async def pause(self, id: int, reason: Problem | None = None) -> Destination:
        """Nothing is sent until `resume`; `reason` says why where the hub did it by itself."""
        await models.Destination.filter(id=id).update(paused=True, paused_reason=problems.to_json(reason))
        return await self._one(id)

    @stored
    async def resume(self, id: int) -> Destination:
        await models.Destination.filter(id=id).update(paused=False, paused_reason=None)
        return await self._one(id)

    @stored
    async def secrets(self, id: int) -> dict[str, Any]:
        """The secrets in the clear, by field; HubError FORBIDDEN when they were sealed with another HUB_SECRET_KEY."""
        row = await models.Destination.get_or_none(id=id)
        if row is None:
            raise self._gone()
        return {name: self._keyring.open(value, _place(row.key, name)) for name, value in row.secrets.items()}

    @stored
    async def allowance(self, id: int) -> dict[str, Any]:
        """What `keep_allowance` kept; empty before the first time."""
        row = await models.Destination.get_or_none(id=id)
        return row.allowance or {} if row else {}

    @stored
    async def keep_allowance(self, id: int, memory: Mapping[str, Any]) -> None:
        """Keep any JSON about how much the vendor still allows; it is no change of the configuration."""
        await models.Destination.filter(id=id).update(allowance=dict(memory))

    def _merged(self, row: models.Destination, secrets: Mapping[str, Any]) -> dict[str, str]:
        kept = {name: value for name, value in row.secrets.items() if name not in secrets}
        return {**kept, **self._seal(row.key, secrets)}

    def _seal(self, key: str, secrets: Mapping[str, Any]) -> dict[str, str]:
        given = {name: value for name, value in secrets.items() if value is not None}
        return {name: self._keyring.seal(value, _place(key, name)) for name, value in given.items()}


def _place(key: str, name: str) -> tuple[str, str, str]:
    return "destination", key, name


def _destination(row: models.Destination) -> Destination:
    reason = problems.from_json(row.paused_reason)
    about = (row.id, row.key, row.name, row.connector, row.config, row.version, row.paused, reason)
    return Destination(*about, tuple(row.feedback_purposes or ()))
