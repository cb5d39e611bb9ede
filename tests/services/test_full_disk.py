"""A disk without room: what is not stored is refused, nobody is lost, and with room all goes on."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from hub.core.identifiers import EXTERNAL_ID, subject
from hub.errors import StoreError
from hub.services import access, runs
from hub.warehouse.duckdb import open_duckdb
from hub.web.app import create_app
from tests.services.full import both_are_degraded, refused_for_want_of_room
from tests.services.shop import Shop, shop, until, working
from tests.small_disk import filled, small_disk

if os.environ.get("HUB_TEST_DATABASE") == "postgres":
    pytest.skip("is about the embedded stores", allow_module_level=True)

PEOPLE, BATCH = 300, 2
WITHDRAWS = """mutation($id: String!) {
  consentRecord(input: {externalId: $id, purpose: "news", action: WITHDRAW, source: "form", entryId: $id}) {
    errors { code }
  }
}"""


@pytest.fixture
def disk(tmp_path: Path) -> Any:
    with small_disk(tmp_path / "disk", 48) as found:
        yield found


@asynccontextmanager
async def client(of: Shop) -> AsyncIterator[httpx.AsyncClient]:
    token = await access.prepare(of.hub)
    transport = httpx.ASGITransport(create_app(of.hub))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://hub.test", headers=headers) as found:
        yield found


def people(first: int, number: int) -> str:
    return "id,note\n" + "".join(f"q{n},{'x' * 400}\n" for n in range(first, first + number))


async def take_in(client: httpx.AsyncClient, text: str) -> httpx.Response:
    return await client.post("/import/profiles", content=text, headers={"Content-Type": "text/csv"})


async def test_without_room_nothing_is_acknowledged_that_is_not_stored_and_with_room_all_goes_on(disk: Path) -> None:
    async with shop(disk) as at, client(at) as web:
        await at.set_up(PEOPLE, batch=BATCH, concurrency=3, latency_ms=15)
        async with working(at.hub):
            run = await runs.start(at.hub, at.sync.key)
            await until(lambda: len(at.account.calls) > 10)
            with filled(disk):
                refused = await take_in(web, people(0, 5_000))
                assert refused_for_want_of_room(refused), refused.text
                withdrawn = [
                    await web.post("/graphql", json={"query": WITHDRAWS, "variables": {"id": f"z{n}"}})
                    for n in range(40)
                ]
                assert all(answer.status_code == 200 or refused_for_want_of_room(answer) for answer in withdrawn)
                assert any(answer.status_code == 503 for answer in withdrawn)
                await until(lambda: both_are_degraded(web))
                await asyncio.sleep(1)
                calls = len(at.account.calls)
                await asyncio.sleep(4)
                assert len(at.account.calls) == calls
                before = await at.hub.store.runs.find(run.id)
                assert before and not before.status.ended
            ended = await at.outcome_of(run)
            assert (await web.get("/readyz")).json()["status"] == "ready"
            assert (await take_in(web, people(0, 5_000))).json()["accepted"] == 5_000
        assert (ended.status, ended.counts.added, ended.counts.balanced) == ("SUCCEEDED", PEOPLE, True)
        sent = Counter(key for call in at.account.calls for key in call["add"])
        assert len(sent) == PEOPLE
        # As after a death; twice, since a little may still fit when the run is taken up again.
        assert sum(sent.values()) - len(sent) <= 2 * 8 * BATCH
        kept = {entry.subject for entry in await at.hub.store.ledger.whole(0)}
        taken = [f"z{n}" for n, answer in enumerate(withdrawn) if answer.status_code == 200]
        assert {subject(at.hub.pepper, EXTERNAL_ID, id) for id in taken} <= kept
    both_stores_are_whole(disk, PEOPLE)


def both_stores_are_whole(disk: Path, delivered: int) -> None:
    assert sqlite3.connect(disk / "hub.db").execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with duckdb.connect(str(disk / "hub.duckdb"), read_only=True) as plane:
        assert plane.execute("SELECT count(*) FROM delivered WHERE state = 'present'").fetchall() == [(delivered,)]
        assert plane.execute("SELECT count(DISTINCT external_id) FROM profiles").fetchall() == [(delivered + 5_000,)]


def test_a_data_plane_that_could_not_be_tidied_up_for_want_of_room_answers_again_with_room(disk: Path) -> None:
    engine = open_duckdb(disk / "hub.duckdb", threads=1)
    with engine.write() as tx:
        tx.execute("CREATE TABLE t AS SELECT repeat('x', 100) || range AS a FROM range(40000)")
    with filled(disk):
        for _ in range(2):
            with pytest.raises(StoreError) as failed:
                engine.copy_to(disk / "copy", lambda: None)
            assert failed.value.full
    assert engine.rows("SELECT count(*) FROM t") == [(40_000,)]
    with engine.write() as tx:
        tx.execute("INSERT INTO t VALUES ('y')")
    engine.close()
    with duckdb.connect(str(disk / "hub.duckdb"), read_only=True) as plane:
        assert plane.execute("SELECT count(*) FROM t").fetchall() == [(40_001,)]
