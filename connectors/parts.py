"""A run as a folder of parts, for stores that are reached over a network: a part for each batch, stored before the
batch counts as accepted, and a manifest that names them all, stored last.

A part is named by what is in it, so the same batch is the same part, however often it is stored; and nothing is kept
here, so any process can go on with a run.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from abc import abstractmethod
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar

from connectors.artefacts import MANIFEST, ArtefactConfig, Mode, as_manifest, folder_name
from hub.sdk import NOWHERE, Audience, Batch, Connector, Http, Person, Result, Workspace

C = TypeVar("C", bound=ArtefactConfig)


@dataclass(frozen=True, slots=True, order=True)
class Part:
    mode: Mode
    rows: int
    sha256: str
    format: str

    @property
    def name(self) -> str:
        return f"part-{self.mode}-{self.rows}-{self.sha256}.{self.format}"

    @classmethod
    def named(cls, name: str) -> Part | None:
        """The part of that name; None for what is none, such as a file that is still being written."""
        told = re.fullmatch(r"part-(delta|snapshot)-([0-9]+)-([0-9a-f]{64})\.(csv|ndjson)", name)
        return cls(told[1], int(told[2]), told[3], told[4]) if told else None  # type: ignore[arg-type]

    def described(self) -> dict[str, Any]:
        return {"file": self.name, "row_count": self.rows, "sha256": self.sha256}


class InParts(Connector[C]):
    """Write `put` and `names`, for paths such as `audience/run/manifest.json`."""

    def __init__(self, config: C, http: Http, workspace: Workspace = NOWHERE) -> None:
        super().__init__(config, http, workspace)
        self._snapshots: set[tuple[str, str]] = set()

    @abstractmethod
    async def put(self, path: str, content: bytes) -> None:
        """Store it whole or not at all; the same content may be there already."""

    @abstractmethod
    async def names(self, folder: str) -> Collection[str]:
        """What is in that folder now, nothing if there is none."""

    async def ensure_audience(self, name: str) -> Audience:
        return Audience(name, ref=folder_name(name))

    async def begin(self, audience: Audience, run: str, *, snapshot: bool) -> None:
        """A snapshot begins with a part of nobody: it says what the run is to be, and a snapshot may hold nobody."""
        if snapshot:
            self._snapshots.add((audience.ref, run))
            await self._put_part(audience, run, ())

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        people = [(person, True) for person in batch.add] + [(person, False) for person in batch.remove]
        if self._mode(audience, batch.run) == "snapshot":
            people = [(person, present) for person, present in people if present]
        if people:
            await self._put_part(audience, batch.run, people)
        return Result()

    async def finish(self, audience: Audience, run: str) -> None:
        """What a manifest names never changes: a part that comes in behind it belongs to nothing."""
        folder = _folder(audience, run)
        names = await self.names(folder)
        parts = sorted(part for part in map(Part.named, names) if part)
        if parts and MANIFEST not in names:
            await self.put(f"{folder}/{MANIFEST}", as_manifest(_about(audience, run, parts)))
        self._snapshots.discard((audience.ref, run))

    async def _put_part(self, audience: Audience, run: str, people: Iterable[tuple[Person, bool]]) -> None:
        mode = self._mode(audience, run)
        part, content = await asyncio.to_thread(_written, self.config, mode, list(people))
        await self.put(f"{_folder(audience, run)}/{part.name}", content)

    def _mode(self, audience: Audience, run: str) -> Mode:
        return "snapshot" if (audience.ref, run) in self._snapshots else "delta"


def _written(config: ArtefactConfig, mode: Mode, people: list[tuple[Person, bool]]) -> tuple[Part, bytes]:
    people.sort(key=lambda one: one[0].key)
    rows = [config.row(mode, person.key, present, person.fields if present else {}) for person, present in people]
    columns = config.columns(mode, (name for row in rows for name in row))
    content = b"".join(config.lines(rows, columns))
    return Part(mode, len(rows), hashlib.sha256(content).hexdigest(), config.format), content


def _about(audience: Audience, run: str, parts: list[Part]) -> dict[str, Any]:
    return {
        "audience": audience.name,
        "run": run,
        "mode": parts[0].mode,
        "row_count": sum(map(attrgetter("rows"), parts)),
        "files": [part.described() for part in parts],
    }


def _folder(audience: Audience, run: str) -> str:
    return f"{audience.ref}/{folder_name(run)}"
