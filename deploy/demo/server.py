"""The hub itself, started as its user would: `hub serve` on loopback, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.demo.client import Client

PATIENCE_S = 60


@contextmanager
def running_hub(data: Path) -> Iterator[Client]:
    """A hub on a free port (8000 if it is free), stopped by SIGTERM on leaving. Its log is DATA/hub.log."""
    port = free_port(8000)
    command = [str(Path(sys.executable).parent / "hub"), "serve", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    with (data / "hub.log").open("wb") as log:
        process = subprocess.Popen(command, env={**environment, "HUB_DATA": str(data)}, stdout=log, stderr=log)
        try:
            yield wait_until_ready(process, data)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=15)


def wait_until_ready(process: subprocess.Popen[bytes], data: Path) -> Client:
    """The client for the address and token that `hub serve` leaves in its data folder."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"The hub did not start:\n{(data / 'hub.log').read_text()[-2000:]}")
        if (data / "server.json").exists():
            left = json.loads((data / "server.json").read_text())
            if answers(left["url"]):
                return Client(left["url"], left["token"])
        time.sleep(0.05)
    raise SystemExit(f"The hub was not ready within {PATIENCE_S} s; its log is {data / 'hub.log'}")


def answers(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port.strip("/")))) == 0


def free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SystemExit("No free port on loopback.")
