"""The control plane, open: one repository for each noun."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from hub.errors import ErrorCode, refuse
from hub.store.alerts import AlertChannels, AlertNotices
from hub.store.database import Database
from hub.store.destinations import Destinations
from hub.store.dump import Dump
from hub.store.erasures import Erasures
from hub.store.health import SyncHealths
from hub.store.history import History
from hub.store.imports import Imports
from hub.store.kept_tokens import KeptTokens
from hub.store.ledger import Ledger
from hub.store.outbox import Outbox
from hub.store.purposes import Purposes
from hub.store.runs import Runs
from hub.store.seal import Keyring
from hub.store.segments import Segments
from hub.store.syncs import Syncs
from hub.store.tokens import Tokens, WriteKeys
from hub.store.upgrade import Upgrade


@dataclass(frozen=True, slots=True)
class Store:
    purposes: Purposes
    segments: Segments
    destinations: Destinations
    kept_tokens: KeptTokens
    syncs: Syncs
    runs: Runs
    erasures: Erasures
    history: History
    imports: Imports
    ledger: Ledger
    outbox: Outbox
    tokens: Tokens
    write_keys: WriteKeys
    healths: SyncHealths
    alert_channels: AlertChannels
    alert_notices: AlertNotices
    dump: Dump
    _database: Database

    @classmethod
    async def open(cls, url: str, keys: Keyring) -> Store:
        """Open the control plane at `sqlite:///PATH` or `postgresql://…`. HubError when it awaits `hub migrate` or this
        process already uses the other kind; StoreError when nothing answers there."""
        database = await Database.open(url)
        try:
            if missing := await Upgrade(database).pending():
                message = f"The control plane lacks {len(missing)} upgrade(s): run `hub migrate`, then start again."
                raise refuse(ErrorCode.CONFLICT, message, "HUB_DATABASE_URL")
        except BaseException:
            await database.close()
            raise
        return cls(
            purposes=Purposes(database),
            segments=Segments(database),
            destinations=Destinations(database, keys),
            kept_tokens=KeptTokens(database, keys),
            syncs=Syncs(database),
            runs=Runs(database),
            erasures=Erasures(database),
            history=History(database),
            imports=Imports(database),
            ledger=Ledger(database),
            outbox=Outbox(database),
            tokens=Tokens(database),
            write_keys=WriteKeys(database),
            healths=SyncHealths(database),
            alert_channels=AlertChannels(database, keys),
            alert_notices=AlertNotices(database),
            dump=Dump(database),
            _database=database,
        )

    @property
    def folder(self) -> Path | None:
        """Where its file is; None on a server."""
        return self._database.folder

    async def try_writing(self) -> None:
        """A small write that changes nothing. Raises StoreError if none is taken."""
        await self._database.try_writing()

    async def close(self) -> None:
        await self._database.close()

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """All or nothing for the store calls inside. On SQLite everyone else waits meanwhile: await nothing else."""
        return self._database.transaction()
