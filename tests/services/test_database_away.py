"""A PostgreSQL that restarts, crashes or cuts connections under load: what was acknowledged stays, and work goes on
as soon as it answers.

The cluster is the tests' own, and both planes are there.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import httpx
import pytest

from hub.core.identifiers import EXTERNAL_ID, subject
from hub.services import access, runs
from hub.services.hub import open_hub
from hub.settings import Settings
from hub.store import migrate
from hub.web.app import create_app
from tests import moulds
from tests.postgres_server import Cluster, find_binaries, throwaway_cluster
from tests.services.opened import TestClock
from tests.services.shop import Shop, until, working

if os.environ.get("HUB_TEST_DATABASE") != "postgres":
    pytest.skip("belongs to the pass with PostgreSQL as the control plane", allow_module_level=True)

pytestmark = pytest.mark.postgres

PEOPLE, BATCH = 600, 2
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
WITHDRAWS = """mutation($id: String!) {
  consentRecord(input: {externalId: $id, purpose: "news", action: WITHDRAW, source: "form", entryId: $id}) {
    errors { code }
  }
}"""


@dataclass
class Place:
    shop: Shop
    cluster: Cluster
    web: httpx.AsyncClient

    async def ask(self, query: str, **variables: str) -> httpx.Response:
        return await self.web.post("/graphql", json={"query": query, "variables": variables})

    async def restart(self, mode: str) -> None:
        await asyncio.to_thread(self.cluster.stop, mode)
        await asyncio.to_thread(self.cluster.start)

    async def cut(self) -> None:
        await asyncio.to_thread(moulds.run_on, self.cluster.url, CUT)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    if not (binaries := find_binaries()):
        pytest.skip("no PostgreSQL binaries are found")
    with throwaway_cluster(binaries) as found:
        yield found


@pytest.fixture
async def place(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Place]:
    async with shop_on(cluster, tmp_path) as found:
        yield found


@asynccontextmanager
async def shop_on(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Place]:
    with moulds.fresh_postgres(cluster.url) as url:
        # Without it a server loses what it has acknowledged in its last moments; other tests are quicker without it.
        moulds.run_on(url, f'ALTER DATABASE "{urlsplit(url).path[1:]}" SET synchronous_commit = on')
        await migrate(url)
        settings = Settings(
            data=tmp_path, database_url=url, warehouse_url=url, connectors=frozenset({"sandbox"}), threads=1
        )
        clock = TestClock()
        async with open_hub(settings, clock) as hub, client(create_app(hub, local_token="local")) as web:
            await access.prepare(hub)
            shop = Shop(hub, clock, f"away-{tmp_path.name}")
            await shop.set_up(PEOPLE, batch=BATCH, concurrency=3, latency_ms=40)
            yield Place(shop, cluster, web)


@asynccontextmanager
async def client(app: object) -> AsyncIterator[httpx.AsyncClient]:
    # Shown this token, the door asks no store: what comes after it is asked of the schema.
    headers = {"Authorization": "Bearer local"}
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://hub.test", headers=headers, timeout=60) as found:
        yield found


async def test_while_the_database_is_away_http_says_so_and_what_to_do(place: Place) -> None:
    await asyncio.to_thread(place.cluster.stop, "fast")
    try:
        ready = await place.web.get("/readyz")
        asked = await place.ask("{ purposes { key } }")
        stranger = await place.web.post(
            "/graphql", headers={"Authorization": "Bearer another"}, json={"query": "{ a }"}
        )
        file = await place.web.post("/import/profiles", content="id\np1\n", headers={"Content-Type": "text/csv"})
    finally:
        await asyncio.to_thread(place.cluster.start)
    assert (await place.web.get("/healthz")).status_code == 200
    assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
    for answer in (asked, stranger, file):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        [error] = answer.json()["errors"]
        assert error["extensions"]["code"] == "UNAVAILABLE"
        assert "does not answer just now: try again" in error["message"]
    await until(lambda: answers_again(place))


async def answers_again(place: Place) -> bool:
    return (await place.web.get("/readyz")).status_code == 200


async def keep_withdrawing(place: Place, taken: list[str]) -> None:
    """People nobody knows, one after another; `taken` are those whose withdrawal was acknowledged."""
    number = 0
    while True:
        id = f"z{number}"
        answer = await place.ask(WITHDRAWS, id=id)
        assert answer.status_code in {200, 503}, answer.text
        if answer.status_code == 200:
            assert answer.json() == {"data": {"consentRecord": {"errors": []}}}
            taken.append(id)
            number += 1
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("faults", [4, pytest.param(12, marks=pytest.mark.slow)])
async def test_a_database_that_goes_away_under_load_loses_nothing_it_acknowledged(place: Place, faults: int) -> None:
    shop, random, taken = place.shop, Random(6), list[str]()
    ways = [lambda: place.restart("fast"), lambda: place.restart("immediate"), place.cut]
    withdrawing = asyncio.create_task(keep_withdrawing(place, taken))
    async with working(shop.hub):
        run = await runs.start(shop.hub, shop.sync.key)
        await until(lambda: len(shop.account.calls) > 10)
        for number in range(faults):
            before = shop.account.started
            await ways[number % 3]()
            await until(lambda: shop.account.started > before + 5)  # noqa: B023 - awaited here
            await asyncio.sleep(random.uniform(0, 0.3))
        ended = await shop.outcome_of(run)
    withdrawing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await withdrawing
    assert (ended.status, ended.counts.added, ended.counts.balanced) == ("SUCCEEDED", PEOPLE, True)
    sent = Counter(key for call in shop.account.calls for key in call["add"])
    assert len(sent) == PEOPLE
    assert sum(sent.values()) - len(sent) <= faults * 8 * BATCH
    kept = {entry.subject for entry in await shop.hub.store.ledger.whole(0)}
    assert {subject(shop.hub.pepper, EXTERNAL_ID, id) for id in taken} <= kept
    assert len(taken) > faults
