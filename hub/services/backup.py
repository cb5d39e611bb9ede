"""Backups of both planes at one moment, and starting again from one.

A backup is the past, and people may have said no since. Whatever denials, withdrawals and erasures the replaced control
plane still knows are carried over; where there is none to read, every destination stays paused until someone has
replayed them.
"""

from __future__ import annotations

import asyncio
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from hub.core.records import ConsentAction, Erasure
from hub.errors import ErrorCode, HubError, Problem, refuse
from hub.services import erasures, projection
from hub.services.hub import Hub, SystemClock, open_hub
from hub.settings import Settings
from hub.store import NewEntry, Store, StoreError, migrate
from hub.store.seal import Keyring, open_keyring
from hub.warehouse import erasure as traces
from hub.warehouse.opening import duckdb_path
from hub.warehouse.rewriting import rewrite

FORMAT = 1
MANIFEST, WAREHOUSE, DUMP = "manifest.json", "warehouse.duckdb", "control"
# Sealed into every backup: only the key that wrote it can open the destinations' secrets and find the ledger's people.
PLACE = ("backup", "manifest", "key")


@dataclass(frozen=True, slots=True)
class Restored:
    """`head` is the ledger's newest number in the backup; `carried_over` the denials and withdrawals recorded after it
    that the replaced ledger still knew, or None where there was none to read; `erased_again` those whom the backup
    still has although they were erased since."""

    taken_at: datetime
    head: int
    carried_over: int | None
    set_aside: Path | None
    erased_again: int


@dataclass(frozen=True, slots=True)
class Since:
    """What the replaced control plane knows that the backup must not undo."""

    denials: Sequence[NewEntry]
    erasures: Sequence[Erasure]


async def create(hub: Hub, target: Path) -> None:
    """Write a tar of both planes as they stand between two writes of the data plane."""
    with tempfile.TemporaryDirectory(dir=hub.settings.data, prefix="backup-") as made:
        folder = Path(made)
        await _copy_planes(hub, folder)
        await asyncio.to_thread(_pack, folder, target)


async def restore(settings: Settings, source: Path) -> Restored:
    """Replace both stores by the backup's, while no hub runs. HubError when it is no backup of a hub with this secret
    key, or when the control plane is a PostgreSQL database that is not empty."""
    keys = open_keyring(settings)
    with tempfile.TemporaryDirectory(dir=settings.data, prefix="restore-") as made:
        folder = Path(made)
        await asyncio.to_thread(_unpack, source, folder)
        manifest = _read_manifest(folder, keys)
        since = await _since(settings, keys, manifest["head"])
        set_aside = _set_aside(settings)
        await _put_back(settings, keys, folder, manifest["taken_at"], since)
    async with open_hub(settings) as hub:
        await projection.rebuild(hub)
        erased = await _erase_again(hub, since.erasures if since else ())
    carried_over = None if since is None else len(since.denials)
    return Restored(datetime.fromisoformat(manifest["taken_at"]), manifest["head"], carried_over, set_aside, erased)


async def _copy_planes(hub: Hub, folder: Path) -> None:
    loop = asyncio.get_running_loop()
    (folder / DUMP).mkdir()

    def copy_control_plane() -> None:
        asyncio.run_coroutine_threadsafe(_write_control_plane(hub, folder), loop).result()

    # No outcome can be written meanwhile, so neither plane knows of a delivery that the other does not.
    await asyncio.to_thread(hub.engine.copy_to, folder / WAREHOUSE, copy_control_plane)
    memory, threads = hub.settings.memory_limit, hub.settings.threads
    await asyncio.to_thread(rewrite, folder / WAREHOUSE, memory_limit=memory, threads=threads)


async def _write_control_plane(hub: Hub, folder: Path) -> None:
    head = await hub.store.ledger.head()
    await hub.store.dump.write(folder / DUMP)
    manifest = {
        "format": FORMAT,
        "taken_at": hub.clock.now().isoformat(),
        "head": head,
        "key": hub.keys.seal("opens", PLACE),
    }
    (folder / MANIFEST).write_bytes(orjson.dumps(manifest))


def _pack(folder: Path, target: Path) -> None:
    partial = target.with_name(target.name + ".partial")
    with partial.open("xb") as file, tarfile.open(fileobj=file, mode="w") as tar:
        partial.chmod(0o600)
        for path in sorted(folder.rglob("*")):
            tar.add(path, str(path.relative_to(folder)), recursive=False)
    partial.rename(target)


