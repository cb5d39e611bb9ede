"""A PostgreSQL that lets others past: a transaction that is beaten is tried again, and nobody is sent twice for it.

Both planes are there, in one database of the test's own.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hub.core.identifiers import EXTERNAL_ID, subject
from hub.core.records import Run
from hub.errors import StoreError
from hub.services import runs
from hub.services.hub import open_hub
from hub.settings import Settings
from hub.store import migrate
from hub.warehouse.postgres import WRITER
from tests import moulds
from tests.postgres_server import LOCAL, somebody_waits
from tests.services.opened import TestClock
from tests.services.shop import Shop, until, working

if os.environ.get("HUB_TEST_DATABASE") != "postgres":
    pytest.skip("belongs to the pass with PostgreSQL as the control plane", allow_module_level=True)

pytestmark = pytest.mark.postgres

PEOPLE, BATCH = 120, 2
# What a run writes to. Every fifth of its statements there fails, so that no transaction does so for ever.
WRITTEN = [
    "run",
    "run_moment",
    *(f"warehouse.{table}" for table in ("plans", "plan", "taken", "outcomes", "delivered")),
]
BEATS = """
CREATE SEQUENCE statements;
CREATE FUNCTION beat() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  CASE nextval('public.statements') % 10
    WHEN 0 THEN RAISE EXCEPTION 'let past' USING ERRCODE = '40001';
    WHEN 5 THEN RAISE EXCEPTION 'let past' USING ERRCODE = '40P01';
    ELSE RETURN NULL;
  END CASE;
END $$;
"""


@pytest.fixture
def url() -> Iterator[str]:
    with moulds.fresh_postgres(os.environ.get("HUB_TEST_POSTGRES_URL") or LOCAL) as found:
        yield found


@asynccontextmanager
async def shop_on(url: str, folder: Path) -> AsyncIterator[Shop]:
    await migrate(url)
    settings = Settings(data=folder, database_url=url, warehouse_url=url, connectors=frozenset({"sandbox"}), threads=1)
    clock = TestClock()
    async with open_hub(settings, clock) as hub:
        shop = Shop(hub, clock, f"beaten-{folder.name}")
        await shop.set_up(PEOPLE, batch=BATCH, concurrency=3, latency_ms=20)
        yield shop


@pytest.fixture
async def place(url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop_on(url, tmp_path) as found:
        yield found


async def test_a_run_whose_writes_are_beaten_again_and_again_sends_nobody_twice(place: Shop, url: str) -> None:
    triggers = [
        f"CREATE TRIGGER beaten BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION public.beat();" for table in WRITTEN
    ]
    moulds.run_on(url, BEATS + "".join(triggers))
    async with working(place.hub):
        ended = await place.outcome_of(await runs.start(place.hub, place.sync.key))
    everybody_once(place, ended)
    assert statements(url) > 50


def statements(url: str) -> int:
    with closing(connect(url)) as other:
        return int(other.execute("SELECT last_value FROM statements").fetchone()[0])


def everybody_once(place: Shop, ended: Run) -> None:
    assert (ended.status, ended.counts.added, ended.counts.balanced) == ("SUCCEEDED", PEOPLE, True)
    sent = Counter(key for call in place.account.calls for key in call["add"])
    assert (len(sent), set(sent.values())) == (PEOPLE, {1})


async def test_a_run_that_a_deadlock_stops_goes_on_and_sends_nobody_twice(place: Shop, url: str) -> None:
    async with working(place.hub):
        run = await runs.start(place.hub, place.sync.key)
        await until(lambda: len(place.account.calls) > 10)
        stopped = 0
        while stopped < 2:
            with in_a_circle(url) as close:
                # The hub has its turn and waits for the table.
                await until(lambda: asyncio.to_thread(somebody_waits, url))
                stopped += await asyncio.to_thread(close)
        ended = await place.outcome_of(run)
    everybody_once(place, ended)
    assert deadlocks(url) >= 2


@contextmanager
def in_a_circle(url: str) -> Iterator[Any]:
    """Another who has the log of outcomes, and, asked to, wants the turn of those who write to it: and tells whether it
    was the hub that was stopped. Whoever has waited for a second looks for a circle, once: the hub, as a rule."""
    with closing(connect(url)) as other:
        other.execute("LOCK TABLE warehouse.taken, warehouse.outcomes IN EXCLUSIVE MODE")

        def close() -> bool:
            from psycopg.errors import DeadlockDetected

            try:
                other.execute(f"SELECT pg_advisory_xact_lock({WRITER}, hashtext('warehouse'))")
            except DeadlockDetected:
                other.rollback()
                return False
            return True

        yield close
        other.commit()


def deadlocks(url: str) -> int:
    with closing(connect(url)) as other:
        return int(
            other.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()[0]
        )


def connect(url: str) -> Any:
    import psycopg

    return psycopg.connect(url)


async def test_what_is_beaten_every_time_is_refused_in_the_end(place: Shop, url: str) -> None:
    moulds.run_on(url, BEATS.replace("% 10", "* 0"))
    moulds.run_on(url, "CREATE TRIGGER beaten BEFORE INSERT ON purpose EXECUTE FUNCTION public.beat()")
    with pytest.raises(StoreError, match="40001"):
        await place.hub.store.purposes.create(key="more", name="More")
    assert 3 <= statements(url) <= 10


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_a_database_that_isolates_further_than_the_hub_needs_changes_nothing(
    url: str, tmp_path: Path, level: str
) -> None:
    name = urlsplit(url).path[1:]
    moulds.run_on(url, f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{level}'")
    async with shop_on(url, tmp_path) as shop:
        async with working(shop.hub):
            run = await runs.start(shop.hub, shop.sync.key)
            await asyncio.gather(*(shop.withdraw(f"z{number}") for number in range(40)))
            ended = await shop.outcome_of(run)
        everybody_once(shop, ended)
        kept = {entry.subject for entry in await shop.hub.store.ledger.whole(0)}
    assert {subject(shop.hub.pepper, EXTERNAL_ID, f"z{number}") for number in range(40)} <= kept
