"""A data plane in memory and a short way to bring files of any format into it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from hub.core.identifiers import Pepper
from hub.core.imports import FileFormat, ImportReport
from hub.warehouse import events, profiles, views
from hub.warehouse.engine import Engine
from hub.warehouse.staging import read
from tests.warehouse.planes import open_engine

PEPPER = Pepper("0a" * 11)
NOW = datetime(2026, 5, 1, 12)


@dataclass
class Plane:
    engine: Engine
    folder: Path
    now: datetime = NOW

    def profiles(self, content: str | bytes | Path, suffix: str = "csv", **options: Any) -> ImportReport:
        mapping = options.pop("mapping", None)
        region = options.pop("region", None)
        with self.engine.write() as tx:
            shape = profiles.shape(tx, region)
            staged = read(tx, self._file(content, suffix), FileFormat(suffix), shape, mapping=mapping)
            return profiles.import_profiles(tx, staged, self.now, PEPPER, **options)

    def events(
        self, content: str | bytes | Path, suffix: str = "csv", mapping: Mapping[str, str] | None = None
    ) -> ImportReport:
        with self.engine.write() as tx:
            staged = read(tx, self._file(content, suffix), FileFormat(suffix), events.shape(tx), mapping=mapping)
            return events.import_events(tx, staged, self.now, PEPPER, mapping)

    def _file(self, content: str | bytes | Path, suffix: str) -> Path:
        if isinstance(content, Path):
            return content
        path = self.folder / f"file.{suffix}"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def person(self, external_id: str) -> dict[str, Any] | None:
        found = views.profile_by_external_id(self.engine, external_id)
        return None if found is None else found.traits

    def people(self) -> dict[str, dict[str, Any]]:
        return {person.external_id: person.traits for person in views.profiles(self.engine, None, 10_000)}

    def identifiers(self, external_id: str) -> list[tuple[str, str | None]]:
        """Kind and value, oldest first; the external id left out."""
        sql = (
            "SELECT i.kind, i.value FROM identifiers i JOIN profiles p ON p.pid = i.pid "
            "WHERE p.external_id = $id AND i.kind <> 'id' ORDER BY i.seq"
        )
        return [(kind, value) for kind, value in self.engine.rows(sql, {"id": external_id})]

    def told(self) -> list[tuple[Any, ...]]:
        """Everything stored about people and events, in an order of its own."""
        found = []
        for table in ("profiles", "identifiers", "events", "traits", "properties", "event_types"):
            found += [(table, *row) for row in self.engine.rows(f"SELECT * FROM {table}")]
        return sorted(found, key=repr)


@contextmanager
def plane(folder: Path, engine: str = "duckdb") -> Iterator[Plane]:
    with open_engine(engine) as opened:
        yield Plane(opened, folder)


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, names)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_ndjson(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)
