"""Decisions by the file: CSV, NDJSON and Parquet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub.core.consent_form import ConsentInput, Fault
from hub.core.imports import FileFormat, ImportReport
from hub.core.records import ConsentAction, ConsentState
from hub.errors import ErrorCode, HubError
from hub.services import consent_import, projection, purposes
from hub.services.consent import record, standing
from hub.services.consent_import import import_consents
from hub.services.hub import Hub
from hub.warehouse import consent
from hub.warehouse.files import csv_file
from tests.services.opened import TestClock, add_person, opened

HEADER = "id,email,purpose,action,source,effective_at,expires_at,entry_id,campaign"
GRANT = "p1,,ads,grant,form,2026-01-01T00:00:00Z,,,"


@pytest.fixture
async def hub(tmp_path) -> AsyncIterator[Hub]:
    async with opened(tmp_path / "hub", TestClock()) as hub:
        for key in ("newsletter", "ads"):
            await purposes.create(hub, key, key)
        yield hub


@pytest.fixture(autouse=True)
def folder(tmp_path) -> Path:
    (tmp_path / "hub").mkdir()
    return tmp_path


def counts(report: ImportReport) -> tuple[int, int, int]:
    return report.accepted, report.unchanged, report.rejected


@pytest.fixture
def load(hub, folder):
    async def load(*lines: str, header: str = HEADER, **how) -> ImportReport:
        path = folder / "consents.csv"
        path.write_text("\n".join([header, *lines]) + "\n")
        return await import_consents(hub, path, FileFormat.CSV, **how)

    return load


async def state(hub: Hub, external_id: str, purpose: str = "ads") -> ConsentState:
    return next(one.state for one in await standing(hub, external_id) if one.purpose == purpose)


async def test_lines_become_entries_and_the_rest_is_listed_with_line_and_reason(hub, load):
    report = await load(
        GRANT,
        "p2,,ads,grant,,2026-01-01T00:00:00Z,,,",
        ",ada@example.com,newsletter,grant,form,2026-01-01T00:00:00+02:00,2027-01-01T00:00:00Z,,spring",
        "p3,,ads,maybe,form,,,,",
        ",,ads,withdraw,,,,,",
        ",nope,ads,withdraw,,,,,",
    )
    assert counts(report) == (2, 0, 4)
    assert [(one.line, one.column, one.code) for one in report.rejections] == [
        (3, "source", ErrorCode.CONSENT_INVALID),
        (5, "action", ErrorCode.CONSENT_INVALID),
        (6, "id", ErrorCode.CONSENT_INVALID),
        (7, "email", ErrorCode.CONSENT_INVALID),
    ]
    assert report.rejections[0].reason == Fault.SOURCE.value
    assert await state(hub, "p1") is ConsentState.GRANTED
    assert hub.signals.consent_changed.is_set()


async def test_evidence_and_expiry_reach_the_ledger(hub, load):
    await load(",ada@example.com,newsletter,grant,form,2026-01-01T00:00:00+02:00,2027-01-01T00:00:00Z,,spring")
    add_person(hub, 1, "p1", email="ada@example.com")
    found = next(one for one in await standing(hub, "p1") if one.purpose == "newsletter")
    assert found.decided_by is not None
    assert found.decided_by.evidence == {"campaign": "spring"}
    assert found.decided_by.effective_at == datetime(2025, 12, 31, 22, tzinfo=UTC)
    assert found.expires_at == datetime(2027, 1, 1, tzinfo=UTC)


async def test_the_same_file_again_changes_nothing(hub, load):
    lines = [GRANT, "p1,,ads,withdraw,,,,,", "p2,,ads,deny,form,2026-02-01T00:00:00Z,,e9,", "p3,,,withdraw,,,,,"]
    assert counts(await load(*lines)) == (4, 0, 0)
    head = await hub.store.ledger.head()
    hub.clock.pass_by(days=1)
    assert counts(await load(*lines)) == (0, 4, 0)
    assert await hub.store.ledger.head() == head


async def test_a_line_twice_in_one_file_is_one_entry(hub, load):
    assert counts(await load(GRANT, GRANT)) == (1, 1, 0)


async def test_a_grant_older_than_a_later_withdrawal_is_kept_and_changes_nothing(hub, load):
    withdrawal = ConsentInput("ads", ConsentAction.WITHDRAW, "call", external_id="p1", effective_at=hub.clock.now())
    await record(hub, withdrawal)
    assert counts(await load(GRANT)) == (1, 0, 0)
    assert await state(hub, "p1") is ConsentState.WITHDRAWN
    assert len(next(one for one in await standing(hub, "p1") if one.purpose == "ads").history) == 2


async def test_a_withdrawal_without_a_time_counts_again_after_a_newer_grant(hub, load):
    add_person(hub, 1, "p1", email="ada@example.com")
    withdrawal = ",ada@example.com,ads,withdraw,unsubscribe list,,,,"
    await load(GRANT, withdrawal)
    hub.clock.pass_by(days=1)
    again = ConsentInput("ads", ConsentAction.GRANT, "form", external_id="p1", effective_at=hub.clock.now())
    await record(hub, again)
    assert await state(hub, "p1") is ConsentState.GRANTED
    hub.clock.pass_by(days=1)
    assert counts(await load(withdrawal)) == (1, 0, 0)
    assert await state(hub, "p1") is ConsentState.WITHDRAWN
    assert counts(await load(withdrawal)) == (0, 1, 0)


async def test_withdrawals_are_never_refused_on_form(hub, load):
    odd = [
        "p1,,parcel sms,withdraw,,,,,",
        "p2,,ads,DENY,,31.12.2025,never,,",
        "p3,,ads,withdraw,\x01,2099-01-01T00:00:00Z,,,",
    ]
    assert counts(await load(*odd)) == (3, 0, 0)
    assert await state(hub, "p1", "parcel sms") is ConsentState.WITHDRAWN
    assert await state(hub, "p2") is ConsentState.DENIED
    assert await state(hub, "p3") is ConsentState.WITHDRAWN


async def test_an_entry_id_that_is_taken_refuses_a_grant_and_keeps_a_withdrawal(hub, load):
    await load("p1,,ads,grant,form,2026-01-01T00:00:00Z,,e1,")
    report = await load("p2,,ads,grant,form,2026-01-01T00:00:00Z,,e1,", "p1,,ads,withdraw,,,,e1,")
    assert counts(report) == (1, 0, 1)
    assert (report.rejections[0].line, report.rejections[0].code) == (2, ErrorCode.CONFLICT)
    assert await state(hub, "p1") is ConsentState.WITHDRAWN


async def test_columns_are_renamed_by_a_mapping(hub, load):
    header = "Kundennummer,Zweck,action,source,effective_at"
    report = await load(
        "p1,ads,grant,form,2026-01-01T00:00:00Z", header=header, mapping={"Kundennummer": "id", "Zweck": "purpose"}
    )
    assert counts(report) == (1, 0, 0)


@pytest.mark.parametrize(
    ("header", "mapping"),
    [
        ("id,purpos,action", {}),
        ("purpose,action,source", {}),
        ("id,purpose,action", {"Zweck": "purpose"}),
        ("id,purpose,action,Aktion", {"Aktion": "action"}),
    ],
)
async def test_a_file_without_the_columns_it_needs_is_refused_whole(hub, load, header, mapping):
    with pytest.raises(HubError) as refusal:
        await load("p1,ads,withdraw,x", header=header, mapping=mapping)
    assert refusal.value.code is ErrorCode.INVALID
    assert await hub.store.ledger.head() == 0


async def test_a_broken_file_records_nothing(hub, folder):
    path = folder / "consents.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(HubError) as refusal:
        await import_consents(hub, path, FileFormat.PARQUET)
    assert refusal.value.code is ErrorCode.INVALID
    assert await hub.store.ledger.head() == 0


async def test_bytes_that_are_not_text_spoil_an_identifier_but_not_a_withdrawal(hub, folder):
    path = folder / "consents.csv"
    path.write_bytes(b"id,purpose,action,source\np\xff1,ads,withdraw,x\np2,ads,withdraw,caf\xe9\n")
    report = await import_consents(hub, path, FileFormat.CSV)
    assert counts(report) == (1, 0, 1)
    assert report.rejections[0].line == 2
    assert await state(hub, "p2") is ConsentState.WITHDRAWN


async def test_blank_lines_are_no_lines(hub, load):
    assert counts(await load(",,,,,,,,", GRANT)) == (1, 0, 0)


async def test_ndjson_and_parquet_say_the_same_as_csv(hub, folder, load):
    told = {"id": "p1", "purpose": "ads", "action": "grant", "source": "form"}
    lines = folder / "consents.ndjson"
    lines.write_text(json.dumps({**told, "effective_at": "2026-01-01T00:00:00Z", "campaign": None}) + "\n")
    table = folder / "consents.parquet"
    instant = pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("ms", "Europe/Berlin"))
    pq.write_table(pa.table({**{name: [value] for name, value in told.items()}, "effective_at": instant}), table)
    assert counts(await load(GRANT)) == (1, 0, 0)
    assert counts(await import_consents(hub, lines, FileFormat.NDJSON)) == (0, 1, 0)
    assert counts(await import_consents(hub, table, FileFormat.PARQUET)) == (0, 1, 0)


async def test_an_identifier_that_is_a_list_or_an_object_names_nobody(hub, folder):
    told = {"purpose": "ads", "action": "withdraw"}
    path = folder / "consents.ndjson"
    path.write_text("\n".join(json.dumps({"id": one, **told}) for one in (["p1"], {"x": 1}, "[p3]", 4)))
    report = await import_consents(hub, path, FileFormat.NDJSON)
    assert counts(report) == (2, 0, 2)
    assert [(one.line, one.column) for one in report.rejections] == [(1, "id"), (2, "id")]


async def test_a_time_without_a_zone_in_parquet_is_refused_for_a_grant(hub, folder):
    table = folder / "consents.parquet"
    told = {"id": ["p1"], "purpose": ["ads"], "action": ["grant"], "source": ["form"]}
    pq.write_table(pa.table({**told, "effective_at": [datetime(2026, 1, 1)]}), table)
    [rejection] = (await import_consents(hub, table, FileFormat.PARQUET)).rejections
    assert rejection.reason == Fault.EFFECTIVE_ZONE.value


async def test_only_the_first_rejections_are_listed_and_all_are_counted(hub, load, monkeypatch):
    monkeypatch.setattr(consent_import, "MOST_REJECTIONS", 3)
    report = await load(*(f"p{number},,ads,maybe,,,,," for number in range(5)))
    assert (len(report.rejections), report.rejected, report.truncated) == (3, 5, True)


async def test_progress_is_told_in_lines_and_bytes(hub, load):
    told: list[tuple[int, int]] = []
    await load(GRANT, progress=lambda lines, size: told.append((lines, size)))
    assert told[-1][0] == 1
    assert told[-1][1] > len(HEADER)


@pytest.fixture
def small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(csv_file, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(projection, "STRETCH", 30)


async def test_the_data_plane_follows_an_import_without_reading_the_ledger_back(hub, load, small_blocks, monkeypatch):
    add_person(hub, 1, "p1")
    monkeypatch.setattr(hub.store.ledger, "since", None)
    await load(*(GRANT.replace("p1", f"p{number}") for number in range(100)))
    assert consent.watermark(hub.engine).watermark == await hub.store.ledger.head() == 100
    assert consent.states(hub.engine, [1])[1]["ads"].state is ConsentState.GRANTED


async def test_withdrawals_recorded_while_an_import_runs_reach_the_data_plane_too(hub, load, small_blocks):
    for pid in range(1, 301):
        add_person(hub, pid, f"p{pid}")
    importing = asyncio.create_task(load(*(GRANT.replace("p1", f"p{number + 1}") for number in range(300))))
    said = 0
    while not importing.done():
        said += 1
        await record(hub, ConsentInput("ads", ConsentAction.WITHDRAW, "call", external_id=f"p{said * 7 % 300 + 1}"))
    await importing
    await projection.catch_up(hub)
    assert said > 2
    await assert_projected(hub)


@pytest.mark.parametrize("known", [1, 150])
async def test_a_file_of_which_the_ledger_knows_a_part_is_projected_all_the_same(hub, load, small_blocks, known):
    for pid in range(1, 301):
        add_person(hub, pid, f"p{pid}")
    lines = [GRANT.replace("p1", f"p{number}") for number in range(1, 301)]
    await load(lines[known])
    assert counts(await load(*lines)) == (299, 1, 0)
    await projection.catch_up(hub)
    await assert_projected(hub)


async def assert_projected(hub: Hub) -> None:
    """The data plane holds what the ledger does, and makes of it what it would if it began anew."""
    assert hub.engine.query("SELECT * FROM consent_entries ORDER BY seq") == await hub.store.ledger.since(0)
    standings = "SELECT * FROM consent ORDER BY pid, purpose"
    followed = hub.engine.query(standings)
    await projection.rebuild(hub)
    assert followed == hub.engine.query(standings)
    assert followed.num_rows
