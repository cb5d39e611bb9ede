"""A Directus of its own on SQLite, empty but for its administrator."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.postgres_server import free_port
from tests.real.npm import DIRECTUS, at_home, insist_on
from tests.real.servers import answers_200, running


@dataclass(frozen=True)
class RealDirectus:
    url: str
    token: str = "administrators-token-of-a-test"


@contextmanager
def directus(folder: Path) -> Iterator[RealDirectus]:
    program, port = insist_on(DIRECTUS).command("directus"), free_port()
    real = RealDirectus(f"http://127.0.0.1:{port}")
    settings = {
        **at_home(),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "DB_CLIENT": "sqlite3",
        "DB_FILENAME": str(folder / "directus.db"),
        "SECRET": "only-for-a-test-0123456789abcdef",
        "ADMIN_EMAIL": "admin@example.com",
        "ADMIN_PASSWORD": "only-for-a-test",
        "ADMIN_TOKEN": real.token,
        "TELEMETRY": "false",
        "EXTENSIONS_PATH": str(folder / "extensions"),
        "STORAGE_LOCAL_ROOT": str(folder / "uploads"),
        "LOG_LEVEL": "warn",
    }
    made = subprocess.run(
        [program, "bootstrap"], env={**os.environ, **settings}, cwd=folder, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stdout[-1500:] + made.stderr[-1500:]
    with running([program, "start"], answers_200(f"{real.url}/server/ping"), folder / "log", **settings):
        yield real
