"""kill -9 at every step boundary and at random: nothing is lost, and little is sent twice.

The oracle is the vendor's own journal, one line for each call it carried out.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest

from hub.failpoints import NAMES
from tests import moulds
from tests.services.mortal import BATCH, PEOPLE
from tests.services.opened import control_plane

ROOT = Path(__file__).parents[2]
ON_POSTGRES = os.environ.get("HUB_TEST_DATABASE") == "postgres"
# The same in both passes: once is enough.
on_sqlite = pytest.mark.skipif(ON_POSTGRES, reason="its control plane is a file")
ERASING = {"after_erase", "before_forget", "after_forget"}


class Mortals:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def live(self, folder: Path, url: str, do: str, **more: Any) -> int:
        """The exit code of a process that did this; negative for the signal it died of."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"folder": str(folder), "url": url, "do": do, **more}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@pytest.fixture(scope="module")
def mortals() -> Iterator[Mortals]:
    command = [sys.executable, "-m", "tests.services.mortal"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Mortals(process)
        assert process.stdin
        process.stdin.close()


@pytest.fixture(scope="module")
def prepared(mortals: Mortals, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A hub with a queued run, to be copied."""
    folder = tmp_path_factory.mktemp("prepared")
    with control_plane(folder, made=True) as url:
        assert mortals.live(folder, url, "prepare") == 0
        yield folder, url


@pytest.fixture
def waiting(prepared: tuple[Path, str], tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The folder and the control plane of a hub with a queued run."""
    before, source = prepared
    folder = tmp_path / "hub"
    shutil.copytree(before, folder)
    with control_plane(folder) as url:
        if ON_POSTGRES:
            moulds.copy_postgres(source, url)
        yield folder, url


def journal(folder: Path) -> list[dict[str, Any]]:
    path = folder / "files" / "vendor.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines() if line.endswith(b"}")] if path.exists() else []


def nothing_is_lost(folder: Path) -> None:
    told = json.loads((folder / "result.json").read_text())
    assert told == {"runs": [{"status": "SUCCEEDED", "added": PEOPLE, "balanced": True}], "delivered": PEOPLE}
    assert len({key for call in journal(folder) for key in call["add"]}) == PEOPLE


def little_is_sent_twice(folder: Path, deaths: int) -> None:
    sent = Counter(key for call in journal(folder) for key in call["add"])
    assert sum(times - 1 for times in sent.values()) <= deaths * 8 * BATCH


@pytest.mark.parametrize(
    "name", sorted(NAMES - {"after_poll", "after_page", "before_audit_settle", "after_audit_settle"} - ERASING)
)
def test_a_process_killed_at_a_step_boundary_loses_nothing(
    mortals: Mortals, waiting: tuple[Path, str], name: str
) -> None:
    folder, url = waiting
    # Of up to eight batches in one commit, even thirty make two.
    nth = {"before_gate": 4, "after_gate": 4, "after_send_before_commit": 4, "after_commit": 2}.get(name, 1)
    assert mortals.live(folder, url, "work", failpoint=f"{name}:kill:{nth}") == -signal.SIGKILL
    assert mortals.live(folder, url, "work") == 0
    nothing_is_lost(folder)
    little_is_sent_twice(folder, deaths=1)


def in_open_jobs(folder: Path) -> set[str]:
    """Of whom the log says so, while nobody has the data plane."""
    with duckdb.connect(str(folder / "hub.duckdb"), read_only=True) as plane:
        return {key for (key,) in plane.execute("SELECT key FROM outcomes WHERE kind = 'submitted'").fetchall()}


@on_sqlite
@pytest.mark.parametrize(
    "trap", ["after_poll:kill:30", "after_poll:kill:60", "after_commit:kill:2", "before_settle:kill"]
)
def test_a_process_killed_while_jobs_are_open_sends_nobody_in_them_again(
    mortals: Mortals, tmp_path: Path, trap: str
) -> None:
    folder, url = tmp_path, f"sqlite:///{tmp_path / 'hub.db'}"
    assert mortals.live(folder, url, "prepare", vendor={"jobs": {"running": 2}}) == 0
    assert mortals.live(folder, url, "work", failpoint=trap) == -signal.SIGKILL
    noted = in_open_jobs(folder)
    assert noted
    assert mortals.live(folder, url, "work") == 0
    nothing_is_lost(folder)
    sent = Counter(key for call in journal(folder) if not call["applied"] for key in call["add"])
    assert {sent[key] for key in noted} == {1}
    assert sum(times - 1 for times in sent.values()) <= 8 * BATCH


@pytest.mark.parametrize("name", ["after_send_before_commit", "before_settle"])
def test_a_fault_raised_at_a_step_boundary_is_overcome(mortals: Mortals, waiting: tuple[Path, str], name: str) -> None:
    folder, url = waiting
    assert mortals.live(folder, url, "work", failpoint=f"{name}:raise") == 0
    nothing_is_lost(folder)
    little_is_sent_twice(folder, deaths=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_a_process_killed_at_random_again_and_again_loses_nothing(
    mortals: Mortals, waiting: tuple[Path, str], seed: int
) -> None:
    folder, url = waiting
    random = Random(seed)
    lives = [mortals.live(folder, url, "work", kill_after=random.uniform(0.05, 0.5)) for _ in range(5)]
    assert set(lives) <= {0, -signal.SIGKILL}
    assert mortals.live(folder, url, "work") == 0
    nothing_is_lost(folder)
    little_is_sent_twice(folder, deaths=lives.count(-signal.SIGKILL))


@pytest.mark.parametrize("name", sorted(ERASING))
def test_an_erasure_that_is_killed_comes_to_its_end(mortals: Mortals, waiting: tuple[Path, str], name: str) -> None:
    folder, url = waiting
    assert mortals.live(folder, url, "prepare_erasure") == 0
    assert mortals.live(folder, url, "erase", failpoint=f"{name}:kill") == -signal.SIGKILL
    assert mortals.live(folder, url, "erase") == 0
    told = json.loads((folder / "result.json").read_text())
    assert told == {"known": 0, "left": 0, "statuses": ["SUCCEEDED", "SUCCEEDED", "SUCCEEDED"]}
    erased = [call["erase"] for call in journal(folder) if "erase" in call]
    assert erased == [["p001"]] * (2 if name == "after_erase" else 1)
