"""A disk that answers EIO while a hub is at work: nothing is acknowledged that is not kept, the hub says that it is
degraded and begins nothing, and on a good disk all goes on.

The hub is a real `hub serve`, the fault is the kernel's answer, and the judge is the vendor's own journal.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import httpx
import pytest

from hub.core.identifiers import EXTERNAL_ID, subject
from hub.services import runs
from hub.services.hub import open_hub
from hub.services.upgrade import make_if_new
from hub.settings import Settings
from hub.store.seal import open_keyring
from hub.warehouse.schema import take_numbers
from tests.acceptance.process import COMMAND, TOKEN, environment, serving, until
from tests.failing_disk import SYNCS, WRITES, failing
from tests.services.shop import Shop
from tests.services.test_kill import journal

if os.environ.get("HUB_TEST_DATABASE") == "postgres":
    pytest.skip("is about the embedded stores", allow_module_level=True)

PEOPLE, BATCH = 300, 2
FILES = {"control": ("hub.db", "hub.db-wal"), "data": ("hub.duckdb", "hub.duckdb.wal")}
WITHDRAWS = """mutation($id: String!) {
  consentRecord(input: {externalId: $id, purpose: "news", action: WITHDRAW, source: "form", entryId: $id}) {
    errors { code }
  }
}"""
# In each thread; the control plane has one, which has made some forty before there is anything to answer.
SHORT = [("control", SYNCS, 30), ("control", WRITES, 90), ("data", SYNCS, 4), ("data", WRITES, 4)]
REACHES = [("control", SYNCS, range(1, 41)), ("control", WRITES, range(1, 121, 4))]
REACHES += [("data", calls, range(1, 17)) for calls in (SYNCS, WRITES)]
LONG = [(store, calls, nth) for store, calls, reach in REACHES for nth in reach]


@dataclass
class Watched:
    """What a hub on a failing disk said from outside."""

    taken: list[str] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)
    refused: int = 0
    degraded: set[str] = field(default_factory=set)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub with a queued run, to be copied."""
    folder = tmp_path_factory.mktemp("prepared") / "hub"
    asyncio.run(prepare(folder))
    return folder


async def prepare(folder: Path) -> None:
    settings = Settings(data=folder, connectors=frozenset({"sandbox"}), threads=1)
    await make_if_new(settings)
    async with open_hub(settings) as hub:
        shop = Shop(hub, hub.clock, "failing")  # type: ignore[arg-type]
        await shop.set_up(PEOPLE, batch=BATCH, concurrency=3, latency_ms=20, state_file="vendor.jsonl")
        # Those who come in later are others than those whom the shop has put there.
        with hub.engine.write() as tx:
            take_numbers(tx, "next_pid", PEOPLE)
        await runs.start(hub, shop.sync.key)


@contextmanager
def on_a_failing_disk(folder: Path, store: str, calls: str, nth: int) -> Iterator[httpx.Client | None]:
    """A client of the hub there, None if it does not even come up; it ends by kill -9."""
    log = (folder.parent / "failing.log").open("ab")
    command = failing([COMMAND, "serve", "--port", "0"], [folder / name for name in FILES[store]], calls, nth)
    (folder / "server.json").unlink(missing_ok=True)
    tracer = subprocess.Popen(
        command, env=environment(folder, HUB_ADMIN_TOKEN=TOKEN, HUB_THREADS="1"), stdout=log, stderr=log
    )
    try:
        until(lambda: tracer.poll() is not None or answers(folder), 120)
        yield client_of(folder) if tracer.poll() is None else None
    finally:
        if tracer.poll() is None:
            os.kill(json.loads((folder / "server.json").read_text())["pid"], signal.SIGKILL)
        tracer.wait(60)
        log.close()


def answers(folder: Path) -> bool:
    try:
        return client_of(folder).get("/healthz").status_code == 200
    except (OSError, httpx.TransportError):
        return False


