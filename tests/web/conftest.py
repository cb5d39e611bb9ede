from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.services.opened import TestClock
from tests.web.served import EVENTS, PEOPLE, Served, served


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
async def web(tmp_path: Path, clock: TestClock) -> AsyncIterator[Served]:
    async with served(tmp_path, clock) as found:
        yield found


@pytest.fixture
async def peopled(web: Served) -> Served:
    """A hub with four people, their events, and a purpose."""
    assert (await web.take_in("profiles", PEOPLE)).status_code == 200
    assert (await web.take_in("events", EVENTS)).status_code == 200
    await web.ask('mutation { purposeCreate(input: {key: "news", name: "Newsletter"}) { errors { message } } }')
    return web
