"""Files of three formats are read alike, and a file that cannot be read as a whole changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.imports import FileFormat, Shape
from hub.errors import ErrorCode, HubError
from hub.warehouse import staging
from hub.warehouse.duckdb import open_duckdb
from hub.warehouse.files import csv_file, ndjson_file
from hub.warehouse.files.block import MOST_COLUMNS
from tests.searching import search
from tests.warehouse.importing import Plane, as_csv, as_ndjson, plane
from tests.warehouse.planes import BOTH


@pytest.fixture(params=BOTH)
def hub(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Plane]:
    with plane(tmp_path, request.param) as opened:
        yield opened


def as_parquet(path: Path, columns: dict[str, Any]) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


def test_three_formats_of_one_table_give_the_same_people(tmp_path: Path) -> None:
    rows = [
        {"id": "p1", "email": "a@example.com", "age": 30, "vip": True, "joined": "2024-01-31", "word": 'x,"y"\nz'},
        {"id": "p2", "email": None, "age": 2.5, "vip": False, "joined": None, "word": "ü"},
    ]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    found = []
    for suffix, content in (
        ("csv", as_csv(rows)),
        ("ndjson", as_ndjson(rows)),
        ("parquet", as_parquet(tmp_path / "t.parquet", columns)),
    ):
        with plane(tmp_path) as hub:
            assert hub.profiles(content, suffix).accepted == 2
            found.append(hub.people())
    assert found[0] == found[1] == found[2]
    assert found[0]["p1"]["joined"] == "2024-01-31T00:00:00Z"


def test_what_parquet_says_of_types_is_kept(hub: Plane, tmp_path: Path) -> None:
    columns = {
        "id": pa.array([1, 2]),
        "digits": pa.array(["12", "13"]),
        "price": pa.array([Decimal("1.50"), Decimal("2.25")]),
        "day": pa.array([date(2024, 1, 31), None]),
        "at": pa.array([datetime(2024, 1, 31, 12, tzinfo=UTC), None], pa.timestamp("us", "Europe/Berlin")),
        "kind": pa.array(["a", "b"]).dictionary_encode(),
        "tags": pa.array([["x", "y"], []]),
        "long": pa.array([2**60, 1]),
    }
    hub.profiles(as_parquet(tmp_path / "t.parquet", columns), "parquet")
    assert hub.person("1") == {
        "digits": "12",
        "price": 1.5,
        "day": "2024-01-31T00:00:00Z",
        "at": "2024-01-31T12:00:00Z",
        "kind": "a",
        "tags": ["x", "y"],
        "long": str(2**60),
    }


def test_nan_in_parquet_is_rejected_by_row(hub: Plane, tmp_path: Path) -> None:
    path = as_parquet(tmp_path / "t.parquet", {"id": ["p1", "p2"], "ltv": [1.5, float("nan")]})
    report = hub.profiles(path, "parquet")
    assert [(one.line, one.column) for one in report.rejections] == [(2, "ltv")]


def test_json_keeps_what_it_says_of_types(hub: Plane) -> None:
    hub.profiles(
        b'{"id":"p1","code":"12","n":12,"tags":["a"],"deep":{"x":[1]},"mixed":[1,"a"],"esc":"a\\"\\u00e9\\n","big":12345678901234567}\n'
        b'\n{"id":7}\n',
        "ndjson",
    )
    assert hub.people() == {
        "p1": {
            "code": "12",
            "n": 12,
            "tags": ["a"],
            "deep": '{"x":[1]}',
            "mixed": '[1,"a"]',
            "esc": 'a"é\n',
            "big": "12345678901234567",
        },
        "7": {},
    }


def test_bad_lines_of_json_are_rejected_by_line(hub: Plane) -> None:
    report = hub.profiles(
        b'{"id":"p1","n":1}\n{"id":"p2"\n[1]\n{"n":1}\n{"id":"p3","n":NaN}\n{"id":"p4","w":"\xff"}\n'
        b'{"id":"p5","w":"a\\u0000b"}\n{"id":"p6"}\n',
        "ndjson",
    )
    assert [one.line for one in report.rejections] == [2, 3, 4, 5, 6, 7]
    assert set(hub.people()) == {"p1", "p6"}


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (b"", "csv"),
        (b"\n\n", "csv"),
        (b"name,email\na,b\n", "csv"),
        (b"id,email,email\np1,a,b\n", "csv"),
        (b"id,\np1,a\n", "csv"),
        (b"id,na\x07me\np1,a\n", "csv"),
        ("id,name\np1,ä\n".encode("utf-16"), "csv"),
        ("id,näme\np1,ä\n".encode("latin-1"), "csv"),
        (b"PK\x03\x04\x00\x00", "csv"),
        (b'id,a\np1,"' + b"x" * (9 << 20) + b"\n" + b"y" * (9 << 20), "csv"),
        (f"c{',c'.join(map(str, range(10**6)))}\n".encode(), "csv"),
        (b"id," * 10**6, "csv"),
        (b'id,a\np1,"never closed\np2,x\np3,y\n', "csv"),
        (b'id,a\np1,x\n"p2,x\np3,y\n', "csv"),
        (b"\nid,a\np1,x\n", "csv"),
        (b"\xef\xbb\xbf\r\nid,a\r\np1,x\r\n", "csv"),
        (b"id,a\rp1,x\rp2,y\r", "csv"),
        (b"", "ndjson"),
        (b'{"name":"x"}\n', "ndjson"),
        ('{"id":"p1"}\n'.encode("utf-16"), "ndjson"),
        (b'{"id":"p1","":1}\n', "ndjson"),
        (b"", "parquet"),
        (b"PAR1 not really PAR1", "parquet"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value[:16]),
)
def test_a_file_that_cannot_be_read_as_a_whole_changes_nothing(hub: Plane, content: bytes, suffix: str) -> None:
    hub.profiles("id,age\np0,1\n")
    before = hub.told()
    with pytest.raises(HubError) as refusal:
        hub.profiles(content, suffix)
    assert refusal.value.code is ErrorCode.INVALID
    assert hub.told() == before


def test_a_parquet_file_that_breaks_in_the_middle_changes_nothing(hub: Plane, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"id": [f"p{n}" for n in range(50_000)]}), path, row_group_size=10_000)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 20_000] = b"\xff" * 20_000
    with pytest.raises(HubError) as refusal:
        hub.profiles(bytes(content), "parquet")
    assert refusal.value.code is ErrorCode.INVALID
    assert hub.told() == []


def test_a_header_alone_is_a_file_without_rows(hub: Plane) -> None:
    for content in ("id,age\n", "id,age", "\ufeffid,age\n\n"):
        report = hub.profiles(content)
        assert (report.accepted, report.unchanged, report.rejected) == (0, 0, 0)


def test_a_parquet_file_without_rows_is_one_of_a_header_alone(hub: Plane, tmp_path: Path) -> None:
    path = as_parquet(tmp_path / "t.parquet", {"id": pa.array([], pa.string()), "age": pa.array([], pa.int64())})
    report = hub.profiles(path, "parquet")
    assert (report.accepted, report.unchanged, report.rejected) == (0, 0, 0)


def test_lists_of_texts_in_parquet_are_lists_however_they_are_kept(hub: Plane, tmp_path: Path) -> None:
    kinds = {"plain": pa.list_(pa.string()), "large": pa.large_list(pa.string()), "fixed": pa.list_(pa.string(), 2)}
    columns = {name: pa.array([["a", "b"]], kind) for name, kind in kinds.items()}
    hub.profiles(as_parquet(tmp_path / "t.parquet", {"id": ["p1"], **columns}), "parquet")
    assert hub.person("p1") == {name: ["a", "b"] for name in kinds}


def test_a_backslash_before_u0000_in_json_is_a_backslash(hub: Plane) -> None:
    report = hub.profiles(
        rb'{"id":"p1","w":"C:\\u0000"}'
        + b"\n"
        + rb'{"id":"p2","w":"\\\u0000"}'
        + b"\n"
        + rb'{"id":"p3","w":"\u0000\u0000"}',
        "ndjson",
    )
    assert hub.people() == {"p1": {"w": r"C:\u0000"}}
    assert [one.line for one in report.rejections] == [2, 3]


@pytest.mark.parametrize("content", ['[{"id": "p1"}]', '{\n  "id": "p1"\n}\n', "id,name\np1,x\n"])
def test_a_file_without_any_object_of_json_is_told_so(hub: Plane, content: str) -> None:
    with pytest.raises(HubError, match="one JSON object a line"):
        hub.profiles(content, "ndjson")


def test_a_mapping_renames_columns_and_must_name_real_ones(hub: Plane) -> None:
    hub.profiles("Kunde,E-Mail\np1,a@example.com\n", mapping={"Kunde": "id", "E-Mail": "email"})
    assert hub.people() == {"p1": {"email": "a@example.com"}}
    with pytest.raises(HubError) as refusal:
        hub.profiles("Kunde,E-Mail\np1,a@example.com\n", mapping={"Kunde": "id", "EMail": "email"})
    assert refusal.value.problems[0].suggestion == "E-Mail"
    with pytest.raises(HubError):
        hub.profiles("id,Kunde\np1,p2\n", mapping={"Kunde": "id"})


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_is_recognised_by_the_header(hub: Plane, delimiter: str) -> None:
    hub.profiles(f'id{delimiter}name\np1{delimiter}"a,b{delimiter}c"\n')
    assert hub.people() == {"p1": {"name": f"a,b{delimiter}c"}}


def test_the_list_of_rejections_ends_somewhere_and_the_count_does_not(
    hub: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MOST_REJECTIONS", 5)
    report = hub.profiles("id,email\n" + "".join(f"p{n},x\n" for n in range(20)) + "p,a@example.com\n")
    assert (report.accepted, report.rejected, len(report.rejections), report.truncated) == (1, 20, 5, True)


cells = st.text(alphabet='ab"\n\r,ü ', max_size=5)


@search(25)
@given(rows=st.lists(st.tuples(cells, cells), max_size=12), block=st.sampled_from([64, 200, 1 << 20]))
def test_every_row_has_the_line_on_which_it_begins(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], block: int
) -> None:
    content, lines = "id,a,b\n", []
    for number, (first, second) in enumerate(rows):
        lines.append(content.count("\n") + 1)
        quoted = [cell.replace('"', '""') for cell in (f"p{number}", first, second)]
        content += ",".join(f'"{cell}"' for cell in quoted) + (",extra" if number % 3 == 2 else "") + "\n"
    path = tmp_path_factory.mktemp("lines") / "f.csv"
    path.write_bytes(content.encode())
    engine = open_duckdb(":memory:", threads=1)
    with pytest.MonkeyPatch.context() as patch, engine.write() as tx:
        patch.setattr(csv_file, "BLOCK_BYTES", block)
        staged = staging.read(tx, path, FileFormat.CSV, Shape(("id",)))
        found = dict(tx.rows(f"SELECT line, {staged.columns['id']} FROM staged"))
    engine.close()
    rejected = [one.line for one in staged.rejections.kept]
    assert rejected == [line for number, line in enumerate(lines) if number % 3 == 2]
    assert found == {line: f"p{number}" for number, line in enumerate(lines) if number % 3 != 2}


def test_progress_is_told_in_rows_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("id\n" + "".join(f"p{n}\n" for n in range(1000)))
    told: list[tuple[int, int]] = []
    engine = open_duckdb(":memory:")
    with engine.write() as tx:
        staging.read(tx, path, FileFormat.CSV, Shape(("id",)), progress=lambda *done: told.append(done))
    engine.close()
    assert told[-1] == (1000, path.stat().st_size)


def test_columns_that_come_up_later_and_rejected_people_in_between_keep_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ndjson_file, "BLOCK_BYTES", 64)
    monkeypatch.setattr(staging, "MOST_SPARED", 2)
    path = tmp_path / "f.ndjson"
    rows = [{"id": f"p{n}", f"c{n // 10}": "x"} | ({"email": "nobody"} if n % 7 == 3 else {}) for n in range(60)]
    path.write_bytes(as_ndjson(rows))
    engine = open_duckdb(":memory:", threads=1)
    with engine.write() as tx:
        staged = staging.read(tx, path, FileFormat.NDJSON, Shape(("id",), {"email": "email"}))
        found = tx.rows(f"SELECT line, {staged.columns['id']}, {staged.columns['c3']} FROM staged ORDER BY line")
        spared = tx.rows("SELECT key FROM spared")
    engine.close()
    assert found == [(n + 1, f"p{n}", "x" if n // 10 == 3 else None) for n in range(60) if n % 7 != 3]
    assert sorted(spared) == sorted((f"p{n}",) for n in range(60) if n % 7 == 3)


def test_an_identifier_that_is_a_list_or_an_object_is_rejected_by_line(hub: Plane) -> None:
    rows = [{"id": ["p1"]}, {"id": {"x": 1}}, {"id": "[p3]"}, {"id": 4}, {"id": "p5", "email": ["a@example.com"]}]
    report = hub.profiles(as_ndjson(rows), "ndjson")
    assert [(one.line, one.column) for one in report.rejections] == [(1, "id"), (2, "id"), (5, "email")]
    assert set(hub.people()) == {"[p3]", "4"}


def test_an_identifier_that_is_a_list_in_parquet_is_rejected_by_line(hub: Plane, tmp_path: Path) -> None:
    path = as_parquet(tmp_path / "t.parquet", {"id": ["p1", "p2"], "email": [["a@example.com"], None]})
    assert [(one.line, one.column) for one in hub.profiles(path, "parquet").rejections] == [(1, "email")]

    path = as_parquet(tmp_path / "t.parquet", {"id": [["p1"], ["p2"]]})
    assert hub.profiles(path, "parquet").rejected == 2


@pytest.mark.parametrize("odd", ["1e400", "-1e400", "NaN", "Infinity", "-Infinity"])
def test_a_number_without_a_finite_value_is_rejected_and_its_column_stays_one_of_numbers(hub: Plane, odd: str) -> None:
    report = hub.profiles(f'{{"id":"p1","n":1}}\n{{"id":"p2","n":{odd}}}\n', "ndjson")
    assert [(one.line, one.column) for one in report.rejections] == [(2, "n")]
    assert hub.person("p1")["n"] == 1


@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
def test_a_number_too_small_for_a_double_goes_in_as_zero(hub: Plane, suffix: str) -> None:
    text = "id,n\np1,1\np2,1e-400\n" if suffix == "csv" else '{"id":"p1","n":1}\n{"id":"p2","n":1e-400}\n'
    assert hub.profiles(text, suffix).rejected == 0
    assert (hub.person("p1")["n"], hub.person("p2")["n"]) == (1, 0)


def too_wide(folder: Path, suffix: str) -> Path | str:
    """A file with one column more than there may be; lines of JSON come to it little by little."""
    names = ["id", *(f"c{number}" for number in range(MOST_COLUMNS))]
    if suffix == "parquet":
        return as_parquet(folder / "wide.parquet", {name: ["x"] for name in names})
    if suffix == "csv":
        return f"{','.join(names)}\n{','.join('x' for _ in names)}\n"
    return as_ndjson(
        [{"id": f"p{start}", **dict.fromkeys(names[start : start + 700], "x")} for start in (1, 701, 1401)]
    )


@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet"])
def test_a_file_of_more_columns_than_anybody_means_is_refused_whole(hub: Plane, tmp_path: Path, suffix: str) -> None:
    with pytest.raises(HubError, match=f"{MOST_COLUMNS}") as refused:
        hub.profiles(too_wide(tmp_path, suffix), suffix)
    assert refused.value.code is ErrorCode.INVALID
    assert hub.people() == {}
