"""A control plane whose lock another process holds for longer than anybody waits: refused in words, and nothing is sent
twice for it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.errors import StoreError
from hub.services import runs
from hub.store import Store
from hub.store.database import SQLITE
from tests.postgres_server import somebody_waits
from tests.services.shop import shop, until, working

PEOPLE, BATCH = 120, 2


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The write lock is another's meanwhile."""
    with closing(sqlite3.connect(folder / "hub.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.skipif(os.environ.get("HUB_TEST_DATABASE") == "postgres", reason="SQLite has one lock for all writers")
async def test_a_lock_held_for_longer_than_anybody_waits_is_refused_and_nothing_is_sent_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SQLITE, "busy_timeout", 200)
    async with shop(tmp_path) as at:
        await at.set_up(PEOPLE, batch=BATCH, concurrency=3, latency_ms=40)
        async with working(at.hub):
            run = await runs.start(at.hub, at.sync.key)
            await until(lambda: len(at.account.calls) > 10)
            with locked(tmp_path):
                calls = len(at.account.calls)
                with pytest.raises(StoreError, match="database failed"):
                    await at.withdraw("p119")
                # What was begun goes on, since its lease lasts.
                await until(lambda: len(at.account.calls) > calls + 10)
                await asyncio.sleep(1)
            ended = await at.outcome_of(run)
            await at.withdraw("p119")
        sent = Counter(key for call in at.account.calls for key in call["add"])
    assert (ended.status, ended.counts.added, ended.counts.balanced) == ("SUCCEEDED", PEOPLE, True)
    assert (len(sent), set(sent.values())) == (PEOPLE, {1})


@pytest.mark.skipif(os.environ.get("HUB_TEST_DATABASE") != "postgres", reason="SQLite has no deadlocks")
async def test_a_deadlock_is_refused_as_the_stores_fault_and_leaves_nothing_behind(
    store: Store, migrated_url: str
) -> None:
    inserts = "INSERT INTO purpose (key, name, description) VALUES (%s, 'x', '')"
    other, has_one, wants_another = await asyncio.to_thread(connect, migrated_url), asyncio.Event(), asyncio.Event()
    # Whoever looks for a circle and finds one is the one that is refused: not this one, which never looks.
    await asyncio.to_thread(other.execute, "SET deadlock_timeout = '1h'")
    await asyncio.to_thread(other.execute, inserts, ("b",))

    async def both() -> None:
        async with store.purposes._database.transaction():
            await store.purposes.create(key="a", name="A")
            has_one.set()
            await wants_another.wait()
            await store.purposes.create(key="b", name="B")

    asked = asyncio.create_task(both())
    await has_one.wait()
    waiting = asyncio.create_task(asyncio.to_thread(other.execute, inserts, ("a",)))
    await until(lambda: asyncio.to_thread(somebody_waits, migrated_url))
    wants_another.set()
    with pytest.raises(StoreError, match="40P01"):
        await asked
    await waiting
    await asyncio.to_thread(other.rollback)
    other.close()
    assert await store.purposes.keys() == []
    await both()
    assert await store.purposes.keys() == ["a", "b"]


def connect(url: str) -> Any:
    import psycopg

    return psycopg.connect(url)
