"""SIGTERM in the middle of a run: what is in flight ends and is accounted for, and the next process goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub.services import runs
from hub.services.hub import open_hub
from hub.settings import Settings
from tests.services.opened import control_plane
from tests.services.shop import PATIENCE_S, Shop, until, working

HUB = Path(sys.executable).with_name("hub")
PEOPLE, BATCH = 300, 2
VENDOR = {"batch": BATCH, "concurrency": 3, "state_file": "vendor.jsonl"}


async def test_a_worker_told_to_end_in_the_middle_of_a_run_leaves_it_to_the_next_and_nothing_is_sent_twice(
    tmp_path: Path,
) -> None:
    with control_plane(tmp_path, made=True) as url:
        settings = Settings(data=tmp_path, database_url=url, connectors=frozenset({"sandbox"}), threads=1)
        async with open_hub(settings) as hub:
            shop = Shop(hub, hub.clock, "sigterm")  # type: ignore[arg-type]
            await shop.set_up(PEOPLE, **VENDOR, latency_ms=400)
            run = await runs.start(hub, shop.sync.key)
        with worker(tmp_path, url) as first:
            await until(lambda: len(sent(tmp_path)) > 20)
            ends_tidily(first)
        assert len(sent(tmp_path)) < PEOPLE
        async with open_hub(settings) as hub:
            await hub.store.destinations.update(shop.destination.id, config={"account": "sigterm", **VENDOR})
        with worker(tmp_path, url) as second:
            await until(lambda: len(sent(tmp_path)) == PEOPLE)
            ends_tidily(second)
        # The second was perhaps told to end just before the run did.
        async with open_hub(settings) as hub, working(hub):
            shop.hub = hub
            run = await shop.outcome_of(run)
    assert (run.status, run.counts.added, run.counts.balanced) == ("SUCCEEDED", PEOPLE, True)
    assert set(sent(tmp_path).values()) == {1}


@contextmanager
def worker(folder: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    chosen = {"HUB_DATA": str(folder), "HUB_DATABASE_URL": url, "HUB_CONNECTORS": "sandbox"}
    with subprocess.Popen([HUB, "worker"], env={**inherited, **chosen}, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def ends_tidily(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


def sent(folder: Path) -> Counter[str]:
    """How often each person was, by the vendor's own journal."""
    journal = folder / "files" / "vendor.jsonl"
    lines = journal.read_bytes().splitlines() if journal.exists() else []
    return Counter(key for line in lines if line.endswith(b"}") for key in json.loads(line)["add"])
