"""Two workers over one PostgreSQL against one, at destinations that take 50 ms a request.

`python -m tests.bench.workers`; each worker carries at most `AT_ONCE` runs, and there are enough destinations for more.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from hub.logs import configure_logs
from hub.services import destinations, intake, purposes, runs, segments, syncs
from hub.services import worker as workers
from hub.services.hub import Hub, open_hub
from hub.services.worker import Worker
from hub.settings import Settings
from hub.store import migrate
from tests import moulds
from tests.bench.by_hub import SECRET
from tests.bench.slow_sink import running_slow_sink
from tests.bench.workload import FIELDS, Workload, make_workload
from tests.postgres_server import postgres_url

PEOPLE, BATCH, PLACES = 20_000, 100, 4
DELAY_S = 0.05
DESTINATIONS, AT_ONCE = 8, 2
ROUNDS = 3


async def set_up(hub: Hub, workload: Workload, url: str) -> None:
    await intake.import_file(hub, "profiles", workload.profiles)
    await purposes.create(hub, "news", "News")
    await intake.import_file(hub, "consents", workload.consents)
    await segments.create(hub, "all", "All", "everyone")
    for number in range(DESTINATIONS):
        config = {"url": url, "secret": SECRET, "batch": BATCH, "concurrency": PLACES}
        await destinations.create(hub, f"sink-{number}", "Sink", "webhook", config)


async def measure(hub: Hub, stores: dict[str, str], crew: int, name: str) -> float:
    """Seconds for everybody to be delivered to every destination."""
    with ExitStack() as hired:
        for _ in range(crew):
            hired.enter_context(hire(stores))
        for number in range(DESTINATIONS):
            await syncs.create(hub, f"{name}-{number}", "all", f"sink-{number}", name, ["news"], fields=FIELDS)
        began = time.perf_counter()
        started = [await runs.start(hub, f"{name}-{number}") for number in range(DESTINATIONS)]
        for run in started:
            async for latest in runs.progress(hub, run.id):
                run = latest
            assert run.status == "SUCCEEDED", run
        return time.perf_counter() - began


@contextmanager
def hire(stores: dict[str, str]) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.bench.workers", json.dumps(stores)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.terminate()


async def work(stores: dict[str, str]) -> None:
    configure_logs("error")
    workers.MOST_RUNS = AT_ONCE
    async with open_hub(settings_of(stores)) as hub:
        print("ready", flush=True)
        await Worker(hub).run()


def settings_of(stores: dict[str, str]) -> Settings:
    return Settings(
        data=Path(stores["data"]),
        database_url=stores["database"],
        warehouse_url=stores["warehouse"],
        egress_allow=frozenset({urlsplit(stores["sink"]).netloc}),
    )


async def compare(stores: dict[str, str], workload: Workload) -> list[dict[int, float]]:
    settings = settings_of(stores)
    await migrate(settings.database)
    async with open_hub(settings) as hub:
        await set_up(hub, workload, stores["sink"])
        return [
            {crew: await measure(hub, stores, crew, f"r{number}-{crew}") for crew in (1, 2)} for number in range(ROUNDS)
        ]


def main() -> None:
    configure_logs("error")
    folder = Path(tempfile.mkdtemp(prefix="hub-bench-workers-"))
    workload = make_workload(PEOPLE, Path(tempfile.gettempdir()) / f"hub-bench-{PEOPLE}")
    with postgres_url() as server, ExitStack() as planes:
        if server is None:
            raise SystemExit("no PostgreSQL server or binaries found")
        database, warehouse = (planes.enter_context(moulds.fresh_postgres(server)) for _ in range(2))
        with running_slow_sink(DELAY_S) as sink:
            stores = {"data": str(folder), "database": database, "warehouse": warehouse, "sink": sink.url}
            rounds = asyncio.run(compare(stores, workload))
    shutil.rmtree(folder, ignore_errors=True)
    one, two = (statistics.median(each[crew] for each in rounds) for crew in (1, 2))
    print(f"one worker {one:.2f} s, two {two:.2f} s: {one / two:.2f} × (medians of {ROUNDS})")


if __name__ == "__main__":
    asyncio.run(work(json.loads(sys.argv[1]))) if len(sys.argv) > 1 else main()