def _unpack(source: Path, folder: Path) -> None:
    try:
        with tarfile.open(source, "r:") as tar:
            # The filter refuses absolute paths, links and everything else that would leave the folder.
            tar.extractall(folder, filter="data")
    except (OSError, tarfile.TarError):
        raise refuse(
            ErrorCode.INVALID, "This is no backup of a hub: name a file that `hub backup` wrote.", "FILE"
        ) from None


def _read_manifest(folder: Path, keys: Keyring) -> dict[str, Any]:
    try:
        manifest = dict(orjson.loads((folder / MANIFEST).read_bytes()))
    except (OSError, ValueError):
        raise refuse(ErrorCode.INVALID, "This is no backup of a hub: it has no manifest.", "FILE") from None
    if manifest.get("format") != FORMAT:
        message = f"The backup has format {manifest.get('format')}, and this hub reads {FORMAT}: use a newer hub."
        raise refuse(ErrorCode.UNSUPPORTED, message, "FILE")
    try:
        keys.open(manifest["key"], PLACE)
    except HubError:
        message = "The backup was made under another secret key: set HUB_SECRET_KEY to the one in use then."
        raise refuse(ErrorCode.FORBIDDEN, message, "HUB_SECRET_KEY") from None
    return manifest


async def _since(settings: Settings, keys: Keyring, head: int) -> Since | None:
    """What the ledger about to be replaced heard after the backup, grants left out, and every erasure it knows of; None
    where it cannot be read."""
    if settings.database.startswith("sqlite:") and not _sqlite_path(settings).exists():
        return None
    with suppress(HubError, StoreError):
        store = await Store.open(settings.database, keys)
        try:
            if await store.ledger.head() < head:
                return None
            entries = await store.ledger.whole(head)
            denials = [_as_new(entry) for entry in entries if entry.action is not ConsentAction.GRANT]
            return Since(denials, await store.erasures.all())
        finally:
            await store.close()
    return None


def _as_new(entry: Any) -> NewEntry:
    return NewEntry(
        entry.subject,
        entry.purpose,
        entry.action,
        entry.source,
        entry.effective_at,
        entry.expires_at,
        entry.evidence,
        entry.entry_id,
    )


def _set_aside(settings: Settings) -> Path | None:
    """Move the files that are being replaced into a folder of their own, where they can still be read."""
    stores = [duckdb_path(settings.warehouse)]
    stores += [_sqlite_path(settings)] if settings.database.startswith("sqlite:") else []
    found = [file for store in stores for file in store.parent.glob(f"{store.name}*") if file.is_file()]
    if not found:
        return None
    aside = Path(tempfile.mkdtemp(dir=settings.data, prefix="before-restore-"))
    for file in found:
        file.rename(aside / file.name)
    return aside


async def _put_back(settings: Settings, keys: Keyring, folder: Path, taken_at: str, since: Since | None) -> None:
    """The people come last: whatever this dies of, nobody is sent whom the backup did not know to have said no."""
    await migrate(settings.database)
    store = await Store.open(settings.database, keys)
    try:
        await store.dump.read(folder / DUMP)
        await _carry_over(store, taken_at, since)
    finally:
        await store.close()
    await asyncio.to_thread(shutil.move, folder / WAREHOUSE, duckdb_path(settings.warehouse))


async def _carry_over(store: Store, taken_at: str, since: Since | None) -> None:
    if since is not None:
        await store.ledger.append(since.denials, recorded_at=SystemClock().now())
        return
    message = f"Restored from a backup of {taken_at}: import the withdrawals recorded since, then resume."
    for destination in await store.destinations.all():
        await store.destinations.pause(destination.id, Problem(ErrorCode.POLICY, message))


async def _erase_again(hub: Hub, told: Sequence[Erasure]) -> int:
    """Begin the erasures that the backup does not know of, of whomever it still has; the worker brings them to their
    end."""
    known = {(erasure.subject, erasure.requested_at) for erasure in await hub.store.erasures.all()}
    since = {one.subject: one.requested_at for one in told if (one.subject, one.requested_at) not in known}
    people = await asyncio.to_thread(traces.called, hub.engine, since, hub.pepper) if since else {}
    for subject, external_id in people.items():
        await erasures.erase(hub, external_id, requested_at=since[subject])
    return len(people)


def _sqlite_path(settings: Settings) -> Path:
    return Path(settings.database.removeprefix("sqlite:///"))
