"""Servers that are real: started on a free loopback port for a while, stopped by their process group.

Each is a context manager that yields where it can be reached, and raises CannotBeHad, saying why, where it cannot be
had. `fixtures` in the conftest make a skip of that, or a failure where HUB_REQUIRE_REAL is set.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("HUB_REAL", ROOT / ".real"))
"""Everything that is fetched; nothing else of the checkout is touched."""


class CannotBeHad(Exception):
    """Why a server is not there."""


@contextmanager
def running(
    command: Sequence[str | Path], answers: Callable[[], bool], log: Path, *, within_s: float = 240, **environment: str
) -> Iterator[None]:
    """The command from when it answers on; an AssertionError with the end of its log where it never does."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, **environment},
            stdout=said,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=log.parent,
        )
    try:
        _wait(process, answers, log, time.monotonic() + within_s)
        yield
    finally:
        _stop(process)


def answers_200(url: str, headers: Mapping[str, str] | None = None) -> Callable[[], bool]:
    def asked() -> bool:
        try:
            return httpx.get(url, headers=headers, timeout=30, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    return asked


def _wait(process: subprocess.Popen[bytes], answers: Callable[[], bool], log: Path, until: float) -> None:
    while not answers():
        told = log.read_text(errors="replace")[-2000:]
        assert process.poll() is None, f"{process.args!r} ended with {process.returncode}: {told}"
        assert time.monotonic() < until, f"{process.args!r} does not answer: {told}"
        time.sleep(0.5)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """First politely; then with all that it has started and left behind."""
    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
