"""Whether the stores take writes: what is found out, when it is looked at again, and what is no fault."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.errors import StoreError
from hub.room import try_room
from hub.services import ground
from hub.services.ground import Footing
from hub.services.hub import Hub
from hub.services.worker import Worker
from tests.services.opened import TestClock, opened
from tests.services.shop import until


class Disk:
    """One that fails on request, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.fault: Exception | None = None

    async def write(self) -> None:
        self.asked += 1
        if self.fault:
            raise self.fault


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with opened(tmp_path, TestClock()) as found:
        yield found


async def test_what_is_known_holds_for_a_while_and_a_fault_not_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    footing = Footing("plane", disk.write)
    await footing.look(60)
    await footing.look(60)
    assert (disk.asked, footing.fault) == (1, None)
    disk.fault = StoreError("failed")
    footing.forget()
    await footing.look(60)
    assert (disk.asked, footing.fault) == (2, disk.fault)
    monkeypatch.setattr(ground, "AGAIN_S", 0.0)
    disk.fault = None
    await footing.look(60)
    assert (disk.asked, footing.fault) == (3, None)


async def test_two_who_look_at_once_make_one_try() -> None:
    disk = Disk()
    footing = Footing("plane", disk.write)
    await asyncio.gather(footing.look(0), footing.look(0))
    assert disk.asked == 1


async def test_a_fault_of_another_kind_is_not_kept_silent() -> None:
    disk = Disk()
    disk.fault = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await Footing("plane", disk.write).look(0)


async def test_a_store_whose_writer_is_at_work_has_not_failed(hub: Hub) -> None:
    begun, over = threading.Event(), threading.Event()

    def write_for_long() -> None:
        with hub.engine.write():
            begun.set()
            over.wait(60)

    writing = asyncio.create_task(asyncio.to_thread(write_for_long))
    await asyncio.to_thread(begun.wait)
    await hub.ground.look(patience_s=0.1)
    assert hub.ground.holds
    over.set()
    await writing


async def test_a_look_leaves_nothing_behind(hub: Hub, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    await hub.ground.look()
    assert hub.ground.holds
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_folder_that_takes_no_file_has_no_room_for_one(tmp_path: Path) -> None:
    try_room(tmp_path)
    with pytest.raises(StoreError, match=r"ENOENT") as failed:
        try_room(tmp_path / "gone")
    assert not failed.value.full
    assert str(tmp_path) not in str(failed.value)


@pytest.mark.skipif(os.environ.get("HUB_TEST_WAREHOUSE") == "postgres", reason="nobody's leases are ended there")
async def test_a_worker_that_starts_while_nothing_can_be_written_begins_once_it_can(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = hub.store.runs.let_go_of_all, Disk()
    asked.fault = StoreError("full", full=True)

    async def let_go_of_all(_: object) -> None:
        await asked.write()
        await real()

    monkeypatch.setattr(type(hub.store.runs), "let_go_of_all", let_go_of_all)
    monkeypatch.setattr("hub.services.worker.POLL_S", 0.05)
    worker = Worker(hub)
    working = asyncio.create_task(worker.run())
    await until(lambda: asked.asked > 2)
    assert not working.done()
    asked.fault = None
    tries = asked.asked
    await until(lambda: asked.asked > tries)
    worker.stop()
    await working
