"""One file for each run, with a manifest written last: for whatever reads files from a folder.

Batches gather in a small SQLite file, keyed by person, so that a batch that comes twice or a run that is killed leaves
no doubles; `finish` writes the file itself. A reader that waits for the manifest never sees half a file.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pydantic import Field

from connectors.artefacts import MANIFEST, ArtefactConfig, Mode, as_manifest, folder_name
from hub.sdk import (
    Account,
    Audience,
    Batch,
    Capabilities,
    Channel,
    Connector,
    Result,
    TransientError,
    hookimpl,
)

P = ParamSpec("P")
T = TypeVar("T")

_GATHERED = """
CREATE TABLE IF NOT EXISTS people (key TEXT PRIMARY KEY, present INTEGER NOT NULL, fields TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class FileConfig(ArtefactConfig):
    directory: str = Field(
        "",
        pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*)?$",
        description="Folder below the hub's own folder for files; may be empty.",
    )


class File(Connector[FileConfig]):
    key = "file"
    title = "Files"
    channel = Channel.GENERIC
    capabilities = Capabilities(batch=10_000, concurrency=1, replace=True, in_flight_s=1.0)
    Config = FileConfig

    def limits(self) -> Capabilities:
        return replace(self.capabilities, key=self.config.identifier)

    async def check(self) -> Account:
        folder = self.workspace.path(self.config.directory)
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise TransientError("the folder cannot be written to", sent=False)
        return Account(self.config.directory or "the hub's folder for files")

    async def ensure_audience(self, name: str) -> Audience:
        return Audience(name, ref=folder_name(name))

    async def begin(self, audience: Audience, run: str, *, snapshot: bool) -> None:
        """A snapshot of nobody is a file too; a delta without changes is none, so it starts with its first batch."""
        if snapshot:
            await _in_thread(self._begin_snapshot, audience, run)

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        await _in_thread(self._gather, audience, batch)
        return Result()

    async def finish(self, audience: Audience, run: str) -> None:
        await _in_thread(self._finish, audience, run)

    def _begin_snapshot(self, audience: Audience, run: str) -> None:
        with closing(_open(self._gathering(audience, run))) as gathered, gathered:
            gathered.execute("INSERT OR REPLACE INTO about VALUES ('mode', 'snapshot')")

    def _gather(self, audience: Audience, batch: Batch) -> None:
        rows = [(person.key, 1, json.dumps(dict(person.fields))) for person in batch.add]
        rows += [(person.key, 0, "{}") for person in batch.remove]
        with closing(_open(self._gathering(audience, batch.run))) as gathered, gathered:
            gathered.executemany("INSERT OR REPLACE INTO people VALUES (?, ?, ?)", rows)
            gathered.execute("INSERT OR REPLACE INTO about VALUES ('sync', ?)", (batch.sync,))

    def _finish(self, audience: Audience, run: str) -> None:
        gathering = self._gathering(audience, run)
        if not gathering.exists():
            return
        folder = gathering.with_name(folder_name(run))
        folder.mkdir(exist_ok=True, mode=0o700)
        with closing(_open(gathering)) as gathered:
            manifest = {"audience": audience.name, "run": run, **self._write(gathered, folder)}
        _put(folder / MANIFEST, [as_manifest(manifest)])
        gathering.unlink()

    def _write(self, gathered: sqlite3.Connection, folder: Path) -> dict[str, Any]:
        about = dict(gathered.execute("SELECT name, value FROM about"))
        mode: Mode = "snapshot" if about.get("mode") == "snapshot" else "delta"
        lines = self.config.lines(_rows(gathered, self.config, mode), self.config.columns(mode, _fields(gathered)))
        name = f"part-0001.{self.config.format}"
        digest = _put(folder / name, lines)
        where = "" if mode == "delta" else " WHERE present = 1"
        (count,) = gathered.execute(f"SELECT count(*) FROM people{where}").fetchone()
        return {"sync": about.get("sync", ""), "mode": mode, "file": name, "row_count": count, "sha256": digest}

    def _gathering(self, audience: Audience, run: str) -> Path:
        return self.workspace.folder(self.config.directory, audience.ref) / f".{folder_name(run)}.gathering"


def _open(gathering: Path) -> sqlite3.Connection:
    gathered = sqlite3.connect(gathering, timeout=30)
    gathered.executescript(_GATHERED)
    return gathered


def _rows(gathered: sqlite3.Connection, config: ArtefactConfig, mode: Mode) -> Iterator[dict[str, Any]]:
    for key, present, fields in gathered.execute("SELECT key, present, fields FROM people ORDER BY key"):
        if mode == "delta" or present:
            yield config.row(mode, key, bool(present), json.loads(fields))


def _fields(gathered: sqlite3.Connection) -> Iterator[str]:
    named = gathered.execute("SELECT DISTINCT field.key FROM people, json_each(people.fields) AS field")
    return (name for (name,) in named)


def _put(path: Path, pieces: Iterator[bytes] | list[bytes]) -> str:
    """Write whole or not at all: beside, to the disk, then renamed. The SHA-256 of what was written, in hex."""
    digest, beside = hashlib.sha256(), path.with_name(f".{path.name}.part")
    with beside.open("wb") as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    _flush_folder(path.parent)
    return digest.hexdigest()


def _flush_folder(folder: Path) -> None:
    """A name is only on the disk once its folder is."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


async def _in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except (OSError, sqlite3.Error) as error:
        raise TransientError(f"the file cannot be written: {type(error).__name__}") from None


@hookimpl
def hub_connectors() -> list[type[File]]:
    return [File]
