"""A real PostgreSQL for the tests: the one that is named, the one that runs here, or one of our own for a while."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCAL = "postgresql://postgres@127.0.0.1:5432/postgres"


@contextmanager
def postgres_url() -> Iterator[str | None]:
    """The URL of a server that answers, or None where neither a server nor its binaries are found."""
    named = os.environ.get("HUB_TEST_POSTGRES_URL")
    if named or answers(LOCAL):
        yield named or LOCAL
    elif binaries := find_binaries():
        with throwaway_cluster(binaries) as url:
            yield url
    else:
        yield None


def answers(url: str) -> bool:
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


def find_binaries() -> Path | None:
    """The folder of `initdb` and `pg_ctl`: on the path, or where Debian keeps each major version."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


@contextmanager
def throwaway_cluster(binaries: Path) -> Iterator[str]:
    """A cluster in a temporary folder on a free loopback port, stopped and removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="hub-postgres-"))
    port = free_port()
    try:
        as_server_user([binaries / "initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres"], folder)
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
        control = [binaries / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log"]
        as_server_user([*control, "-o", options, "start"], folder)
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            as_server_user([*control, "-m", "immediate", "stop"], folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def as_server_user(command: list[str | Path], folder: Path) -> None:
    """PostgreSQL refuses root: root hands the folder to the `postgres` user and runs the command as that user."""
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        command = ["runuser", "-u", "postgres", "--", *command]
    subprocess.run([str(part) for part in command], check=True, cwd=folder, stdout=subprocess.DEVNULL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
