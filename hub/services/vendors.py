"""Connectors at work: one instance for each destination, for as long as its configuration stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from pydantic import ValidationError

from hub.core.limits.memory import Memory
from hub.core.records import Destination
from hub.errors import ErrorCode, HubError, Problem
from hub.sdk.contract import Connector
from hub.sdk.http import Http
from hub.sdk.workspace import Workspace
from hub.services.hub import Hub
from hub.services.kept_tokens import DestinationKeeper
from hub.services.limiters import Limiter

FILES = "files"
AnyConnector = Connector[Any]


class Vendors:
    """Close it when done: it holds the one client that all connectors speak through."""

    def __init__(self, hub: Hub, make_limiter: Callable[[], Limiter] = Limiter) -> None:
        self._hub = hub
        self._make_limiter = make_limiter
        self._http = Http(hub.egress)
        files = hub.settings.data / FILES
        files.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._workspace = Workspace(files)
        self._known: dict[int, tuple[int, Connector[Any]]] = {}
        self._limiters: dict[int, Limiter] = {}
        self._kept: dict[int, Memory] = {}

    def limiter(self, destination: Destination) -> Limiter:
        """The one that all runs of the destination share; it outlives changes of the configuration."""
        return self._limiters.setdefault(destination.id, self._make_limiter())

    async def engage(self, destination: Destination) -> tuple[Connector[Any], Limiter]:
        """The connector and the limiter for a run; another process may have spoken for the destination meanwhile.
        Raises what `connect` raises."""
        connector, limiter = await self.connect(destination), self.limiter(destination)
        limiter.recall(await self.allowance(destination))
        return connector, limiter

    async def allowance(self, destination: Destination) -> Memory:
        """What was known of its limits when somebody last spoke for it."""
        return cast(Memory, await self._hub.store.destinations.allowance(destination.id))

    async def remember(self, destination: Destination) -> None:
        """So that whoever speaks for the destination next knows what is left, today, of what it allows."""
        memory = self.limiter(destination).memory
        if memory != self._kept.get(destination.id):
            await self._hub.store.destinations.keep_allowance(destination.id, memory)
            self._kept[destination.id] = memory

    async def connect(self, destination: Destination) -> Connector[Any]:
        """The destination's connector. HubError NOT_FOUND when it is not installed or disabled, INVALID when the
        configuration no longer fits it, FORBIDDEN when its secrets cannot be opened."""
        version, connector = self._known.get(destination.id, (0, None))
        if connector is None or version != destination.version:
            secrets = await self._hub.store.destinations.secrets(destination.id)
            connector = self._build(destination, {**destination.config, **secrets})
            self.limiter(destination).obey(connector.limits())
            self._known[destination.id] = (destination.version, connector)
        return connector

    def _build(self, destination: Destination, config: Mapping[str, Any]) -> Connector[Any]:
        connector = self._hub.registry.find(destination.connector)
        try:
            read = connector.Config.model_validate(dict(config))
        except ValidationError as error:
            raise HubError(
                *(_problem(fault["loc"], fault["msg"]) for fault in error.errors(include_input=False))
            ) from None
        keeper = DestinationKeeper(self._hub, destination)
        http = self._http.watched_by(self.limiter(destination)).with_keeper(keeper)
        return connector(read, http, self._workspace)

    async def close(self) -> None:
        await self._http.aclose()


def _problem(location: tuple[int | str, ...], message: str) -> Problem:
    path = tuple(str(part) for part in location)
    return Problem(ErrorCode.INVALID, f"{'.'.join(path)}: {message}", ("config", *path))
