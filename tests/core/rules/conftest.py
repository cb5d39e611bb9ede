from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.core.rules.engines import InDuckDb, InPostgres, in_postgres


@pytest.fixture(scope="session")
def duck() -> InDuckDb:
    return InDuckDb()


@pytest.fixture(scope="session")
def postgres() -> Iterator[InPostgres]:
    with in_postgres() as engine:
        yield engine
