"""The hub: the same job with typed traits, a consent ledger, a gate before every attempt and an outcome per person.

As in a hub that serves, the rule compiler has been loaded before the first rule is timed.
"""

from __future__ import annotations

import asyncio
import base64
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from hub.core.records import Run
from hub.logs import configure_logs
from hub.services import destinations, intake, projection, purposes, runs, segments, syncs
from hub.services.hub import Hub, open_hub
from hub.services.worker import Worker
from hub.settings import Settings
from hub.store import migrate
from tests.bench.stopwatch import Stopwatch
from tests.bench.workload import AS_OF, AUDIENCE, FIELDS, RULES, Workload

LOOK_S = 0.5
IDLE_SHARE = 0.1
SECRET = "whsec_" + base64.b64encode(bytes(range(7, 39))).decode()


class WorkloadClock:
    """Stands still at the moment that the rules look back from."""

    def now(self) -> datetime:
        return datetime.fromisoformat(AS_OF).astimezone(UTC)


def run(workload: Workload, sink: str, folder: Path) -> dict[str, float]:
    configure_logs("error")
    return asyncio.run(measure(workload, sink, folder))


async def measure(workload: Workload, sink: str, folder: Path) -> dict[str, float]:
    watch = Stopwatch()
    settings = Settings(data=folder, egress_allow=frozenset({urlsplit(sink).netloc}))
    await migrate(settings.database)
    async with open_hub(settings, WorkloadClock()) as hub:
        with watch("import"):
            await intake.import_file(hub, "profiles", workload.profiles)
            await intake.import_file(hub, "events", workload.events)
        await purposes.create(hub, "news", "News")
        with watch("consents (the hub alone)"):
            await intake.import_file(hub, "consents", workload.consents)
            await projection.catch_up(hub)
        await segments.preview(hub, "everyone", sample=0)
        with watch("segments"):
            for key, (rule, _) in RULES.items():
                await segments.create(hub, key, key, rule)
        await destinations.create(hub, "sink", "Sink", "webhook", {"url": sink, "secret": SECRET})
        await syncs.create(hub, "bench", AUDIENCE, "sink", "bench", ["news"], fields=FIELDS)
        worker = Worker(hub)
        working = asyncio.create_task(worker.run())
        await idle()
        with watch("first sync"):
            await finished(hub, await runs.start(hub, "bench"))
        await intake.import_file(hub, "profiles", workload.changed)
        await idle()
        with watch("delta sync"):
            await finished(hub, await runs.start(hub, "bench"))
        worker.stop()
        await working
    return watch.seconds


async def idle() -> None:
    """Until the worker has seen to what the imports changed: what it does by itself is no part of a run."""
    busy = 1.0
    while busy > IDLE_SHARE:
        before = time.process_time()
        await asyncio.sleep(LOOK_S)
        busy = (time.process_time() - before) / LOOK_S


async def finished(hub: Hub, run: Run) -> None:
    async for latest in runs.progress(hub, run.id):
        run = latest
    if run.status != "SUCCEEDED":
        raise SystemExit(f"the run ended as {run.status}: {run.failure}")
