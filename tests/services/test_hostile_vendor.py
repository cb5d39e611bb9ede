"""Whole runs against a vendor that means ill, at a real socket: what may have arrived is unknown, is asked again, and
settles well; what cannot have arrived is only still to do."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hub.core.records import ConsentAction, Run, RunStatus
from hub.services import intake
from hub.services.retry import RetryPolicy
from tests.sdk.hostile import BREAKS, Line, Vendor, hostile, says
from tests.services.opened import TestClock, opened
from tests.services.shop import Shop, until, working

ONCE = RetryPolicy(attempts=1, random=Random(1))
SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"
AFTER_THE_REQUEST = ("reset after the request", "reset within the body", "half-closed without an answer")


@asynccontextmanager
async def facing(
    folder: Path, vendor: Vendor, connector: str, config: dict[str, Any], **secrets: str
) -> AsyncIterator[Shop]:
    """Ann and Bob, who agree, and a sync of everyone to this vendor."""
    clock = TestClock()
    settings = {"connectors": frozenset({"sandbox", connector}), "egress_allow": frozenset({vendor.at})}
    async with opened(folder, clock, **settings) as hub:
        shop = Shop(hub, clock, f"hostile-{folder.name}")
        await shop.set_up(0)
        people = folder / "people.csv"
        people.write_text("id,email\nann,ann@example.com\nbob,bob@example.com\n")
        await intake.import_file(hub, "profiles", people)
        for name in ("ann", "bob"):
            await shop.decide(name, ConsentAction.GRANT)
        destination = await hub.store.destinations.create(
            key="hostile", name="Hostile", connector=connector, config=config, secrets=secrets
        )
        segment = await hub.store.segments.need("all")
        shop.sync = await hub.store.syncs.create(
            key="all-to-hostile",
            segment_id=segment.id,
            destination_id=destination.id,
            audience="vip",
            purposes=["news"],
            schedule="manual",
            max_removal_share=1.0,
        )
        yield shop


@asynccontextmanager
async def shop_with_webhook(folder: Path, vendor: Vendor) -> AsyncIterator[Shop]:
    async with facing(folder, vendor, "webhook", {"url": f"http://{vendor.at}/"}, secret=SECRET) as shop:
        yield shop


def fates(shop: Shop, run: Run) -> list[tuple[int, str, str]]:
    """Each line of the outcome log: at which attempt, who, and what became of them."""
    query = (
        "SELECT o.attempt, p.external_id, o.kind FROM outcomes o JOIN profiles p ON p.pid = o.pid "
        "WHERE o.run = $run ORDER BY o.attempt, p.external_id"
    )
    return [tuple(line) for line in shop.hub.engine.rows(query, {"run": run.id})]


def told(request: bytes) -> dict[str, Any]:
    return json.loads(request.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("name", AFTER_THE_REQUEST)
async def test_a_batch_that_breaks_off_after_it_was_sent_is_unknown_and_asked_again(tmp_path: Path, name: str) -> None:
    async with hostile(BREAKS[name]) as vendor, shop_with_webhook(tmp_path, vendor) as shop:
        async with working(shop.hub):
            run = await shop.send()
            again = await shop.send()
        assert run.status is RunStatus.SUCCEEDED and run.counts.added == 2 and run.counts.balanced
        log = fates(shop, run)
        assert [line for line in log if line[0] == 1] == [(1, "ann", "unknown"), (1, "bob", "unknown")]
        [request] = vendor.requests
        assert [person["id"] for person in told(request)["add"]] == ["ann", "bob"]
        assert again.counts.unchanged == 2 and len(vendor.requests) == 1


async def test_whoever_may_have_arrived_is_removed_when_they_withdraw(tmp_path: Path) -> None:
    """The vendor took the add and broke off: the hub never heard of it."""
    async with hostile(BREAKS["reset after the request"]) as vendor, shop_with_webhook(tmp_path, vendor) as shop:
        async with working(shop.hub, ONCE):
            run = await shop.send()
            assert run.counts.added == 0 and fates(shop, run) == [(1, "ann", "unknown"), (1, "bob", "unknown")]
            await shop.withdraw("ann")
            await until(lambda: bool(vendor.requests))
        assert [person["id"] for person in told(vendor.requests[0])["remove"]] == ["ann"]
        assert told(vendor.requests[0])["add"] == []


async def test_a_batch_that_nobody_took_is_only_still_to_do(tmp_path: Path) -> None:
    async with hostile() as vendor:
        vendor.stop()
        async with shop_with_webhook(tmp_path, vendor) as shop, working(shop.hub, ONCE):
            run = await shop.send()
            assert {fate for _, _, fate in fates(shop, run)} <= {"retry"}


async def test_a_batch_of_two_requests_may_have_arrived_although_the_second_cannot_have(tmp_path: Path) -> None:
    """Ann is tagged, Bob must first be created, and then nobody answers any more."""
    stopped = asyncio.Event()

    async def tagging(line: Line) -> None:
        await line.request()
        await line.say(says(b'{"segments": [{"id": 7, "name": "vip"}]}'))
        await line.request()
        stopped.set()
        vendor.stop()
        missing = [{"email_addresses": ["bob@example.com"], "error": "not subscribed to the list"}]
        answer = {"members_added": [{}], "members_removed": [], "errors": missing, "error_count": 1}
        await line.say(says(json.dumps(answer).encode(), "Connection: close"))

    async with hostile(tagging) as vendor:
        config = {"list_id": "abc", "new_contacts": "transactional", "api_url": f"http://{vendor.at}/3.0"}
        async with facing(tmp_path, vendor, "mailchimp", config, api_key="0123456789abcdef-us1") as shop:
            async with working(shop.hub, ONCE):
                run = await shop.send()
            assert stopped.is_set() and fates(shop, run) == [(1, "ann", "unknown"), (1, "bob", "unknown")]
