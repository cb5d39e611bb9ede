"""One file for each run, with a manifest written last: for whatever reads files from a folder.

Batches gather in a small SQLite file, keyed by person, so that a batch that comes twice or a run that is killed leaves
no doubles; `finish` writes the file itself. A reader that waits for the manifest never sees half a file.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from pydantic import Field

from hub.sdk import (
    Account,
    Audience,
    Batch,
    Capabilities,
    Channel,
    Connector,
    ConnectorConfig,
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
_HARMLESS_NUMBER = re.compile(r"[+-]?[0-9][0-9.]*")


class FileConfig(ConnectorConfig):
    directory: str = Field(
        "",
        pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*)?$",
        description="Folder below the hub's own folder for files; may be empty.",
    )
    format: Literal["csv", "ndjson"] = Field("csv", description="CSV after RFC 4180, or one JSON object a line.")
    identifier: Literal["external_id", "email", "phone", "device_id", "ad_id", "push_token", "user_id"] = Field(
        "external_id", description="What names a person in the file; external_id makes the column `id`."
    )
    formula_guard: bool = Field(
        True, description="Put ' before CSV text that a spreadsheet would run as a formula (= + - @)."
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
        return Audience(name, ref=_folder_name(name))

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
        folder = gathering.with_name(_folder_name(run))
        folder.mkdir(exist_ok=True, mode=0o700)
        with closing(_open(gathering)) as gathered:
            manifest = {"audience": audience.name, "run": run, **self._write(gathered, folder)}
        _put(folder / "manifest.json", [json.dumps(manifest, indent=2, ensure_ascii=False).encode() + b"\n"])
        gathering.unlink()

    def _write(self, gathered: sqlite3.Connection, folder: Path) -> dict[str, Any]:
        about = dict(gathered.execute("SELECT name, value FROM about"))
        mode = about.get("mode", "delta")
        rows, columns = _rows(gathered, self._key_column, mode), _columns(gathered, self._key_column, mode)
        lines = _as_csv(rows, columns, self.config.formula_guard) if self.config.format == "csv" else _as_ndjson(rows)
        name = f"part-0001.{self.config.format}"
        digest = _put(folder / name, lines)
        where = "" if mode == "delta" else " WHERE present = 1"
        (count,) = gathered.execute(f"SELECT count(*) FROM people{where}").fetchone()
        return {"sync": about.get("sync", ""), "mode": mode, "file": name, "row_count": count, "sha256": digest}

    @property
    def _key_column(self) -> str:
        return "id" if self.config.identifier == "external_id" else self.config.identifier

    def _gathering(self, audience: Audience, run: str) -> Path:
        return self.workspace.folder(self.config.directory, audience.ref) / f".{_folder_name(run)}.gathering"


def _folder_name(name: str) -> str:
    """The name itself where it is a plain word; else its plain letters and a hash, so that no two names meet."""
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}", name):
        return name
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", name)[:40].strip("-")
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:12]}".lstrip("-")


def _open(gathering: Path) -> sqlite3.Connection:
    gathered = sqlite3.connect(gathering, timeout=30)
    gathered.executescript(_GATHERED)
    return gathered


def _rows(gathered: sqlite3.Connection, key_column: str, mode: str) -> Iterator[dict[str, Any]]:
    for key, present, fields in gathered.execute("SELECT key, present, fields FROM people ORDER BY key"):
        own = {key_column: key, "audience_action": bool(present)} if mode == "delta" else {key_column: key}
        if mode == "delta" or present:
            yield {**own, **json.loads(fields), **own}  # twice: the hub's columns come first, and nothing replaces them


def _columns(gathered: sqlite3.Connection, key_column: str, mode: str) -> list[str]:
    named = gathered.execute("SELECT DISTINCT field.key FROM people, json_each(people.fields) AS field ORDER BY 1")
    own = [key_column, "audience_action"] if mode == "delta" else [key_column]
    return [*own, *(name for (name,) in named if name not in own)]


def _as_csv(rows: Iterator[dict[str, Any]], columns: list[str], guard: bool) -> Iterator[bytes]:
    line = _Line()
    writer = csv.writer(line, lineterminator="\r\n")
    writer.writerow([_cell(column, guard) for column in columns])
    yield line.taken()
    for row in rows:
        writer.writerow([_cell(row.get(column), guard) for column in columns])
        yield line.taken()


class _Line:
    """Where the csv module writes one line at a time."""

    text = ""

    def write(self, text: str) -> None:
        self.text += text

    def taken(self) -> bytes:
        taken, self.text = self.text, ""
        return taken.encode()


def _cell(value: Any, guard: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, list) else str(value)
    runs = guard and text.lstrip().startswith(("=", "+", "-", "@", "\t", "\r")) and not _HARMLESS_NUMBER.fullmatch(text)
    return f"'{text}" if runs else text


def _as_ndjson(rows: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    for row in rows:
        yield json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


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
