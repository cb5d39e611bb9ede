"""Identifiers have one spelling and one hash, whichever way they are computed."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core.identifier_columns import normalise_column
from hub.core.identifiers import KINDS, Pepper, normalise, subject, subject_params, subject_sql, subjects

PEPPER = Pepper("0a" * 11)

local_parts = st.text("abzAZ09._+-'ü ", min_size=0, max_size=12)
domains = st.sampled_from(
    [
        "example.com",
        "Example.ORG",
        "x.local",
        "foo.test",
        "b--c.de",
        "münchen.de",
        "localhost",
        "a.b.example",
        "1.2",
        "",
    ]
)
emails = st.builds(lambda local, domain: f"{local}@{domain}", local_parts, domains)
phones = st.one_of(
    st.text("+0123456789 ()-/", max_size=18),
    st.builds(
        lambda code, rest: f"+{code}{rest}",
        st.sampled_from(
            ["1", "7", "33", "34", "36", "39", "44", "49", "52", "54", "55", "81", "86", "370", "378", "800"]
        ),
        st.text("0123456789", min_size=4, max_size=13),
    ),
)
values = {"email": emails | st.text(max_size=20), "phone": phones, "ad_id": st.text("0-aFg ", max_size=10)}


@pytest.mark.parametrize(
    ("kind", "written", "meant"),
    [
        ("email", "  Ada.Lovelace@Example.COM ", "ada.lovelace@example.com"),
        ("email", "Jörg@bücher.example", "jörg@bücher.example"),
        ("email", "ada@foo.test", "ada@foo.test"),
        ("phone", "+49 (0)170 123 45 67", "+491701234567"),
        ("phone", "tel:+1-212-555-0100", "+12125550100"),
        ("ad_id", "6D92078A-8246-4BA4-AE5B-76104861E7DC", "6d92078a-8246-4ba4-ae5b-76104861e7dc"),
        ("push_token", " aBc:123 ", "aBc:123"),
        ("id", " P1 ", "P1"),
    ],
)
def test_spellings_of_one_identifier_become_one_value(kind: str, written: str, meant: str) -> None:
    assert normalise(kind, written) == meant


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("email", "no at sign"),
        ("email", "a@localhost"),
        ("email", "Ada <a@example.com>"),
        ("phone", "0170 1234567"),
        ("phone", "+49 1"),
        ("phone", "+49 170 1234567 ext. 12"),
        ("phone", "+999 123456789"),
        ("ad_id", "00000000-0000-0000-0000-000000000000"),
        ("user_id", "a\x00b"),
        ("id", "   "),
        ("shoe_size", "42"),
    ],
)
def test_what_cannot_be_normalised_is_refused_without_repeating_it(kind: str, written: str) -> None:
    with pytest.raises(ValueError) as refusal:
        normalise(kind, written)
    assert written.strip() == "" or written not in str(refusal.value)


def test_a_phone_number_without_a_country_is_read_in_the_default_region() -> None:
    assert normalise("phone", "0170 1234567", region="DE") == "+491701234567"
    with pytest.raises(ValueError, match="country code"):
        normalise("phone", "0170 1234567")


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(data=st.data())
def test_normalising_twice_changes_nothing(kind: str, data: st.DataObject) -> None:
    try:
        once = normalise(kind, data.draw(values.get(kind, st.text(max_size=12))))
    except ValueError:
        return
    assert normalise(kind, once) == once


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("region", [None, "DE"])
@settings(deadline=None)
@given(data=st.data())
def test_a_column_is_spelled_like_its_values(kind: str, region: str | None, data: st.DataObject) -> None:
    column = data.draw(st.lists(st.none() | values.get(kind, st.text(max_size=12)), max_size=8))
    found = normalise_column(kind, pa.array(column, pa.string()), region)
    for position, text in enumerate(column):
        try:
            expected = normalise(kind, text, region) if text else None
            assert found.values[position].as_py() == expected
            assert position not in found.reasons
        except ValueError as reason:
            assert found.values[position].as_py() is None
            assert found.reasons[position] == str(reason)


@settings(deadline=None)
@given(st.sampled_from(KINDS), st.text(alphabet=st.characters(exclude_characters="\x00", codec="utf-8"), max_size=30))
def test_the_hash_in_sql_is_the_hash_in_python(kind: str, value: str) -> None:
    sql = f"SELECT {subject_sql('$kind', '$value')}"
    found = duckdb.execute(sql, {"kind": kind, "value": value, **subject_params(PEPPER)}).fetchone()
    assert found == (subject(PEPPER, kind, value),)


def test_the_hash_is_sixteen_bytes_and_depends_on_kind_and_pepper() -> None:
    known = subject(PEPPER, "email", "a@example.com")
    assert len(known) == 16
    assert known != subject(PEPPER, "user_id", "a@example.com")
    assert known != subject(Pepper("0b" * 11), "email", "a@example.com")
    assert "0a0a" not in repr(PEPPER)


@given(st.lists(st.text(max_size=20), max_size=4))
def test_many_are_hashed_as_one_would_be(many):
    assert subjects(PEPPER, "user_id", many) == [subject(PEPPER, "user_id", one) for one in many]
