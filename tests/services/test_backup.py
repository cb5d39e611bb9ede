"""Backup and restore: both planes at one moment, and nobody who said no since is forgotten."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from hub.core.consent_form import ConsentInput
from hub.core.records import ConsentAction, ConsentState
from hub.errors import ErrorCode, HubError
from hub.services import backup, erasures, purposes
from hub.services.consent import record, standing
from hub.services.hub import Hub, open_hub
from hub.services.projection import catch_up
from hub.settings import Settings
from hub.warehouse import consent
from tests.services.opened import TestClock, add_person, control_plane
from tests.services.opened import opened as opened_with
from tests.services.shop import until, working

on_sqlite = pytest.mark.skipif(
    os.environ.get("HUB_TEST_DATABASE") == "postgres",
    reason="a PostgreSQL control plane is restored into a new database, which the other tests show",
)

opened = partial(opened_with, connectors=frozenset({"webhook"}))
SECRETS = {"secret": "whsec_" + base64.b64encode(bytes(32)).decode()}


async def decide(hub: Hub, action: ConsentAction, person: str) -> None:
    at = hub.clock.now() if action is ConsentAction.GRANT else None
    await record(hub, ConsentInput("news", action, "form", external_id=person, effective_at=at))


async def fill(hub: Hub) -> None:
    await purposes.create(hub, "news", "News")
    for pid, person in enumerate(("ada", "ben"), 1):
        add_person(hub, pid, person)
        await decide(hub, ConsentAction.GRANT, person)
    await hub.store.destinations.create(
        key="shop", name="Shop", connector="webhook", config={"url": "https://shop.example/"}, secrets=SECRETS
    )
    await catch_up(hub)


@asynccontextmanager
async def a_day_after_the_backup(folder: Path, clock: TestClock) -> AsyncIterator[Hub]:
    async with opened(folder / "data", clock) as hub:
        await fill(hub)
        await backup.create(hub, folder / "backup.tar")
        clock.pass_by(days=1)
        yield hub


async def state(hub: Hub, person: str) -> ConsentState:
    return (await standing(hub, person))[0].state


async def nobody_is_being_erased(hub: Hub) -> bool:
    return not await hub.store.erasures.under_way()


def projected(hub: Hub, pid: int) -> ConsentState:
    return consent.states(hub.engine, [pid])[pid]["news"].state


@on_sqlite
async def test_a_withdrawal_after_the_backup_outlives_the_restore_and_a_grant_does_not(tmp_path: Path) -> None:
    clock, tar = TestClock(), tmp_path / "backup.tar"
    async with a_day_after_the_backup(tmp_path, clock) as hub:
        settings = hub.settings
        await decide(hub, ConsentAction.WITHDRAW, "ada")
        await decide(hub, ConsentAction.GRANT, "cleo")
    restored = await backup.restore(settings, tar)
    assert (restored.head, restored.carried_over) == (2, 1)
    async with open_hub(settings, clock) as hub:
        assert (await state(hub, "ada"), projected(hub, 1)) == (ConsentState.WITHDRAWN, ConsentState.WITHDRAWN)
        assert (await state(hub, "ben"), projected(hub, 2)) == (ConsentState.GRANTED, ConsentState.GRANTED)
        assert await state(hub, "cleo") is ConsentState.UNKNOWN
        assert not (await hub.store.destinations.get("shop")).paused


@on_sqlite
async def test_a_restore_that_dies_half_way_brings_nobody_back_who_has_withdrawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise OSError("no room")

    clock = TestClock()
    async with opened(tmp_path / "data", clock) as hub:
        settings = hub.settings
        await fill(hub)
        await backup.create(hub, tmp_path / "backup.tar")
        await decide(hub, ConsentAction.WITHDRAW, "ada")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.move", die)
        with pytest.raises(OSError, match="no room"):
            await backup.restore(settings, tmp_path / "backup.tar")
    async with open_hub(settings, clock) as hub:
        assert hub.engine.rows("SELECT count(*) FROM profiles") == [(0,)]
        assert await hub.store.ledger.head() == 3
    assert (await backup.restore(settings, tmp_path / "backup.tar")).carried_over == 1
    async with open_hub(settings, clock) as hub:
        assert (await state(hub, "ada"), projected(hub, 1)) == (ConsentState.WITHDRAWN, ConsentState.WITHDRAWN)


@on_sqlite
@pytest.mark.parametrize("done", [True, False])
async def test_whoever_was_erased_after_the_backup_is_erased_again(tmp_path: Path, done: bool) -> None:
    clock, tar = TestClock(), tmp_path / "backup.tar"
    async with a_day_after_the_backup(tmp_path, clock) as hub:
        settings = hub.settings
        if not done:
            await hub.store.destinations.pause((await hub.store.destinations.need("shop")).id)
        asked_at = (await erasures.erase(hub, "ada")).erasure.requested_at
        if done:
            async with working(hub):
                await until(lambda: nobody_is_being_erased(hub))
    restored = await backup.restore(settings, tar)
    assert restored.erased_again == 1
    async with open_hub(settings, clock) as hub:
        erasure = await erasures.erasure_of(hub, "ada")
        assert erasure and (erasure.requested_at, erasure.external_id) == (asked_at, "ada")
        async with working(hub):
            await until(lambda: nobody_is_being_erased(hub))
        assert hub.engine.rows("SELECT external_id FROM profiles") == [("ben",)]


@on_sqlite
async def test_whoever_had_been_erased_before_the_backup_is_left_alone_by_a_restore(tmp_path: Path) -> None:
    clock = TestClock()
    async with opened(tmp_path / "data", clock) as hub:
        settings = hub.settings
        await fill(hub)
        async with working(hub):
            await erasures.erase(hub, "ada")
            await until(lambda: nobody_is_being_erased(hub))
        add_person(hub, 3, "ada")
        await backup.create(hub, tmp_path / "backup.tar")
    restored = await backup.restore(settings, tmp_path / "backup.tar")
    assert restored.erased_again == 0
    async with open_hub(settings, clock) as hub:
        assert not await hub.store.erasures.under_way()
        assert {name for (name,) in hub.engine.rows("SELECT external_id FROM profiles")} == {"ada", "ben"}


async def test_a_backup_holds_not_a_byte_of_whoever_was_erased_before_it(tmp_path: Path) -> None:
    name, tar = "zq-canary-77", tmp_path / "backup.tar"
    async with opened(tmp_path / "data", TestClock()) as hub:
        await fill(hub)
        add_person(hub, 3, name, email=f"{name}@example.com")
        await backup.create(hub, tar)
        assert name.encode() in tar.read_bytes()
        async with working(hub):
            await erasures.erase(hub, name)
            await until(lambda: nobody_is_being_erased(hub))
        tar.unlink()
        await backup.create(hub, tar)
        assert name.encode() not in tar.read_bytes()


@on_sqlite
async def test_what_was_replaced_is_set_aside_and_not_deleted(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", TestClock()) as hub:
        settings = hub.settings
        await fill(hub)
        await backup.create(hub, tmp_path / "backup.tar")
    restored = await backup.restore(settings, tmp_path / "backup.tar")
    assert restored.set_aside is not None
    assert {"hub.db", "hub.duckdb"} <= {path.name for path in restored.set_aside.iterdir()}


async def test_on_a_new_machine_every_destination_stays_paused_until_withdrawals_are_replayed(tmp_path: Path) -> None:
    async with opened(tmp_path / "old", TestClock()) as hub:
        await fill(hub)
        await backup.create(hub, tmp_path / "backup.tar")
        key = tmp_path / "old" / "secret.key"
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "secret.key").write_text(key.read_text())
    (tmp_path / "new" / "secret.key").chmod(0o600)
    with control_plane(tmp_path / "new") as url:
        settings = Settings(data=tmp_path / "new", database_url=url, connectors=frozenset({"webhook"}), threads=1)
        restored = await backup.restore(settings, tmp_path / "backup.tar")
        assert restored.carried_over is None
        async with open_hub(settings, TestClock()) as hub:
            shop = await hub.store.destinations.get("shop")
            assert shop.paused and shop.paused_reason.code is ErrorCode.POLICY
            assert await hub.store.destinations.secrets(shop.id) == SECRETS
            assert projected(hub, 1) is ConsentState.GRANTED
            # New rows are numbered after those that were read back.
            assert (await purposes.create(hub, "ads", "Ads")).id > 1


@on_sqlite
async def test_a_backup_under_another_secret_key_is_refused_and_nothing_is_replaced(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", TestClock()) as hub:
        settings = hub.settings
        await fill(hub)
        await backup.create(hub, tmp_path / "backup.tar")
    (tmp_path / "data" / "secret.key").unlink()
    with pytest.raises(HubError) as refused:
        await backup.restore(settings, tmp_path / "backup.tar")
    assert refused.value.code is ErrorCode.FORBIDDEN
    assert (tmp_path / "data" / "hub.db").exists()


@on_sqlite
async def test_a_file_that_is_no_backup_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", TestClock()) as hub:
        settings = hub.settings
    (tmp_path / "photo.tar").write_bytes(b"not a tar at all" * 100)
    with pytest.raises(HubError) as refused:
        await backup.restore(settings, tmp_path / "photo.tar")
    assert refused.value.code is ErrorCode.INVALID