def client_of(folder: Path) -> httpx.Client:
    url = json.loads((folder / "server.json").read_text())["url"]
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=120, trust_env=False)


def try_everything(web: httpx.Client, number: int, seen: Watched) -> None:
    for id, answer, taken in (
        (f"z{number}", withdraw(web, f"z{number}"), seen.taken),
        (f"q{number}", take_in(web, f"q{number}"), seen.imported),
    ):
        assert answer.status_code in {200, 503}, answer.text
        taken += [id] * (answer.status_code == 200)
        seen.refused += answer.status_code == 503
    ready = web.get("/readyz").json()
    assert ready["status"] in {"ready", "degraded", "not ready"}
    seen.degraded |= set(ready.get("degraded", {}))


def withdraw(web: httpx.Client, id: str) -> httpx.Response:
    return web.post("/graphql", json={"query": WITHDRAWS, "variables": {"id": id}})


def take_in(web: httpx.Client, id: str) -> httpx.Response:
    return web.post("/import/profiles", content=f"id\n{id}\n", headers={"Content-Type": "text/csv"})


@pytest.mark.parametrize(("store", "calls", "nth"), SHORT)
def test_a_disk_that_fails_has_nothing_acknowledged_that_is_not_kept(
    prepared: Path, tmp_path: Path, store: str, calls: str, nth: int
) -> None:
    seen = through_a_failing_disk(prepared, tmp_path, store, calls, nth)
    assert seen.refused
    assert seen.degraded == {f"{store}_plane"}


@pytest.mark.slow
@pytest.mark.parametrize(("store", "calls", "nth"), LONG)
def test_at_whichever_call_the_disk_begins_to_fail(
    prepared: Path, tmp_path: Path, store: str, calls: str, nth: int
) -> None:
    through_a_failing_disk(prepared, tmp_path, store, calls, nth)


def through_a_failing_disk(prepared: Path, place: Path, store: str, calls: str, nth: int) -> Watched:
    folder, seen = place / "hub", Watched()
    shutil.copytree(prepared, folder)
    with on_a_failing_disk(folder, store, calls, nth) as web:
        if web:
            for number in range(8):
                try_everything(web, number, seen)
                time.sleep(0.25)
    with serving(folder, HUB_THREADS="1") as hub:
        until(lambda: run_of(folder) not in {"QUEUED", "PLANNING", "RUNNING"})
        assert withdraw(hub.client, "z").status_code == 200
    nothing_is_lost(folder, seen)
    stumbles = (place / "failing.log").read_text().count('"run stumbled"')
    sent = Counter(key for call in journal(folder) for key in call["add"])
    twice = sum(sent.values()) - len(sent)
    assert len(sent) == PEOPLE
    # As after so many deaths; the last is that of the process.
    assert twice <= (stumbles + 1) * 8 * BATCH
    return seen


def run_of(folder: Path) -> str:
    with closing(sqlite3.connect(f"file:{folder / 'hub.db'}?mode=ro", uri=True)) as control:
        return str(control.execute("SELECT status FROM run ORDER BY id LIMIT 1").fetchone()[0])


def nothing_is_lost(folder: Path, seen: Watched) -> None:
    with closing(sqlite3.connect(folder / "hub.db")) as control:
        assert control.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert run_of(folder) == "SUCCEEDED"
        kept = {row[0] for row in control.execute("SELECT subject FROM consent_entry")}
    pepper = open_keyring(Settings(data=folder)).pepper
    assert {subject(pepper, EXTERNAL_ID, id) for id in seen.taken} <= kept
    with duckdb.connect(str(folder / "hub.duckdb"), read_only=True) as plane:
        assert plane.execute("SELECT count(*) FROM delivered WHERE state = 'present'").fetchall() == [(PEOPLE,)]
        known = {row[0] for row in plane.execute("SELECT external_id FROM profiles").fetchall()}
    assert set(seen.imported) <= known
