"""What the tests on real servers stand on: who cannot be had is skipped aloud, and whoever was started is stopped."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real.conftest import had
from tests.real.servers import CannotBeHad, running


@contextmanager
def nobody(_: Path) -> Iterator[str]:
    raise CannotBeHad("the moon is not installed")
    yield "never"


def test_a_server_that_cannot_be_had_is_skipped_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUB_REQUIRE_REAL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="the moon is not installed"):
        next(had(nobody, tmp_path))


def test_where_it_is_required_it_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_REQUIRE_REAL", "1")
    with pytest.raises(pytest.fail.Exception, match="the moon is not installed"):
        next(had(nobody, tmp_path))


def test_a_server_that_ends_tells_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no such port'); raise SystemExit(3)"]
    with pytest.raises(AssertionError, match="ended with 3: no such port"):  # noqa: SIM117
        with running(command, lambda: False, tmp_path / "log"):
            pass


def test_a_server_is_stopped_with_all_that_it_has_started(tmp_path: Path) -> None:
    starts_another = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    log = tmp_path / "log"
    with running([sys.executable, "-c", starts_another], lambda: log.read_text().strip().isdigit(), log):
        child = int(log.read_text())
        os.kill(child, 0)
    assert ends(child)


def ends(process: int, within_s: float = 10) -> bool:
    """What was killed is gone as soon as the kernel has come round to it."""
    until = time.monotonic() + within_s
    while alive(process) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(process)


def alive(process: int) -> bool:
    """Whether it still runs: one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
