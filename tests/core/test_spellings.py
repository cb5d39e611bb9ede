"""Vendors' spellings: the published vectors hold, engines agree, and nothing is hashed twice."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.identifiers import normalise
from hub.core.spellings import SPELLINGS, Form, Hash, spelled_sql, spelling, unknown_spellings, versioned
from tests.searching import search
from tests.warehouse.planes import BOTH, open_engine

PAGE = Path(__file__).parents[2] / "docs/connectors/spellings.md"
OF_IDENTIFIERS = {name: kind for name in SPELLINGS if (kind := name.partition(".")[2]) in {"email", "phone", "ad_id"}}


def vectors() -> list[tuple[str, str, str]]:
    """Spelling with version, what is in the hub, what is sent."""
    rows = re.findall(r"^\| `([\w.@]+)` \| `([^`]*)` \| (?:`([^`]*)`|\(left out\)) \|$", PAGE.read_text(), re.MULTILINE)
    return [(name, given_, sent) for name, given_, sent in rows]


@pytest.mark.parametrize(("name", "told", "sent"), vectors(), ids=lambda text: text[:30])
def test_a_published_vector_holds(name: str, told: str, sent: str) -> None:
    plain, _, version = name.partition("@")
    assert versioned(plain) == name, f"{name} has changed: publish version {version} and the new one's vectors"
    assert (spelling(plain).of(told) or "") == sent


def test_every_spelling_has_vectors() -> None:
    assert {name.partition("@")[0] for name, *_ in vectors()} == set(SPELLINGS)
    assert len(vectors()) >= 2 * len(SPELLINGS)


@pytest.mark.parametrize("name", sorted(SPELLINGS))
def test_nothing_is_hashed_twice_and_nothing_stays_nothing(name: str) -> None:
    found = spelling(name)
    assert found.of(None) is None and found.of("") is None and found.of("  ") is None
    digest = hashlib.sha256(b"ann").hexdigest()
    if found.hash is not Hash.NONE:
        assert found.of(digest) == digest and found.of(digest.upper()) == digest


@pytest.mark.parametrize("name", sorted(SPELLINGS))
@given(text=st.text(max_size=30))
@search(30)
def test_any_text_is_spelled_or_left_out(name: str, text: str) -> None:
    sent = spelling(name).of(text)
    assert sent is None or sent
    if sent and spelling(name).hash is Hash.SHA256_HEX:
        assert re.fullmatch("[0-9a-f]{64}", sent) and spelling(name).of(sent) == sent


def test_other_values_than_texts_are_spelled_as_they_are_written() -> None:
    year = spelling("meta.birth_year")
    assert year.of(1990) == year.of(1990.0) == year.of("1990") and year.of(["1990"]) is None and year.of(True) is None


def test_an_unknown_spelling_names_the_one_that_was_meant() -> None:
    assert unknown_spellings(["meta.email", "meta.emial"]) == [
        "there is no spelling meta.emial: did you mean meta.email?"
    ]
    for name in ("meta.city", "google.region"):
        with pytest.raises(LookupError, match="no spelling of an identifier"):
            spelled_sql(name, "value")


@pytest.fixture(scope="module", params=BOTH)
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    with open_engine(request.param) as opened:
        yield opened


local = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9.+_-]{0,8}[a-zA-Z0-9])?", fullmatch=True).filter(
    lambda text: ".." not in text
)
hosts = st.sampled_from(
    ["gmail.com", "googlemail.com", "notgmail.com", "gmail.com.example", "bücher.example", "a.gmail.com"]
)
emails = st.builds(lambda name, host: f"{name}@{host}", local, hosts)
phones = st.sampled_from(["+4915112345678", "+1 202 555 0143", "+39 06 1234 5678", "+7 495 123-45-67"])
ad_ids = st.uuids().map(str) | st.from_regex(r"[0-9A-Fa-f]{64}", fullmatch=True).filter(lambda text: text.strip("0"))


@given(
    told=st.lists(
        st.tuples(st.just("email"), emails) | st.tuples(st.just("phone"), phones) | st.tuples(st.just("ad_id"), ad_ids)
    )
)
@search(20)
def test_the_engines_spell_identifiers_as_python_does(engine: Any, told: list[tuple[str, str]]) -> None:
    for kind, raw in told:
        value = normalise(kind, raw)
        for name in (name for name, of in OF_IDENTIFIERS.items() if of == kind):
            sql = spelled_sql(name, "CAST($value AS VARCHAR)", engine.dialect)
            assert engine.rows(f"SELECT {sql}", {"value": value}) == [(spelling(name).of(value),)], name


def test_the_forms_of_identifiers_are_those_that_engines_know() -> None:
    for name, kind in OF_IDENTIFIERS.items():
        assert isinstance(SPELLINGS[name].normal, Form), f"{name}: {kind} must be spelled by engines too"
