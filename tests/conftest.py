"""A fresh control plane for whoever asks: on SQLite, or on PostgreSQL with HUB_TEST_DATABASE=postgres.

Tortoise speaks one dialect per process, so the whole session is on one of them.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import moulds
from tests.postgres_server import postgres_url
from tests.searching import LONGER

# What a test says itself through `tests.searching` goes before this.
settings.register_profile("hub", max_examples=40 * LONGER, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hub")

DIALECT = os.environ.get("HUB_TEST_DATABASE", "sqlite")
SECRET_KEY = bytes.fromhex("9d1f5cb27a3be04c88e6123fd45a7790be3c61f2047de85b96a1c8f30b2d4e57")


# What takes longest is begun first, or one worker would still be at it when the others have nothing left to do.
LONGEST = (
    "tests/warehouse/test_turns.py",
    "tests/services/test_failing_disk.py",
    "tests/services/test_kill.py",
    "tests/services/test_audits.py",
    "tests/test_cli.py",
    "tests/acceptance/test_syncs.py",
    "tests/simulation/test_simulation.py",
    "tests/sdk/test_scores.py",
    "tests/services/test_erasures.py",
    "tests/warehouse/test_jobs_model.py",
    "tests/warehouse/test_settle.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def how_early(item: pytest.Item) -> int:
        file = item.nodeid.partition("::")[0]
        return LONGEST.index(file) if file in LONGEST else len(LONGEST)

    items.sort(key=how_early)


@pytest.fixture(scope="session", autouse=True)
def tidied() -> Iterator[None]:
    """Nothing made for many tests outlives them."""
    yield
    moulds.throw_away()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server; skips where there is none, unless HUB_REQUIRE_POSTGRES is set."""
    with postgres_url() as url:
        if url is None and not os.environ.get("HUB_REQUIRE_POSTGRES"):
            pytest.skip("no PostgreSQL server or binaries found")
        assert url, "HUB_REQUIRE_POSTGRES is set, but there is no PostgreSQL server"
        yield url


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty control plane, not yet migrated."""
    if DIALECT == "sqlite":
        yield f"sqlite:///{tmp_path / 'hub.db'}"
    else:
        with moulds.fresh_postgres(request.getfixturevalue("postgres_server")) as url:
            yield url


@pytest.fixture
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A control plane with its schema, closed."""
    if DIALECT == "sqlite":
        yield moulds.copy_sqlite(tmp_path / "hub.db")
    else:
        with moulds.lend_postgres(request.getfixturevalue("postgres_server")) as url:
            yield url


@pytest.fixture
async def store(migrated_url: str) -> AsyncIterator[object]:
    """An open, empty control plane."""
    from hub.store import Store
    from hub.store.seal import Keyring

    opened = await Store.open(migrated_url, Keyring.of(SECRET_KEY))
    try:
        yield opened
    finally:
        await opened.close()
