"""The whole control plane as one NDJSON file for each table, and back into an empty one, on either database."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from tortoise.models import Model

from hub.errors import ErrorCode, refuse
from hub.store import models
from hub.store.database import Database, stored

# Parents before the rows that refer to them.
TABLES: tuple[type[Model], ...] = (
    models.Purpose,
    models.Segment,
    models.SegmentVersion,
    models.SegmentEvaluation,
    models.Destination,
    models.KeptToken,
    models.Sync,
    models.Run,
    models.Erasure,
    models.ErasurePlace,
    models.RunMoment,
    models.RunRequest,
    models.ImportOutcome,
    models.ConsentEntry,
    models.Outbox,
    models.AdminToken,
    models.WriteKey,
    models.AlertChannel,
    models.SyncHealth,
    models.AlertNotice,
)
STRETCH = 5_000


class Dump:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, folder: Path) -> None:
        """Write every table as it stood at one moment."""
        async with self._database.transaction():
            await self._write_all(folder)

    async def read(self, folder: Path) -> None:
        """Fill an empty control plane, all or nothing. HubError CONFLICT when it holds anything already."""
        async with self._database.transaction():
            await self._read_all(folder)

    @stored
    async def _write_all(self, folder: Path) -> None:
        if self._database.dialect == "postgres":
            await self._database.fetch("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for model in TABLES:
            await _write_table(model, _file(folder, model))

    @stored
    async def _read_all(self, folder: Path) -> None:
        for model in TABLES:
            if await model.all().exists():
                message = "The control plane is not empty: restore into an empty database."
                raise refuse(ErrorCode.CONFLICT, message, "HUB_DATABASE_URL")
        for model in TABLES:
            for rows in _stretches(_file(folder, model)):
                await model.bulk_create([model(**_unpacked(row)) for row in rows])
            await self._number_on(model)

    async def _number_on(self, model: type[Model]) -> None:
        """Have PostgreSQL hand out the numbers after those that were read; SQLite does so by itself."""
        if self._database.dialect == "postgres" and model is not models.ConsentEntry:
            table, column = model._meta.db_table, model._meta.pk_attr
            await self._database.fetch(
                f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'),"
                f" (SELECT coalesce(max({column}), 0) + 1 FROM {table}), false)"
            )


def _file(folder: Path, model: type[Model]) -> Path:
    return folder / f"{model._meta.db_table}.ndjson"


async def _write_table(model: type[Model], path: Path) -> None:
    key, last = model._meta.pk_attr, -1
    with path.open("wb") as file:
        while rows := await model.filter(**{f"{key}__gt": last}).order_by(key).limit(STRETCH).values():
            last = rows[-1][key]
            lines = [orjson.dumps(row, default=_packed, option=orjson.OPT_APPEND_NEWLINE) for row in rows]
            await asyncio.to_thread(file.write, b"".join(lines))


def _packed(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return {"bytes": base64.b64encode(bytes(value)).decode()}
    raise TypeError(type(value).__name__)


def _unpacked(row: dict[str, Any]) -> dict[str, Any]:
    return {name: base64.b64decode(value["bytes"]) if _is_packed(value) else value for name, value in row.items()}


def _is_packed(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"bytes"}


def _stretches(path: Path) -> Iterator[list[dict[str, Any]]]:
    """None for a table that the hub did not have when it was backed up."""
    if not path.exists():
        return
    rows: list[dict[str, Any]] = []
    with path.open("rb") as file:
        for line in file:
            rows.append(orjson.loads(line))
            if len(rows) == STRETCH:
                yield rows
                rows = []
    if rows:
        yield rows
