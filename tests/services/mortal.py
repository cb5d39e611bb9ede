"""A process whose children die on request: imports the hub once, then forks a child for every line it reads.

A line is JSON: `folder`, `url`, what to `do` (one of `DEEDS`), and the `failpoint`, or `kill_after` seconds; to
prepare, what else the `vendor` is configured with.
The answer is the child's exit code. Forking happens before any store is opened, so children share nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from hub import failpoints
from hub.services import erasures, runs
from hub.services import worker as hub_worker
from hub.services.hub import open_hub
from hub.services.worker import Worker
from hub.settings import Settings
from hub.store import migrate
from tests.services.shop import QUICK, Shop

PEOPLE, BATCH = 60, 2


# A run that stumbled need not rest for long where nothing is really broken.
hub_worker.REST_S = 0.1


async def prepare(settings: Settings, **vendor: Any) -> None:
    await migrate(settings.database)
    async with open_hub(settings) as hub:
        shop = Shop(hub, hub.clock, "mortal")  # type: ignore[arg-type]
        await shop.set_up(PEOPLE, batch=BATCH, concurrency=3, state_file="vendor.jsonl", latency_ms=2, **vendor)
        await runs.start(hub, shop.sync.key)


async def work(settings: Settings) -> None:
    async with open_hub(settings) as hub:
        worker = Worker(hub, QUICK)
        working = asyncio.create_task(worker.run())
        while not all(run.status.ended for run in await hub.store.runs.page(10)):
            await asyncio.sleep(0.02)
        worker.stop()
        await working
        ended = await hub.store.runs.page(10)
        told = [{"status": run.status, "added": run.counts.added, "balanced": run.counts.balanced} for run in ended]
        [(delivered,)] = hub.engine.rows("SELECT count(*) FROM delivered WHERE state = 'present'")
        (settings.data / "result.json").write_text(json.dumps({"runs": told, "delivered": delivered}))


async def prepare_audit(settings: Settings) -> None:
    """A sync that has delivered everybody, three of whom the vendor has lost, and in line an audit that repairs."""
    await prepare(settings, page=7)
    await work(settings)
    lost = {"call": 1000, "run": "", "audience": "vip", "applied": True, "add": {}, "remove": ["p001", "p002", "p003"]}
    with (settings.data / "files" / "vendor.jsonl").open("ab") as journal:
        journal.write(json.dumps(lost).encode() + b"\n")
    async with open_hub(settings) as hub:
        await runs.audit(hub, "all-to-vendor", repair=True)


async def prepare_erasure(settings: Settings) -> None:
    """A sync that has delivered everybody, one of whom is to be erased."""
    await work(settings)
    async with open_hub(settings) as hub:
        await erasures.erase(hub, "p001")


async def erase(settings: Settings) -> None:
    """Until nobody is left to be erased."""
    async with open_hub(settings) as hub:
        worker = Worker(hub, QUICK)
        working = asyncio.create_task(worker.run())
        while await hub.store.erasures.under_way():
            await asyncio.sleep(0.02)
        worker.stop()
        await working
        [(known,)] = hub.engine.rows("SELECT count(*) FROM profiles WHERE external_id = 'p001'")
        [(left,)] = hub.engine.rows("SELECT count(*) FROM delivered WHERE external_id = 'p001'")
        statuses = [run.status for run in await hub.store.runs.page(10)]
        (settings.data / "result.json").write_text(json.dumps({"known": known, "left": left, "statuses": statuses}))


async def look(settings: Settings) -> None:
    """What is there, with nobody at work."""
    async with open_hub(settings) as hub:
        states = dict(hub.engine.rows("SELECT state, count(*) FROM delivered GROUP BY state"))
        audits = hub.engine.rows("SELECT members, expected, missing, strangers FROM audits")
        [(sightings,)] = hub.engine.rows("SELECT count(*) FROM sightings")
        statuses = [run.status for run in await hub.store.runs.page(10)]
        told = {"states": states, "audits": audits, "sightings": sightings, "statuses": statuses}
        (settings.data / "result.json").write_text(json.dumps(told))


def live(asked: dict[str, Any]) -> None:
    failpoints._trap = failpoints._Trap(asked.get("failpoint") or "")
    settings = Settings(
        data=Path(asked["folder"]), database_url=asked["url"], connectors=frozenset({"sandbox"}), threads=1
    )
    if after := asked.get("kill_after"):
        threading.Thread(target=lambda: (time.sleep(after), os.kill(os.getpid(), signal.SIGKILL)), daemon=True).start()
    asyncio.run(DEEDS[asked["do"]](settings, **asked.get("vendor", {})))


DEEDS = {
    "prepare_erasure": prepare_erasure,
    "erase": erase,
    "prepare": prepare,
    "prepare_audit": prepare_audit,
    "work": work,
    "look": look,
}


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            code = 1
            try:
                live(json.loads(line))
                code = 0
            finally:
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    import logging

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    main()
