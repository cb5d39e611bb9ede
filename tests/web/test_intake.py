from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub.web import body
from tests.web.served import PEOPLE, Served

CSV = {"Content-Type": "text/csv"}


def left_over(web: Served) -> list[Path]:
    return list(web.hub.settings.data.glob("incoming-*"))


async def test_the_answer_counts_rows_and_names_the_rejected_by_line(web: Served) -> None:
    answer = await web.take_in("profiles", "id,email\np1,ann@example.com\np2,bob at example\n")
    assert answer.status_code == 200
    counts = answer.json()
    assert (counts["accepted"], counts["unchanged"], counts["rejected"], counts["truncated"]) == (1, 0, 1, False)
    [rejection] = counts["rejections"]
    assert (rejection["line"], rejection["column"], rejection["code"]) == (3, "email", "INVALID")
    assert "bob" not in answer.text
    assert left_over(web) == []


async def test_a_packed_body_is_unpacked(web: Served) -> None:
    packed = gzip.compress(PEOPLE.encode())
    headers = {**CSV, "Content-Encoding": "gzip"}
    answer = await web.client.post("/import/profiles", content=packed, headers=headers)
    assert answer.json()["accepted"] == 4
    two_members = gzip.compress(b"id,city\np1,Ulm\n") + gzip.compress(b"p2,Bonn\n")
    answer = await web.client.post("/import/profiles", content=two_members, headers=headers)
    assert answer.json()["accepted"] == 2


@pytest.mark.parametrize("sent", [b"no gzip", gzip.compress(PEOPLE.encode())[:-9], b""])
async def test_a_packed_body_that_cannot_be_unpacked_is_refused(web: Served, sent: bytes) -> None:
    answer = await web.client.post("/import/profiles", content=sent, headers={**CSV, "Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "INVALID")
    assert left_over(web) == []


async def test_a_little_gzip_that_unpacks_to_too_much_is_refused(web: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body.to_file, "__defaults__", (body.MEBIBYTE,))
    bomb = gzip.compress(b"id,city\n" + b"x" * (4 * body.MEBIBYTE))
    answer = await web.client.post("/import/profiles", content=bomb, headers={**CSV, "Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, "LIMIT")
    assert left_over(web) == []


async def test_parquet_and_ndjson_go_in_by_their_content_type(web: Served) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": ["p1"], "ltv": [3.5]}), sink)
    parquet = {"Content-Type": "application/vnd.apache.parquet"}
    answer = await web.client.post("/import/profiles", content=sink.getvalue().to_pybytes(), headers=parquet)
    assert answer.json()["accepted"] == 1
    lines = b'{"id": "p2", "ltv": 4}\n{"id": "p3", "ltv": "many"}\n'
    ndjson = {"Content-Type": "application/x-ndjson; charset=utf-8"}
    answer = await web.client.post("/import/profiles", content=lines, headers=ndjson)
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, 1)


async def test_columns_are_renamed_as_asked(web: Served) -> None:
    options: Any = {"map": ["Kunde=id", "Mail=email"]}
    answer = await web.take_in("profiles", "Kunde,Mail\nk1,ann@example.com\n", **options)
    assert answer.json()["accepted"] == 1
    assert (await web.ask('{ profile(externalId: "k1") { traits } }'))["profile"]["traits"] == {
        "email": "ann@example.com"
    }


async def test_a_column_cannot_be_two(web: Served) -> None:
    options: Any = {"map": ["plan=tier", "plan=tariff"]}
    answer = await web.take_in("profiles", "id,plan\nk1,pro\n", **options)
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, ["map"])


async def test_a_snapshot_that_drops_too_many_waits_for_approval(peopled: Served) -> None:
    answer = await peopled.take_in("profiles", "id,plan\np1,pro\n", snapshot="true")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "POLICY")
    assert (await peopled.ask("{ profiles { totalCount } }"))["profiles"]["totalCount"] == 4
    answer = await peopled.take_in("profiles", "id,plan\np1,pro\n", snapshot="true", approve="true")
    assert answer.status_code == 200, answer.text
    assert (await peopled.ask("{ profiles { totalCount } }"))["profiles"]["totalCount"] == 1


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/import/wishes", CSV, 404, "NOT_FOUND"),
        ("/import/profiles", {"Content-Type": "application/pdf"}, 415, "UNSUPPORTED"),
        ("/import/profiles", {**CSV, "Content-Encoding": "br"}, 415, "UNSUPPORTED"),
        ("/import/profiles?map=email", CSV, 400, "INVALID"),
        ("/import/profiles?snapshot=perhaps", CSV, 400, "INVALID"),
        ("/import/events?snapshot=true", CSV, 400, "INVALID"),
        ("/import/profiles", {"Content-Type": "application/vnd.apache.parquet"}, 400, "INVALID"),
    ],
)
async def test_an_import_that_cannot_be_taken_changes_nothing(
    web: Served, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await web.client.post(path, content=b"id,email\np1,ann@example.com\n", headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)
    assert (await web.ask("{ profiles { totalCount } }"))["profiles"]["totalCount"] == 0
    assert left_over(web) == []


async def test_a_wrong_header_is_named(web: Served) -> None:
    answer = await web.take_in("events", "profile_id,ts,title\np1,2026-01-01T00:00:00Z,purchase\n")
    assert answer.status_code == 400
    assert "name" in answer.json()["errors"][0]["message"]
