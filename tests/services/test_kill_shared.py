"""kill -9 with PostgreSQL as both planes: the next process goes on once the dead one's lease has run out.

The oracle is the vendor's own journal, as in `test_kill`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from hub.failpoints import NAMES
from tests import moulds
from tests.postgres_server import LOCAL, answers
from tests.services.test_kill import ROOT, Mortals, little_is_sent_twice, nothing_is_lost

if os.environ.get("HUB_TEST_DATABASE") != "postgres":
    pytest.skip("belongs to the pass with PostgreSQL as the control plane", allow_module_level=True)

pytestmark = pytest.mark.postgres

# Runs with jobs and audits pass these; `test_kill` has them.
ELSEWHERE = {
    "after_erase",
    "before_forget",
    "after_forget",
    "after_poll",
    "after_page",
    "before_audit_settle",
    "after_audit_settle",
}
# Of up to eight batches in one commit, even thirty make two.
NTH = {"before_gate": 4, "after_gate": 4, "after_send_before_commit": 4, "after_commit": 2}
DEATHS, LIVES = 200, 5


@dataclass
class Graveyard:
    """One database that holds both planes of a hub with a queued run, made anew for every life."""

    mortals: Mortals
    url: str
    kept: str
    folder: Path

    @contextmanager
    def hub(self) -> Iterator[Path]:
        moulds.copy_postgres(self.kept, self.url)
        with TemporaryDirectory(prefix="hub-kill-") as made:
            shutil.copytree(self.folder, made, dirs_exist_ok=True)
            yield Path(made)

    def work(self, folder: Path, **death: object) -> int:
        """The exit code of a process that works until nothing is left, or until its death."""
        code = self.mortals.live(folder, self.url, "work", **death)
        if code:
            moulds.run_on(self.url, "UPDATE run SET lease_expires_at = created_at WHERE lease_owner IS NOT NULL")
        return code


@pytest.fixture(scope="module")
def graveyard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graveyard]:
    server = os.environ.get("HUB_TEST_POSTGRES_URL") or LOCAL
    if not answers(server):
        pytest.skip("no PostgreSQL server answers")
    folder = tmp_path_factory.mktemp("prepared")
    command = [sys.executable, "-m", "tests.services.mortal"]
    with moulds.fresh_postgres(server) as kept, moulds.fresh_postgres(server) as url:
        there = {**os.environ, "HUB_WAREHOUSE_URL": url}
        with subprocess.Popen(
            command, cwd=ROOT, env=there, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            mortals = Mortals(process)
            assert mortals.live(folder, url, "prepare") == 0
            moulds.copy_postgres(url, kept)
            yield Graveyard(mortals, url, kept, folder)
            assert process.stdin
            process.stdin.close()


@pytest.mark.parametrize("name", sorted(NAMES - ELSEWHERE))
def test_a_process_killed_at_a_step_boundary_loses_nothing_on_a_server(graveyard: Graveyard, name: str) -> None:
    with graveyard.hub() as folder:
        assert graveyard.work(folder, failpoint=f"{name}:kill:{NTH.get(name, 1)}") == -signal.SIGKILL
        assert graveyard.work(folder) == 0
        nothing_is_lost(folder)
        little_is_sent_twice(folder, deaths=1)


@pytest.mark.slow
def test_processes_killed_at_random_again_and_again_lose_nothing_on_a_server(graveyard: Graveyard) -> None:
    random, deaths = Random(39), 0
    while deaths < DEATHS:
        with graveyard.hub() as folder:
            lives = [graveyard.work(folder, kill_after=random.uniform(0.05, 0.6)) for _ in range(LIVES)]
            assert set(lives) <= {0, -signal.SIGKILL}
            assert graveyard.work(folder) == 0
            nothing_is_lost(folder)
            little_is_sent_twice(folder, lives.count(-signal.SIGKILL))
            deaths += lives.count(-signal.SIGKILL)
