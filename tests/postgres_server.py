"""A real PostgreSQL for the tests: the one that is named, the one that runs here, or one of our own for a while."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

LOCAL = "postgresql://postgres@127.0.0.1:5432/postgres"


@contextmanager
def postgres_url() -> Iterator[str | None]:
    """The URL of a server that answers, or None where neither a server nor its binaries are found."""
    named = os.environ.get("HUB_TEST_POSTGRES_URL")
    if named or answers(LOCAL):
        yield named or LOCAL
    elif binaries := find_binaries():
        with throwaway_cluster(binaries) as cluster:
            yield cluster.url
    else:
        yield None


def answers(url: str) -> bool:
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=30).close()
    except psycopg.OperationalError:
        return False
    return True


def somebody_waits(url: str) -> bool:
    """Whether anybody waits for another's lock in this database."""
    import psycopg

    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with closing(psycopg.connect(url)) as looking:
        [count] = looking.execute(waiting).fetchone() or (0,)
        return bool(count)


def find_binaries() -> Path | None:
    """The folder of `initdb` and `pg_ctl`: on the path, or where Debian keeps each major version."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


@dataclass(frozen=True)
class Cluster:
    """A server of our own, which may be stopped and started; how hard it stops is for `pg_ctl` to know. `settings` are
    options of its command."""

    binaries: Path
    folder: Path
    port: int
    settings: str = ""

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def log(self) -> str:
        """What it has written down of itself."""
        return (self.folder / "log").read_text()

    def make(self) -> None:
        as_server_user(
            [self.binaries / "initdb", "-D", self.folder / "data", "-A", "trust", "-U", "postgres"], self.folder
        )

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -c fsync=off {self.settings}"
        self._control("-l", self.folder / "log", "-o", options, "start")

    def stop(self, mode: str) -> None:
        self._control("-m", mode, "stop")

    def _control(self, *words: str | Path) -> None:
        as_server_user([self.binaries / "pg_ctl", "-D", self.folder / "data", "-w", "-t", "300", *words], self.folder)


@contextmanager
def throwaway_cluster(binaries: Path, place: Path | None = None, settings: str = "") -> Iterator[Cluster]:
    """A cluster in a temporary folder, there or where such are, on a free loopback port, stopped and removed
    afterwards."""
    cluster = Cluster(binaries, Path(tempfile.mkdtemp(prefix="hub-postgres-", dir=place)), free_port(), settings)
    try:
        cluster.make()
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop("immediate")
    finally:
        shutil.rmtree(cluster.folder, ignore_errors=True)


def as_server_user(command: list[str | Path], folder: Path) -> None:
    """PostgreSQL refuses root: root hands the folder to the `postgres` user and runs the command as that user."""
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        command = ["runuser", "-u", "postgres", "--", *command]
    subprocess.run([str(part) for part in command], check=True, cwd=folder, stdout=subprocess.DEVNULL)


def free_port() -> int:
    """One that nobody has; nor is it one that the system may give to somebody else before its server listens there."""
    while True:
        port = SystemRandom().randrange(15_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
