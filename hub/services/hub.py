"""The running hub: both planes, the plugins and the clock, opened together and handed to every use case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hub.core.clock import Clock
from hub.core.identifiers import Pepper
from hub.errors import ErrorCode, refuse
from hub.plugins import Registry, load_registry
from hub.sdk.egress import EgressPolicy
from hub.services.ground import Ground
from hub.settings import Settings
from hub.store import Store
from hub.store.seal import Keyring, open_keyring
from hub.warehouse.engine import Engine
from hub.warehouse.opening import open_engine
from hub.warehouse.schema import create_or_upgrade, is_keyed_by


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class Bell:
    """Wakes all who wait at the moment it is rung, and nobody who comes later."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self, most_s: float) -> None:
        """Until it is rung, or so many seconds have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._rung.wait()


@dataclass(slots=True)
class Signals:
    """Nudges for the worker, and `run_ended` for who watches a run. Each is only a hint: what must not be missed is
    found again in the stores."""

    imported: asyncio.Event = field(default_factory=asyncio.Event)
    consent_changed: asyncio.Event = field(default_factory=asyncio.Event)
    membership_changed: asyncio.Event = field(default_factory=asyncio.Event)
    run_queued: asyncio.Event = field(default_factory=asyncio.Event)
    noticed: asyncio.Event = field(default_factory=asyncio.Event)
    run_ended: Bell = field(default_factory=Bell)


@dataclass(slots=True)
class Hub:
    settings: Settings
    store: Store
    engine: Engine
    registry: Registry
    keys: Keyring
    egress: EgressPolicy
    ground: Ground
    clock: Clock = field(default_factory=SystemClock)
    signals: Signals = field(default_factory=Signals)

    @property
    def pepper(self) -> Pepper:
        return self.keys.pepper


@asynccontextmanager
async def open_hub(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Hub]:
    """Open both planes under `settings`; raises HubError when another process owns the data plane, when it was made
    under another secret key, or when a store needs `hub migrate`."""
    make_folder(settings)
    keys = open_keyring(settings)
    # Before the data plane, which is upgraded by opening it: a hub that is refused here is left as it was.
    store = await Store.open(settings.database, keys)
    try:
        engine = await asyncio.to_thread(_open_engine, settings, keys)
        try:
            registry, egress = load_registry(settings.connectors), EgressPolicy(settings.egress_allow)
            async with aclosing(Ground(store, engine)) as ground:
                yield Hub(settings, store, engine, registry, keys, egress, ground, clock or SystemClock())
        finally:
            await asyncio.to_thread(engine.close)
    finally:
        await store.close()


def make_folder(settings: Settings) -> None:
    """Make HUB_DATA for this user alone, if it is not there; HubError when it cannot be a folder."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        message = f"{settings.data} cannot be the hub's folder: {error.strerror}."
        raise refuse(ErrorCode.INVALID, message, "HUB_DATA") from None


def _open_engine(settings: Settings, keys: Keyring) -> Engine:
    engine = open_engine(settings.warehouse, memory_limit=settings.memory_limit, threads=settings.threads)
    try:
        create_or_upgrade(engine)
        if not is_keyed_by(engine, keys.mark):
            # Its people are known by keyed hashes: under another key, a withdrawal by address would find nobody.
            message = "The data plane was made under another secret key: put back the key that was in use."
            raise refuse(ErrorCode.FORBIDDEN, message, "HUB_SECRET_KEY")
    except BaseException:  # a cancel too: nobody else closes it
        engine.close()
        raise
    return engine
