"""Modes at work, with the sandbox as the vendor: a swap of the whole audience."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub.core.records import ConsentAction, RunStatus, SyncMode, WithheldReason
from hub.services import syncs
from tests.services.shop import Shop, shop, working


@pytest.fixture
async def swapping(tmp_path: Path) -> AsyncIterator[Shop]:
    """A sync that replaces the audience of a vendor who can swap."""
    async with shop(tmp_path) as one, working(one.hub):
        await one.set_up(4, replace=True)
        one.sync = await syncs.update(one.hub, one.sync.key, mode=SyncMode.REPLACE, fields={"NAME": "id"})
        yield one


async def configure(shop: Shop, **config: Any) -> None:
    await shop.hub.store.destinations.update(
        shop.destination.id, config={"account": shop.account_name, "replace": True, **config}
    )


async def states(shop: Shop) -> dict[str, str]:
    return dict(shop.hub.engine.rows("SELECT key, state FROM delivered"))


async def test_a_swap_takes_the_place_of_the_audience(swapping: Shop) -> None:
    swapping.account.audiences["vip"] = {"stranger": {}}
    run = await swapping.send()
    assert (run.status, run.counts.added) == (RunStatus.SUCCEEDED, 4)
    assert swapping.there == {"p000", "p001", "p002", "p003"}


async def test_whoever_is_refused_and_so_left_out_of_a_swap_is_known_to_be_gone(swapping: Shop) -> None:
    await swapping.send()
    await configure(swapping, reject=["p001"])
    swapping.sync = await syncs.update(swapping.hub, swapping.sync.key, fields={"OTHER": "id"})
    refused = await swapping.send()
    assert (refused.status, refused.counts.rejected) == (RunStatus.PARTIAL, 1)
    assert swapping.there == {"p000", "p002", "p003"}
    assert await states(swapping) == {"p000": "present", "p001": "rejected", "p002": "present", "p003": "present"}

    resting = await swapping.send()
    assert resting.counts.rejected == 1 and swapping.there == {"p000", "p002", "p003"}

    await configure(swapping)
    swapping.sync = await syncs.update(swapping.hub, swapping.sync.key, fields={"THIRD": "id"})
    taken = await swapping.send()
    assert (taken.status, taken.counts.added, taken.counts.updated) == (RunStatus.SUCCEEDED, 1, 3)
    assert swapping.there == {"p000", "p001", "p002", "p003"}


async def test_whoever_withdraws_while_a_swap_is_under_way_is_not_in_it_and_known_to_be_gone(swapping: Shop) -> None:
    await swapping.send()
    await swapping.decide("p002", ConsentAction.WITHDRAW)
    run = await swapping.send()
    assert run.withheld == {WithheldReason.NO_CONSENT: 1}
    assert swapping.there == {"p000", "p001", "p003"} and "p002" not in await states(swapping)
