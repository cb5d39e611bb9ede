"""One worker of several, as a process: `python -m tests.services.crew` with where its stores are, as JSON.

It works until it is told to stop (SIGTERM), and takes a lease for two seconds, so that tests need not wait for long,
unless it is told otherwise. One that is told to stops itself (SIGSTOP) in the middle of a COPY, once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path
from threading import get_ident
from typing import Any

import pyarrow as pa
import structlog

from hub.services.hub import open_hub
from hub.services.worker import Worker
from hub.settings import Settings
from hub.warehouse import postgres
from tests.services.shop import QUICK

LEASE_S = 2.0


def stop_in_copy() -> None:
    """The server waits for rows by the time that they are spelled."""
    spelled, stops = postgres.csv, [signal.SIGSTOP]

    def csv(batch: pa.RecordBatch) -> bytes:
        if stops and "kind" in batch.schema.names:
            # To this very thread: to the process, it might go on for long enough to send them.
            signal.pthread_kill(get_ident(), stops.pop())
        return spelled(batch)

    postgres.csv = csv


async def work(told: dict[str, Any]) -> None:
    folder, lease_s = Path(told.pop("data")), told.pop("lease_s", LEASE_S)
    if told.pop("stops_in_copy", False):
        stop_in_copy()
    async with open_hub(Settings(data=folder, connectors=frozenset({"sandbox"}), threads=1, **told)) as hub:
        worker = Worker(hub, QUICK, lease_s)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        print("ready", flush=True)
        await worker.run()


if __name__ == "__main__":
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    asyncio.run(work(json.loads(sys.argv[1])))
