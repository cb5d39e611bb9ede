"""An Unleash of its own, with a database of its own on the tests' PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from tests.postgres_server import free_port, postgres_url
from tests.real.npm import UNLEASH, at_home, insist_on, node
from tests.real.servers import CannotBeHad, answers_200, running

MOST_VALUES = 1200


@dataclass(frozen=True)
class RealUnleash:
    url: str
    token: str = "*:*.administrators-token-of-a-test"


@contextmanager
def unleash(folder: Path) -> Iterator[RealUnleash]:
    server, port = insist_on(UNLEASH).folder / "node_modules/unleash-server/dist/server.js", free_port()
    real = RealUnleash(f"http://127.0.0.1:{port}")
    with _database() as database:
        settings = {
            **at_home(),
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(port),
            "DATABASE_URL": database,
            "DATABASE_SSL": "false",
            "INIT_ADMIN_API_TOKENS": real.token,
            "UNLEASH_SEGMENT_VALUES_LIMIT": str(MOST_VALUES),
            "CHECK_VERSION": "false",
            "SEND_TELEMETRY": "false",
            "LOG_LEVEL": "warn",
        }
        with running([node(), server], answers_200(f"{real.url}/health"), folder / "log", **settings):
            yield real


@contextmanager
def _database() -> Iterator[str]:
    """Dropped afterwards, whoever is still connected."""
    import psycopg

    with postgres_url() as server:
        if server is None:
            raise CannotBeHad("there is no PostgreSQL to keep Unleash's data")
        name = f"hub_unleash_{uuid4().hex[:12]}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
            try:
                yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
            finally:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
