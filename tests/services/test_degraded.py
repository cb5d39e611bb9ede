"""A data plane that takes no writes while the control plane does: nothing is begun, nobody is sent again and again, and
with room all goes on by itself."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from connectors.sandbox import forget
from hub.services import runs
from hub.web.app import create_app
from tests import moulds
from tests.services.full import degraded
from tests.services.opened import TestClock, opened
from tests.services.shop import Shop, until, working
from tests.small_disk import filled, small_disk

if os.environ.get("HUB_TEST_DATABASE") == "postgres":
    pytest.skip("is about the embedded stores", allow_module_level=True)

PEOPLE, BATCH = 300, 2


@dataclass
class Place:
    shop: Shop
    disk: Path
    web: httpx.AsyncClient


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    with small_disk(tmp_path / "disk", 48) as disk:
        moulds.copy_duckdb(disk / "hub.duckdb")
        clock, name = TestClock(), f"degraded-{tmp_path.name}"
        async with opened(tmp_path, clock, warehouse_url=f"duckdb:///{disk / 'hub.duckdb'}") as hub:
            transport = httpx.ASGITransport(create_app(hub))
            async with httpx.AsyncClient(transport=transport, base_url="http://hub.test") as web:
                shop = Shop(hub, clock, name)
                await shop.set_up(PEOPLE, batch=BATCH, concurrency=3, latency_ms=15)
                yield Place(shop, disk, web)
        forget(name)


async def test_a_run_that_waits_is_not_begun_before_there_is_room(place: Place) -> None:
    shop, hub = place.shop, place.shop.hub
    run = await runs.start(hub, shop.sync.key)
    with ExitStack() as full:
        full.enter_context(filled(place.disk))
        await until(lambda: is_degraded(place))
        async with working(hub):
            await asyncio.sleep(2)
            found = await hub.store.runs.find(run.id)
            assert found and found.status == "QUEUED"
            full.close()
            assert (await shop.outcome_of(run)).status == "SUCCEEDED"
    assert await degraded(place.web) == set()


async def test_whoever_was_sent_just_before_is_not_sent_again_and_again(place: Place) -> None:
    shop = place.shop
    async with working(shop.hub):
        run = await runs.start(shop.hub, shop.sync.key)
        await until(lambda: len(shop.account.calls) > 10)
        with filled(place.disk):
            await until(lambda: is_degraded(place))
            await asyncio.sleep(1)
            calls = len(shop.account.calls)
            await asyncio.sleep(5)
            assert len(shop.account.calls) == calls
        ended = await shop.outcome_of(run)
    assert (ended.status, ended.counts.added, ended.counts.balanced) == ("SUCCEEDED", PEOPLE, True)
    sent = Counter(key for call in shop.account.calls for key in call["add"])
    assert len(sent) == PEOPLE
    assert sum(sent.values()) - len(sent) <= 8 * BATCH


async def is_degraded(place: Place) -> bool:
    return await degraded(place.web) == {"data_plane"}
