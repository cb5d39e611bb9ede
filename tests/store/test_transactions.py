"""Transactions: all or nothing, each task in its own, and no driver's words on the way out."""

from __future__ import annotations

import asyncio
import logging
import traceback
from pathlib import Path

import asyncpg
import pytest

from hub.core.records import RunCause
from hub.errors import HubError
from hub.store import Store, StoreError, asyncpg_client, pending
from hub.store.seal import Keyring
from hub.store.sqlite_client import statements
from tests.conftest import DIALECT
from tests.store.rows import NOON, entry, make_sync


async def test_a_task_spawned_inside_a_transaction_is_outside_of_it(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.transaction():
            spawned = asyncio.create_task(store.purposes.create(key="spawned", name="S"))
            await store.purposes.create(key="inside", name="I")
            raise ZeroDivisionError
    await spawned
    assert await store.purposes.keys() == ["spawned"]


async def test_what_is_inside_sees_itself_and_others_do_not(store: Store) -> None:
    async with store.transaction():
        await store.purposes.create(key="a", name="A")
        assert await store.purposes.count() == 1
        outside = asyncio.create_task(store.purposes.count())
        if DIALECT == "postgres":
            assert await outside == 0
    assert await outside in (0, 1)
    assert await store.purposes.count() == 1


async def test_an_inner_transaction_that_fails_leaves_the_outer_one_whole(store: Store) -> None:
    async with store.transaction():
        await store.purposes.create(key="outer", name="O")
        with pytest.raises(HubError):
            async with store.transaction():
                await store.purposes.create(key="inner", name="I")
                await store.purposes.create(key="outer", name="again")
        await store.purposes.create(key="after", name="A")
    assert await store.purposes.keys() == ["after", "outer"]


async def test_a_store_works_in_any_task(store: Store) -> None:
    made = await asyncio.gather(*(store.purposes.create(key=f"p{number}", name="P") for number in range(12)))
    assert len({purpose.id for purpose in made}) == 12


@pytest.mark.parametrize("moments", range(12))
async def test_a_task_cancelled_anywhere_leaves_the_store_usable(store: Store, moments: int) -> None:
    async def write() -> None:
        async with store.transaction():
            await store.purposes.create(key="x", name="X")
            await store.ledger.append([entry(1)], recorded_at=NOON)

    task = asyncio.create_task(write())
    for _ in range(moments):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(60):
        both = (await store.purposes.count(), await store.ledger.head())
        assert both in {(0, 0), (1, 1)}
        await store.purposes.create(key="y", name="Y")


async def test_a_database_error_never_tells_what_was_stored(store: Store) -> None:
    sql = "INSERT INTO purpose (id, key, name, description) VALUES (1, 'private', 'private', 'private')"
    failures: list[BaseException] = []
    for _ in range(2):
        for attempt in (sql, "SELECT 'private'::int" if DIALECT == "postgres" else "SELECT private FROM purpose"):
            try:
                async with store.transaction():
                    await store._database.fetch(attempt)
            except (HubError, StoreError) as failure:
                failures.append(failure)
    assert len(failures) == 3
    told = "".join("".join(traceback.format_exception(failure)) for failure in failures)
    messages = "".join(str(failure) for failure in failures)
    assert "private" not in messages
    assert "IntegrityError" not in told


async def test_drivers_do_not_log_values_even_at_debug(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("hub.test").debug("a line that is seen")
        await store.purposes.create(key="private-key", name="P")
    assert "a line that is seen" in caplog.text
    assert "private-key" not in caplog.text


@pytest.mark.skipif(DIALECT != "postgres", reason="about the server")
async def test_a_connection_goes_back_without_a_question_to_the_server(store: Store, migrated_url: str) -> None:
    await store.purposes.keys()
    async with store.transaction():
        await store.purposes.create(key="inside", name="I")
    onlooker = await asyncpg.connect(migrated_url)
    try:
        last = await onlooker.fetch(
            "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await onlooker.close()
    assert [row["query"] for row in last] == ["COMMIT;"]


@pytest.mark.skipif(DIALECT != "postgres", reason="about the server")
async def test_a_connection_that_is_lost_is_made_anew_when_it_is_asked_for_and_not_behind_ones_back(
    store: Store, migrated_url: str
) -> None:
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    await store.purposes.keys()
    onlooker = await asyncpg.connect(migrated_url)
    try:
        assert await onlooker.fetchval(f"SELECT count(*) {others}") == 1
        await onlooker.execute(f"SELECT pg_terminate_backend(pid) {others}")
        await asyncio.sleep(0.5)
        assert await onlooker.fetchval(f"SELECT count(*) {others}") == 0
    finally:
        await onlooker.close()
    assert await store.purposes.keys() == []


@pytest.mark.skipif(DIALECT != "postgres", reason="about the server")
async def test_a_worker_that_is_put_to_sleep_while_it_claims_a_run_hides_it_from_nobody_for_long(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncpg_client, "ASLEEP_MS", 300)
    sleeper, heir = [await Store.open(migrated_url, Keyring.of(b"k" * 32)) for _ in range(2)]
    try:
        sync = await make_sync(heir)
        run = await heir.runs.queue(sync.id, RunCause.MANUAL, now=NOON)
        with pytest.raises(StoreError):
            async with sleeper.transaction():
                assert await sleeper.runs.claim("sleeper", NOON, 20.0)
                assert await heir.runs.claim("heir", NOON, 20.0) is None
                async with asyncio.timeout(60):
                    while not (claim := await heir.runs.claim("heir", NOON, 20.0)):
                        await asyncio.sleep(0.05)
                await sleeper.purposes.keys()
        assert claim.run.id == run.id and await sleeper.purposes.keys() == []
    finally:
        await sleeper.close(), await heir.close()


@pytest.mark.skipif(DIALECT != "postgres", reason="about the server")
async def test_a_server_that_does_not_answer_is_a_store_error() -> None:
    with pytest.raises(StoreError) as failed:
        await pending("postgresql://someone:pa55word@127.0.0.1:1/none")
    assert "pa55word" not in str(failed.value)


@pytest.mark.skipif(DIALECT != "sqlite", reason="about the file")
async def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "hub.db").write_bytes(b"private " * 1000)
    with pytest.raises(StoreError) as failed:
        await pending(f"sqlite:///{tmp_path / 'hub.db'}")
    assert "private" not in str(failed.value)


def test_a_script_is_split_without_breaking_a_trigger() -> None:
    trigger = "CREATE TRIGGER t BEFORE UPDATE ON x BEGIN SELECT 1; SELECT ';'; END;"
    assert statements(f"SELECT 1;\n{trigger}\nSELECT ';'") == ["SELECT 1;", trigger, "SELECT ';'"]
    assert statements("") == []
