"""Two workers over one PostgreSQL against one, at destinations that take 50 ms a request.

`python -m tests.bench.workers`; each worker carries so many runs at once, and there are four destinations for each.
With one run each, waiting for the destinations is what takes time; with two, the processors that workers, server and
destinations share.
"""

from __future__ import annotations

import asyncio
import json
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
AT_ONCE, DESTINATIONS_EACH = (1, 2), 4
ROUNDS = 3
# What a worker looks at when it comes is not what is measured.
SETTLING_S = 3.0


async def set_up(hub: Hub, workload: Workload, url: str, destined: int) -> None:
    await intake.import_file(hub, "profiles", workload.profiles)
    await purposes.create(hub, "news", "News")
    await intake.import_file(hub, "consents", workload.consents)
    await segments.create(hub, "all", "All", "everyone")
    for number in range(destined):
        config = {"url": url, "secret": SECRET, "batch": BATCH, "concurrency": PLACES}
        await destinations.create(hub, f"sink-{number}", "Sink", "webhook", config)
        await syncs.create(hub, f"to-{number}", "all", f"sink-{number}", "all", ["news"], fields=FIELDS)


async def measure(stores: dict[str, str], workload: Workload, crew: int, at_once: int) -> float:
    """Seconds for everybody to be delivered to every destination, by workers who have nothing else to do."""
    settings = settings_of(stores)
    await migrate(settings.database)
    async with open_hub(settings) as hub:
        destined = DESTINATIONS_EACH * at_once
        await set_up(hub, workload, stores["sink"], destined)
        with ExitStack() as hired:
            for _ in range(crew):
                hired.enter_context(hire(stores, at_once))
            await asyncio.sleep(SETTLING_S)
            began = time.perf_counter()
            started = [await runs.start(hub, f"to-{number}") for number in range(destined)]
            for run in started:
                async for latest in runs.progress(hub, run.id):
                    run = latest
                assert run.status == "SUCCEEDED", run
            return time.perf_counter() - began


@contextmanager
def hire(stores: dict[str, str], at_once: int) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.bench.workers", json.dumps(stores), str(at_once)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.terminate()


async def work(stores: dict[str, str], at_once: int) -> None:
    configure_logs("error")
    workers.MOST_RUNS = at_once
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


def measure_on(server: str, workload: Workload, crew: int, at_once: int) -> float:
    """In planes of its own, so that nobody finds what another round has left."""
    with ExitStack() as planes:
        database, warehouse = (planes.enter_context(moulds.fresh_postgres(server)) for _ in range(2))
        folder = planes.enter_context(tempfile.TemporaryDirectory(prefix="hub-bench-workers-"))
        sink = planes.enter_context(running_slow_sink(DELAY_S))
        stores = {"data": folder, "database": database, "warehouse": warehouse, "sink": sink.url}
        return asyncio.run(measure(stores, workload, crew, at_once))


def main() -> None:
    configure_logs("error")
    workload = make_workload(PEOPLE, Path(tempfile.gettempdir()) / f"hub-bench-{PEOPLE}")
    with postgres_url() as server:
        if server is None:
            raise SystemExit("no PostgreSQL server or binaries found")
        for at_once in AT_ONCE:
            rounds = [{crew: measure_on(server, workload, crew, at_once) for crew in (1, 2)} for _ in range(ROUNDS)]
            show(at_once, *(statistics.median(each[crew] for each in rounds) for crew in (1, 2)))


def show(at_once: int, one: float, two: float) -> None:
    carrying = f"{at_once} run{'s' if at_once > 1 else ''} at once each"
    print(f"{carrying}: one worker {one:.2f} s, two {two:.2f} s: {one / two:.2f} × (medians of {ROUNDS})", flush=True)


if __name__ == "__main__":
    asyncio.run(work(json.loads(sys.argv[1]), int(sys.argv[2]))) if len(sys.argv) > 1 else main()
