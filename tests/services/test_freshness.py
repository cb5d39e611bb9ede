"""How far a destination is behind its segment: what counts as equal, and what as pending."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.services import syncs
from hub.services.freshness import known, pending
from tests.services.shop import Shop, shop, working


@pytest.fixture
async def open_shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(tmp_path) as opened:
        yield opened


async def test_a_destination_is_known_to_be_equal_as_of_the_plan_of_the_last_success(open_shop: Shop) -> None:
    await open_shop.set_up(3)
    assert (await known(open_shop.hub, open_shop.sync)).equal_at is None
    async with working(open_shop.hub):
        planned_at = open_shop.clock.now()
        await open_shop.send()
        open_shop.clock.pass_by(minutes=5)
        found = await known(open_shop.hub, open_shop.sync)
        assert (found.equal_at, found.seconds_since) == (planned_at, 300.0)
        await open_shop.send(as_of=open_shop.clock.now())
    assert (await known(open_shop.hub, open_shop.sync)).equal_at == planned_at


async def test_a_run_that_left_somebody_open_does_not_count(open_shop: Shop) -> None:
    await open_shop.set_up(3, reject=["p001"])
    async with working(open_shop.hub):
        await open_shop.send()
    assert (await known(open_shop.hub, open_shop.sync)).equal_at is None


async def test_another_audience_is_not_fresh_because_the_old_one_was(open_shop: Shop) -> None:
    await open_shop.set_up(3)
    async with working(open_shop.hub):
        await open_shop.send()
        changed = await syncs.update(open_shop.hub, open_shop.sync.key, audience="others")
    assert (await known(open_shop.hub, changed)).equal_at is None and await pending(open_shop.hub, changed) == 3


async def test_what_is_pending_is_what_a_run_would_do(open_shop: Shop) -> None:
    await open_shop.set_up(3)
    assert await pending(open_shop.hub, open_shop.sync) == 3
    async with working(open_shop.hub):
        await open_shop.send()
        assert await pending(open_shop.hub, open_shop.sync) == 0
        await open_shop.expel("p000")
        assert await pending(open_shop.hub, open_shop.sync) == 1
