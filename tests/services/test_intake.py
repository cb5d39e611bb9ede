"""Files go in through one door, whole or not at all, however large they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.core.imports import FileFormat, ImportKind
from hub.errors import ErrorCode, HubError
from hub.services import intake
from hub.services.hub import Hub
from hub.warehouse import views
from hub.warehouse.duckdb import open_duckdb
from hub.warehouse.schema import create_or_upgrade
from tests.services.opened import TestClock, opened
from tests.warehouse.importing import Plane


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with opened(tmp_path, TestClock()) as running:
        yield running


async def test_a_file_of_each_kind_goes_in_and_the_worker_is_told(hub: Hub, tmp_path: Path) -> None:
    people, events = tmp_path / "people.csv", tmp_path / "events.ndjson"
    people.write_text("Kunde,email\np1,a@example.com\n")
    events.write_text('{"profile_id":"p1","ts":"2024-01-01","name":"seen"}\n')
    assert (await intake.import_file(hub, "profiles", people, mapping={"Kunde": "id"})).accepted == 1
    assert hub.signals.imported.is_set()
    assert (await intake.import_file(hub, ImportKind.EVENTS, events)).accepted == 1
    assert views.profile_by_external_id(hub.engine, "p1") is not None
    hub.signals.imported.clear()
    assert (await intake.import_file(hub, "profiles", people, mapping={"Kunde": "id"})).unchanged == 1
    assert not hub.signals.imported.is_set()


async def test_a_file_that_is_refused_changes_nothing_and_tells_nobody(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("name\nx\n")
    with pytest.raises(HubError) as refusal:
        await intake.import_file(hub, "profiles", path)
    assert refusal.value.code is ErrorCode.INVALID
    assert views.count_profiles(hub.engine) == 0
    assert not hub.signals.imported.is_set()


async def test_only_profiles_can_be_a_snapshot(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("profile_id,ts,name\n")
    with pytest.raises(HubError):
        await intake.import_file(hub, "events", path, snapshot=True)
    with pytest.raises(HubError):
        await intake.import_file(hub, "shoes", path)


def test_the_format_is_told_by_content_type_or_else_by_name() -> None:
    assert intake.format_of(Path("x"), "text/csv; charset=utf-8") is FileFormat.CSV
    assert intake.format_of(Path("x.jsonl")) is FileFormat.NDJSON
    with pytest.raises(HubError) as refusal:
        intake.format_of(Path("x.csv"), "application/pdf")
    assert refusal.value.code is ErrorCode.UNSUPPORTED


def test_a_file_larger_than_the_memory_limit_goes_in(tmp_path: Path) -> None:
    engine = open_duckdb(tmp_path / "hub.duckdb", memory_limit="150MB", threads=1)
    create_or_upgrade(engine)
    plane = Plane(engine, tmp_path)
    path = tmp_path / "events.csv"
    rows, text = 450_000, "x" * 700
    with path.open("w") as file:
        file.write("id,profile_id,ts,name,note\n")
        for first in range(0, rows, 1000):
            file.write("".join(f"e{n},p{n % 999},2024-01-01,seen,{n}{text}\n" for n in range(first, first + 1000)))
    assert path.stat().st_size > 2 * 150_000_000
    assert plane.events(path).accepted == rows
    path.unlink()
    assert engine.rows("SELECT count(*), count(DISTINCT pid), max(length(p_note)) FROM events") == [(rows, 999, 706)]
    engine.close()
