"""What is cast while a file is read is what the engine would have read from text, and nothing is known but from the
whole file."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.core.records import TraitType
from hub.warehouse.casting import CASTS
from hub.warehouse.files import csv_file
from hub.warehouse.values import FORMS
from tests.warehouse.importing import Plane, plane
from tests.warehouse.planes import BOTH, open_engine

numbers = st.one_of(
    st.from_regex(r"\A[+-]?0{0,2}[0-9]{0,17}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?\Z"),
    st.floats().map(str),
    st.integers().map(str),
    st.text("0123456789.eE+-_ naif", max_size=6),
)
instants = st.one_of(
    st.from_regex(
        r"\A[0-9]{4}-[01][0-9]-[0-3][0-9]([T ]([012][0-9])?(:[0-6][0-9])?(:[0-6][0-9])?([.,][0-9]{0,9})?)?"
        r" ?(Z|z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)?\Z"
    ),
    st.datetimes().map(str),
    st.dates().map(str),
)


@pytest.fixture(scope="module", params=BOTH)
def engine(request: pytest.FixtureRequest):
    with open_engine(request.param) as opened:
        yield opened


def as_the_engine_reads(engine, kind: TraitType, text: str):
    form = FORMS[kind]
    read = f"{form.fits('x')}, CASE WHEN {form.fits('x')} THEN {form.value('x')} END"
    sql = f"SELECT {read} FROM (SELECT CAST($text AS VARCHAR) AS x) AS told"
    return engine.rows(sql, {"text": text})[0]


@given(st.lists(numbers, min_size=1, max_size=3))
@example(["007"])
@example(["1234567890123456"])
@example(["NaN"])
@example(["-0"])
def test_a_number_that_is_cast_is_the_number_that_the_engine_reads(engine, texts):
    holds_alike(engine, TraitType.NUMBER, texts)


@given(st.lists(instants, min_size=1, max_size=2))
@example(["0000-01-01"])
@example(["2025-01-31T12"])
@example(["2025-01-31T12+02:00"])
@example(["2025-01-31T12:00+02", "2025-01-31 12:00:00.123456Z"])
@example(["0999-12-31 00:00:00"])
@example(["2025-02-29"])
@example(["2025-01-31T24:00:00"])
def test_an_instant_that_is_cast_is_the_instant_that_the_engine_reads(engine, texts):
    holds_alike(engine, TraitType.DATETIME, texts)


DAY = datetime(2025, 1, 31)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2025-01-31T00:00:60Z", None),
        ("2025-01-31T00:00:00 Z", None),
        ("2025-01-31T00:00:00 +05", None),
        ("2025-01-31T00:00:00UTC", None),
        ("2025-01-31T00:00:00+24:00", None),
        ("2025-01-31T00:00:00+00:60", None),
        ("2025-01-31T00:00 UTC", DAY),
        ("2025-01-30T24:00:00Z", DAY),
        ("2025-01-31T00:00:00.0000009Z", DAY),
        ("9999-12-31", datetime(9999, 12, 31)),
        ("9999-12-31T23:59:59.999999Z", datetime.max),
        ("9999-12-31T23:59:59-00:01", None),
        ("10000-01-01", None),
        ("3001-02-29", None),
        ("2025-01-31 00:00:00.123456789", DAY + timedelta(microseconds=123456)),
    ],
)
def test_an_instant_is_the_same_on_every_engine(engine, text, value):
    assert as_the_engine_reads(engine, TraitType.DATETIME, text) == (value is not None, value)


@pytest.mark.parametrize("text", [r'["a\u0000b"]', r'["\\\u0000"]', r'["a", "\u0000"]'])
def test_a_list_that_holds_nul_is_none_of_texts_on_any_engine(engine, text):
    assert as_the_engine_reads(engine, TraitType.TEXTS, text)[0] is False
    assert as_the_engine_reads(engine, TraitType.TEXTS, r'["C:\\u0000"]') == (True, [r"C:\u0000"])


def holds_alike(engine, kind, texts):
    typed = CASTS[kind](pa.array(texts))
    if typed is None:
        return
    for text, value in zip(texts, typed.to_pylist(), strict=True):
        fits, read = as_the_engine_reads(engine, kind, text)
        assert text == "" or (fits, repr(read)) == (True, repr(value))


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (TraitType.NUMBER, ["12", "", "-3.50"]),
        (TraitType.DATETIME, ["2025-01-31", "", "2025-01-31T12:00:00"]),
        (TraitType.DATETIME, ["2025-01-31T12:00:00Z", "2025-01-31 12:00:00+02:00"]),
    ],
)
def test_the_usual_spellings_are_cast(kind, texts):
    assert CASTS[kind](pa.array(texts)).is_null().to_pylist() == [text == "" for text in texts]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(csv_file, "BLOCK_BYTES", 64)


@pytest.fixture
def hub(tmp_path: Path):
    with plane(tmp_path) as opened:
        yield opened


@pytest.mark.usefixtures("small_blocks")
def test_numbers_that_become_words_further_down_were_words_all_along(hub: Plane):
    rows = "".join(f"p{at},{at}.50\n" for at in range(100))
    hub.profiles(f"id,size\n{rows}p100,large\n")
    assert hub.person("p7") == {"size": "7.50"}
    assert hub.person("p100") == {"size": "large"}


@pytest.mark.usefixtures("small_blocks")
def test_one_bad_value_far_down_is_rejected_by_its_line_and_the_rest_goes_in(hub: Plane):
    hub.profiles("id,age\np0,30\n")
    report = hub.profiles("id,age\n" + "".join(f"p{at},{at}\n" for at in range(100)) + "p100,old\n")
    assert [(one.line, one.column) for one in report.rejections] == [(102, "age")]
    assert report.accepted == 100
    assert hub.person("p99") == {"age": 99.0}


@pytest.mark.usefixtures("small_blocks")
def test_a_number_is_cleared_by_an_empty_cell_also_where_a_person_comes_twice(hub: Plane):
    hub.profiles("id,age,plan\np1,30,a\np2,40,b\n")
    hub.profiles("id,age,plan\np1,,a\np2,41,b\np2,,b\np3,50,c\n")
    assert hub.people() == {"p1": {"plan": "a"}, "p2": {"plan": "b"}, "p3": {"age": 50.0, "plan": "c"}}


def test_digits_stay_text_where_the_trait_is_text(hub: Plane):
    hub.profiles("id,zip\np1,01067\n")
    hub.profiles("id,zip\np2,10115\n")
    assert hub.person("p2") == {"zip": "10115"}


def test_digits_stay_text_where_any_event_has_text_of_that_name(hub: Plane):
    hub.events("profile_id,ts,name,size\np1,2026-01-01,view,large\n")
    hub.events("profile_id,ts,name,size\np1,2026-01-02,view,1.50\np1,2026-01-03,buy,2.50\n")
    assert hub.engine.rows("SELECT event, type FROM properties ORDER BY event") == [("buy", "number"), ("view", "text")]
    assert hub.engine.rows("SELECT * EXCLUDE (pid, event_id, ts, name) FROM events ORDER BY ts")[1] == ("1.50", None)


@pytest.mark.parametrize(
    "text",
    [
        *("1e-400", "-1e-400", " +9.9E-0400 ", "999999999999999e-999", "1e-20000", "1e-9999999999"),
        *(f"0.{'0' * 400}1", f"-0.{'0' * 400}1e+2", f"0.{'0' * 400}1E77", "0e400", "0e-400", "4.9e-324", "-2e-324"),
    ],
)
def test_a_number_too_small_for_a_double_is_the_zero_that_it_rounds_to(engine, text):
    fits, value = as_the_engine_reads(engine, TraitType.NUMBER, text)
    assert fits
    assert str(value) == str(float(text))


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1e309", f"0.{'0' * 20}1e400", "1e9999999999"])
def test_a_number_too_large_for_a_double_is_none(engine, text):
    assert as_the_engine_reads(engine, TraitType.NUMBER, text) == (False, None)
