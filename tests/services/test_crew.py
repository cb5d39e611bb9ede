"""Several workers over one PostgreSQL: they share the work, and one that dies or sleeps is replaced.

The oracle is the vendor's own journal, one line for each call it carried out.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub.core.records import Run, Sync
from hub.services import runs
from hub.services.hub import Hub, open_hub
from hub.settings import Settings
from hub.store import migrate
from hub.warehouse.sleepers import SILENT_WITH_A_RUN_S
from tests import moulds
from tests.postgres_server import LOCAL, answers
from tests.services.crew import LEASE_S
from tests.services.shop import PATIENCE_S, Shop, until

if os.environ.get("HUB_TEST_DATABASE") != "postgres":
    pytest.skip("belongs to the pass with PostgreSQL as the control plane", allow_module_level=True)

pytestmark = pytest.mark.postgres
ROOT = Path(__file__).parents[2]
PEOPLE, BATCH, PLACES = 300, 2, 3
SLOWLY = {"batch": BATCH, "concurrency": PLACES, "latency_ms": 40}


@dataclass
class Crew:
    hub: Hub
    stores: dict[str, str]
    stack: ExitStack

    def hire(self, **more: Any) -> subprocess.Popen[str]:
        return self.stack.enter_context(worker({**self.stores, **more}))

    def calls(self, file: str = "vendor.jsonl") -> list[dict[str, Any]]:
        path = self.hub.settings.data / "files" / file
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith(b"}")]

    async def ended(self, run: Run, seconds: float = 2 * PATIENCE_S) -> Run:
        async with asyncio.timeout(seconds):
            async for seen in runs.progress(self.hub, run.id):
                run = seen
        return run


@contextmanager
def worker(stores: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.services.crew", json.dumps(stores)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n", process.stderr and process.stderr.read()
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
            process.communicate(timeout=PATIENCE_S)


@pytest.fixture
async def crew(tmp_path: Path) -> AsyncIterator[Crew]:
    server = os.environ.get("HUB_TEST_POSTGRES_URL") or LOCAL
    if not answers(server):
        pytest.skip("no PostgreSQL server answers")
    with ExitStack() as stack:
        planes = [stack.enter_context(moulds.fresh_postgres(server)) for _ in range(2)]
        stores = {"data": str(tmp_path), "database_url": planes[0], "warehouse_url": planes[1]}
        settings = Settings(
            data=tmp_path,
            database_url=planes[0],
            warehouse_url=planes[1],
            connectors=frozenset({"sandbox"}),
            threads=1,
        )
        await migrate(settings.database)
        async with open_hub(settings) as hub:
            # Workers leave before the stores are closed under them.
            with ExitStack() as hired:
                yield Crew(hub, stores, hired)


async def shop_of(crew: Crew, **config: Any) -> Shop:
    shop = Shop(crew.hub, crew.hub.clock, "crew")  # type: ignore[arg-type]
    await shop.set_up(PEOPLE, state_file="vendor.jsonl", **{**SLOWLY, **config})
    return shop


async def another(shop: Shop, number: int) -> Sync:
    """A sync of the same segment to a destination of its own."""
    destination = await shop.hub.store.destinations.create(
        key=f"vendor-{number}",
        name="Vendor",
        connector="sandbox",
        secrets={},
        config={"account": f"crew-{number}", "state_file": f"vendor-{number}.jsonl", **SLOWLY},
    )
    return await shop.hub.store.syncs.create(
        key=f"all-to-{number}",
        segment_id=shop.sync.segment_id,
        destination_id=destination.id,
        audience="vip",
        purposes=["news"],
    )


async def test_two_workers_share_the_destinations_and_each_is_spoken_to_by_one(crew: Crew) -> None:
    shop = await shop_of(crew)
    syncs = [shop.sync, *[await another(shop, number) for number in range(3)]]
    # On a busy machine one of two seconds may run out while its worker is at work.
    crew.hire(lease_s=60.0), crew.hire(lease_s=60.0)
    started = [await runs.start(crew.hub, sync.key) for sync in syncs]
    ended = [await crew.ended(run) for run in started]
    assert [(run.status, run.counts.added) for run in ended] == [("SUCCEEDED", PEOPLE)] * 4
    for file in ("vendor.jsonl", "vendor-0.jsonl", "vendor-1.jsonl", "vendor-2.jsonl"):
        sent = Counter(key for call in crew.calls(file) for key in call["add"])
        assert (len(sent), set(sent.values())) == (PEOPLE, {1})


async def test_a_worker_that_is_killed_is_replaced_and_little_is_sent_twice(crew: Crew) -> None:
    shop = await shop_of(crew, latency_ms=150)
    first = crew.hire()
    run = await runs.start(crew.hub, shop.sync.key)
    await until(lambda: len(crew.calls()) > 20)
    crew.hire()
    first.kill()
    run = await crew.ended(run)
    assert (run.status, run.counts.added, run.counts.balanced) == ("SUCCEEDED", PEOPLE, True)
    sent = Counter(key for call in crew.calls() for key in call["add"])
    assert len(sent) == PEOPLE
    assert sum(times - 1 for times in sent.values()) <= 8 * BATCH


async def test_a_worker_that_wakes_up_after_another_took_over_writes_and_sends_nothing(crew: Crew) -> None:
    shop = await shop_of(crew, latency_ms=150)
    sleeper = crew.hire()
    run = await runs.start(crew.hub, shop.sync.key)
    await until(lambda: len(crew.calls()) > 20)
    sleeper.send_signal(signal.SIGSTOP)
    crew.hire()
    run = await crew.ended(run)
    assert (run.status, run.counts.added) == ("SUCCEEDED", PEOPLE)
    calls, lines = len(crew.calls()), log_of(crew)
    sleeper.send_signal(signal.SIGCONT)
    await asyncio.sleep(LEASE_S)
    assert log_of(crew) == lines
    # What was in flight when it fell asleep comes to its end.
    assert len(crew.calls()) <= calls + PLACES
    sleeper.terminate()
    assert sleeper.stderr
    # Asleep in the middle of writing, it hears first that its transaction is gone: see ASLEEP_MS.
    assert re.search("lease lost|run stumbled", sleeper.stderr.read())


def is_stopped(process: subprocess.Popen[str]) -> bool:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def test_a_worker_that_is_stopped_in_the_middle_of_a_copy_is_replaced_and_works_on_when_it_wakes(
    crew: Crew,
) -> None:
    # A line of the log for each of those whom the vendor refuses: enough of them go in by COPY.
    refused = [f"p{number:03}" for number in range(0, PEOPLE, 2)]
    shop = await shop_of(crew, batch=60, reject=refused)
    sleeper = crew.hire(stops_in_copy=True)
    run = await runs.start(crew.hub, shop.sync.key)
    await until(lambda: is_stopped(sleeper))
    heir = crew.hire()
    run = await crew.ended(run, SILENT_WITH_A_RUN_S)
    assert is_stopped(sleeper) and run.counts.balanced
    assert (run.counts.added, run.counts.rejected) == (PEOPLE - len(refused), len(refused))
    calls, lines = len(crew.calls()), log_of(crew)
    sleeper.send_signal(signal.SIGCONT)
    await asyncio.sleep(LEASE_S)
    assert log_of(crew) == lines and len(crew.calls()) <= calls + PLACES
    heir.terminate()
    heir.wait(PATIENCE_S)
    again = await crew.ended(await runs.start(crew.hub, shop.sync.key, full=True), PATIENCE_S / 2)
    assert again.counts.balanced and again.counts.updated + again.counts.unchanged == PEOPLE - len(refused)
    assert sleeper.poll() is None


def log_of(crew: Crew) -> list[tuple[Any, ...]]:
    counted = "SELECT count(*), max(seq) FROM {}"
    return [crew.hub.engine.rows(counted.format(table))[0] for table in ("taken", "outcomes")]
