"""From a withdrawal to the remove at the destination, while a run of 400,000 people is under way to the same audience.

`python -m tests.bench.withdrawals`; the sink takes 100 ms a request, so that the run lasts. The clock begins before the
decision is recorded, and ends when the remove has arrived.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from hub.core.consent_form import ConsentInput
from hub.core.records import ConsentAction, Run
from hub.logs import configure_logs
from hub.services import consent, destinations, intake, purposes, segments, syncs
from hub.services.hub import Hub, open_hub
from hub.services.worker import Worker
from hub.settings import Settings
from hub.store import migrate
from tests.bench.by_hub import SECRET
from tests.bench.slow_sink import RunningSlowSink, running_slow_sink
from tests.bench.workload import FIELDS, Workload, make_workload

PEOPLE = 400_000
DELAY_S = 0.1
EVERY_S = 0.04
# Those who withdraw are among the first whom the run has reached.
FIRST = 5_000


async def measure(workload: Workload, sink: RunningSlowSink, folder: Path) -> list[float]:
    settings = Settings(data=folder, egress_allow=frozenset({urlsplit(sink.url).netloc}))
    await migrate(settings.database)
    async with open_hub(settings) as hub:
        await set_up(hub, workload, sink.url)
        worker = Worker(hub)
        working = asyncio.create_task(worker.run())
        run = await first_run(hub)
        while sink.totals()["people"] < FIRST:
            await asyncio.sleep(0.05)
        asked = await withdraw_while(hub, run)
        while not asked.keys() <= sink.removed().keys():
            await asyncio.sleep(0.1)
        worker.stop()
        await working
        removed = sink.removed()
        return sorted(removed[id] - at for id, at in asked.items())


async def set_up(hub: Hub, workload: Workload, url: str) -> None:
    await intake.import_file(hub, "profiles", workload.profiles)
    await purposes.create(hub, "news", "News")
    await intake.import_file(hub, "consents", workload.consents)
    await segments.create(hub, "all", "All", "everyone")
    await destinations.create(hub, "sink", "Sink", "webhook", {"url": url, "secret": SECRET})
    await syncs.create(hub, "bench", "all", "sink", "bench", ["news"], fields=FIELDS, schedule="continuous")


async def first_run(hub: Hub) -> Run:
    while not (found := [run for run in await hub.store.runs.page(5) if run.status == "RUNNING"]):
        await asyncio.sleep(0.05)
    return found[0]


async def withdraw_while(hub: Hub, run: Run) -> dict[str, float]:
    """One after the other, until the run is nearly over: when each was asked for."""
    asked: dict[str, float] = {}
    for number in range(FIRST):
        seen = await hub.store.runs.find(run.id)
        if seen is None or seen.status.ended:
            break
        asked[f"p{number}"] = time.time()
        now = datetime.now(UTC)
        said = ConsentInput("news", ConsentAction.WITHDRAW, "bench", external_id=f"p{number}", effective_at=now)
        await consent.record(hub, said)
        await asyncio.sleep(EVERY_S)
    return asked


def main() -> None:
    configure_logs("error")
    folder = Path(tempfile.mkdtemp(prefix="hub-bench-withdrawals-"))
    workload = make_workload(PEOPLE, Path(tempfile.gettempdir()) / f"hub-bench-{PEOPLE}")
    try:
        with running_slow_sink(DELAY_S) as sink:
            took = asyncio.run(measure(workload, sink, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    p99 = took[max(0, round(len(took) * 0.99) - 1)]
    print(f"{len(took)} withdrawals: median {statistics.median(took):.2f} s, p99 {p99:.2f} s, longest {took[-1]:.2f} s")


if __name__ == "__main__":
    main()
