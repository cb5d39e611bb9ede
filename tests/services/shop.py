"""A small shop for the tests of runs: people who agreed to be written to, a segment of everyone, a pretend vendor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from connectors.sandbox import PretendAccount, Sandbox, forget, pretend_account
from hub.core.consent_form import ConsentInput
from hub.core.records import ConsentAction, Destination, Run, Sync
from hub.services import consent, purposes, runs, segments
from hub.services.hub import Hub
from hub.services.retry import RetryPolicy
from hub.services.worker import Worker
from tests.services.opened import TestClock, add_person, opened

# Enough for whatever must come to pass, however busy the machine is.
PATIENCE_S = 120.0
QUICK = RetryPolicy(attempts=4, first_s=0.01, most_s=0.02, random=Random(1))


class Shop:
    def __init__(self, hub: Hub, clock: TestClock, account: str) -> None:
        self.hub = hub
        self.clock = clock
        self.account_name = account
        self.destination: Destination
        self.sync: Sync

    @property
    def account(self) -> PretendAccount:
        return pretend_account(self.account_name)

    @property
    def there(self) -> set[str]:
        """Who the vendor holds."""
        return self.account.members("vip")

    async def set_up(self, people: int, *, schedule: str = "manual", share: float = 1.0, **config: Any) -> None:
        await purposes.create(self.hub, "news", "News")
        await self.admit(f"p{number:03}" for number in range(people))
        await segments.create(self.hub, "all", "Everyone", "everyone")
        store = self.hub.store
        self.destination = await store.destinations.create(
            key="vendor",
            name="Vendor",
            connector="sandbox",
            secrets={},
            config={"account": self.account_name, **config},
        )
        segment = await store.segments.need("all")
        self.sync = await store.syncs.create(
            key="all-to-vendor",
            segment_id=segment.id,
            destination_id=self.destination.id,
            audience="vip",
            purposes=["news"],
            schedule=schedule,
            max_removal_share=share,
        )

    async def admit(self, ids: Iterable[str]) -> None:
        """New people, who agree."""
        [(first,)] = self.hub.engine.rows("SELECT coalesce(max(pid), 0) + 1 FROM profiles")
        for pid, external_id in enumerate(ids, first):
            add_person(self.hub, pid, external_id)
            await self.decide(external_id, ConsentAction.GRANT)

    async def decide(self, external_id: str, action: ConsentAction, **more: Any) -> None:
        said = ConsentInput("news", action, "form", external_id=external_id, effective_at=self.clock.now(), **more)
        await consent.record(self.hub, said)

    async def withdraw(self, external_id: str) -> None:
        await self.decide(external_id, ConsentAction.WITHDRAW)

    async def expel(self, *ids: str) -> None:
        """People whom the data plane no longer knows as members."""
        with self.hub.engine.write() as tx:
            for external_id in ids:
                tx.execute("DELETE FROM profiles WHERE external_id = $id", {"id": external_id})

    async def send(self, **arguments: Any) -> Run:
        """Start a run and wait until it ended or waits for a person."""
        return await self.outcome_of(await runs.start(self.hub, self.sync.key, **arguments))

    async def outcome_of(self, run: Run) -> Run:
        async with asyncio.timeout(PATIENCE_S):
            async for seen in runs.progress(self.hub, run.id):
                if seen.status.ended or seen.status.value == "WAITING_APPROVAL":
                    return seen
        raise AssertionError("progress ended without an end")


def standing_still(monkeypatch: pytest.MonkeyPatch, opened: Shop, after: int = -1) -> asyncio.Event:
    """The vendor answers so many calls and no more, nor says whom it holds, until the event is set."""
    go_on = asyncio.Event()

    async def take_its_time(one: Sandbox) -> None:
        if one.account is opened.account and one.account.started > after:
            await go_on.wait()

    monkeypatch.setattr(Sandbox, "_take_its_time", take_its_time)
    return go_on


async def until(true: Callable[[], bool | Awaitable[bool]], seconds: float = PATIENCE_S) -> None:
    """Wait until it is so; what it is about must come to pass by itself."""
    async with asyncio.timeout(seconds):
        while True:
            answer = true()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def shop(folder: Path) -> AsyncIterator[Shop]:
    clock = TestClock()
    name = f"shop-{folder.name}-{id(clock)}"
    async with opened(folder, clock) as hub:
        yield Shop(hub, clock, name)
    forget(name)


@asynccontextmanager
async def working(hub: Hub, policy: RetryPolicy = QUICK, **more: Any) -> AsyncIterator[Worker]:
    """A worker at work."""
    worker = Worker(hub, policy, **more)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await task
