"""A worker that slept asks before it sends anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hub.core.leases import LeaseLost
from hub.services import runs
from hub.services.hold import Hold
from hub.store import Claim
from tests.services.shop import Shop, shop
from tests.store.rows import let_leases_lapse


class Sleeper:
    """Time as the process measures it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def claimed(open_shop: Shop, owner: str) -> Claim:
    claim = await open_shop.hub.store.runs.claim(owner, open_shop.clock.now(), 20.0)
    assert claim
    return claim


async def test_it_is_sure_of_a_run_for_most_of_the_lease_and_then_asks(tmp_path: Path) -> None:
    async with shop(tmp_path) as open_shop:
        await open_shop.set_up(1)
        await runs.start(open_shop.hub, open_shop.sync.key)
        clock = Sleeper()
        hold = Hold(open_shop.hub, await claimed(open_shop, "sleeper"), 20.0, clock)
        await let_leases_lapse(open_shop.hub.store)
        await claimed(open_shop, "heir")
        clock.now = 14.9
        await hold.confirm()
        clock.now = 15.0
        with pytest.raises(LeaseLost):
            await hold.confirm()


async def test_a_beat_makes_it_sure_again(tmp_path: Path) -> None:
    async with shop(tmp_path) as open_shop:
        await open_shop.set_up(1)
        await runs.start(open_shop.hub, open_shop.sync.key)
        clock = Sleeper()
        hold = Hold(open_shop.hub, await claimed(open_shop, "w1"), 20.0, clock)
        clock.now = 10.0
        await hold.beat()
        await let_leases_lapse(open_shop.hub.store)
        await claimed(open_shop, "heir")
        clock.now = 24.9
        await hold.confirm()
        clock.now = 25.1
        with pytest.raises(LeaseLost):
            await hold.confirm()


async def test_what_it_writes_is_about_its_own_sync_and_under_its_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about: list[tuple[Any, ...]] = []
    async with shop(tmp_path) as open_shop:
        await open_shop.set_up(1)
        await runs.start(open_shop.hub, open_shop.sync.key)
        claim = await claimed(open_shop, "w1")
        engine, hold = open_shop.hub.engine, Hold(open_shop.hub, claim)
        write = engine.write
        monkeypatch.setattr(engine, "write", lambda *told: (about.append(told), write(*told))[1])
        with hold.engine.write() as tx:
            tx.execute("INSERT INTO fences VALUES (0, 0)")
        assert about == [(open_shop.sync.id, (claim.run.id, claim.fence))]
