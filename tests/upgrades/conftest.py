"""The older hubs that are kept: as they were packed, migrated, and open."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from connectors.sandbox import forget
from hub.services.hub import Hub, open_hub
from hub.settings import Settings
from tests.acceptance.process import command
from tests.acceptance.sink import Sink, listening
from tests.services.opened import TestClock
from tests.upgrades.story import CRM, HUBS, INTERRUPTED, KEY, SLOW

on_sqlite = pytest.mark.skipif(
    os.environ.get("HUB_TEST_DATABASE") == "postgres", reason="their control planes are files"
)


@dataclass(frozen=True)
class Older:
    """A hub as it was packed; `newest_line` of its log, and whom the log speaks of in the run that was interrupted."""

    data: Path
    schema: int
    made_at: datetime
    newest_line: int
    logged: frozenset[str]

    @property
    def has_jobs(self) -> bool:
        return (self.data / "files" / SLOW["state_file"]).exists()


def unpacked(packed: Path, data: Path) -> Path:
    with tarfile.open(packed) as archive:
        archive.extractall(data, filter="data")
    return data


@pytest.fixture(scope="module", params=sorted(HUBS.iterdir()), ids=lambda path: path.name.partition(".")[0])
def older(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Older:
    folder = tmp_path_factory.mktemp("older")
    data, aside = unpacked(request.param, folder / "data"), unpacked(request.param, folder / "aside")
    made = json.loads((data / "made.json").read_text())
    # Not in the one that is migrated: whoever opens the file tidies it up.
    with duckdb.connect(str(aside / "hub.duckdb")) as plane:
        line, logged = newest_line(plane), logged_in(plane, INTERRUPTED)
    return Older(data, made["schema"], datetime.fromisoformat(made["made_at"]), line, logged)


def newest_line(plane: duckdb.DuckDBPyConnection) -> int:
    found = [plane.execute(f"SELECT max(seq) FROM {log}").fetchall()[0][0] for log in logs(plane)]
    return max(line for line in found if line is not None)


def logged_in(plane: duckdb.DuckDBPyConnection, audience: str) -> frozenset[str]:
    said = " OR ".join(
        f'EXISTS (SELECT 1 FROM {log} l WHERE l.run = p.run AND p."position" BETWEEN l."position" AND {upto})'
        for log, upto in logs(plane).items()
    )
    whose = f"SELECT p.key FROM plan p JOIN plans h ON h.run = p.run WHERE h.audience = $audience AND ({said})"
    return frozenset(key for (key,) in plane.execute(whose, {"audience": audience}).fetchall())


def logs(plane: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The tables of the log as of that version, with the last position that a line of each speaks of."""
    tables = {name for (name,) in plane.execute("SELECT table_name FROM information_schema.tables").fetchall()}
    every = {"outcomes": 'l."position"', "taken": "l.upto"}
    return {log: upto for log, upto in every.items() if log in tables}


@pytest.fixture(scope="module")
def migrated(older: Older) -> Path:
    done = command(older.data, "migrate", HUB_SECRET_KEY=KEY)
    assert done.returncode == 0, done.stderr
    return older.data


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with listening() as found:
        yield found
        assert found.forged == [], "a request whose signature does not hold"


@pytest.fixture
def clock(older: Older) -> TestClock:
    """It goes on from when the older hub was packed."""
    return TestClock(older.made_at)


@pytest.fixture
async def hub(migrated: Path, tmp_path: Path, sink: Sink, clock: TestClock) -> AsyncIterator[Hub]:
    data = Path(shutil.copytree(migrated, tmp_path / "data"))
    allowed = frozenset({f"127.0.0.1:{sink.port}"})
    async with open_hub(Settings(data=data, secret_key=KEY, threads=1, egress_allow=allowed), clock) as opened:
        yield opened
    for account in (CRM["account"], SLOW["account"]):
        forget(account)
