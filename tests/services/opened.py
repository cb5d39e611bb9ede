"""A whole hub in a temporary folder; PostgreSQL is its control plane where the run of the tests asks for it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hub.core.identifiers import normalise, subject
from hub.services.hub import Hub, open_hub
from hub.settings import Settings
from tests import moulds
from tests.postgres_server import LOCAL


@dataclass
class TestClock:
    """Time that passes only when it is told to."""

    __test__ = False
    at: datetime = datetime(2026, 5, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def pass_by(self, **amount: float) -> None:
        self.at += timedelta(**amount)


@asynccontextmanager
async def opened(folder: Path, clock: TestClock, **further: Any) -> AsyncIterator[Hub]:
    """`further` settings go before those of the tests."""
    folder.mkdir(parents=True, exist_ok=True)
    with control_plane(folder, made=True) as database, data_plane(folder) as warehouse:
        usual = {"database_url": database, "warehouse_url": warehouse, "connectors": frozenset({"sandbox"})}
        settings = Settings(**{**usual, "data": folder, "threads": 1, **further})
        async with open_hub(settings, clock) as hub:
            yield hub


@contextmanager
def data_plane(folder: Path) -> Iterator[str]:
    """The URL of an empty data plane."""
    if os.environ.get("HUB_TEST_WAREHOUSE") != "postgres":
        moulds.copy_duckdb(folder / "hub.duckdb")
        yield f"duckdb:///{folder / 'hub.duckdb'}"
        return
    with moulds.fresh_postgres(os.environ.get("HUB_TEST_POSTGRES_URL") or LOCAL) as url:
        yield url


@contextmanager
def control_plane(folder: Path, *, made: bool = False) -> Iterator[str]:
    """The URL of an empty control plane, with its tables only if it is `made`."""
    if os.environ.get("HUB_TEST_DATABASE") != "postgres":
        yield moulds.copy_sqlite(folder / "hub.db") if made else f"sqlite:///{folder / 'hub.db'}"
        return
    lend = moulds.lend_postgres if made else moulds.fresh_postgres
    with lend(os.environ.get("HUB_TEST_POSTGRES_URL") or LOCAL) as url:
        yield url


def add_person(hub: Hub, pid: int, external_id: str, *, linked_at: datetime | None = None, **identifiers: str) -> None:
    """Put a profile into the data plane with its identifiers, as an import would."""
    known = {"id": (external_id, datetime.fromtimestamp(0, UTC))}
    known |= {kind: (value, linked_at or hub.clock.now()) for kind, value in identifiers.items()}
    with hub.engine.write() as tx:
        now = hub.clock.now().replace(tzinfo=None)
        person = {"pid": pid, "id": external_id, "now": now}
        tx.execute(
            "INSERT INTO profiles (pid, external_id, first_seen, changed_at) VALUES ($pid, $id, $now, $now)", person
        )
        for seq, (kind, (value, at)) in enumerate(known.items(), 1):
            spelled = normalise(kind, value)
            row = {"pid": pid, "kind": kind, "value": spelled, "subject": subject(hub.pepper, kind, spelled)}
            row |= {"at": at.replace(tzinfo=None), "seq": pid * 10 + seq}
            tx.execute("INSERT INTO identifiers VALUES ($pid, $kind, $value, $subject, $at, $seq)", row)
