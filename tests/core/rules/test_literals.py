"""A text in a rule stays one literal in every dialect: it comes back whole, and nothing around it changes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.rules.check import check_text
from hub.core.rules.compile import DIALECTS, compile_rule
from hub.core.rules.judge import Person
from tests.core.rules.engines import InDuckDb, InPostgres, members
from tests.core.rules.world import AS_OF, CATALOGUE, quoted
from tests.searching import search

# How each engine reads what stands between single quotes, from its manual, and not from the library that writes it.
BACKSLASH_ESCAPES = {"bigquery", "snowflake", "clickhouse", "databricks"}
DOUBLED_QUOTES = {"duckdb", "postgres", "trino", "snowflake", "clickhouse"}
ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f", "a": "\a", "v": "\v"}

nasty = st.text(alphabet="'\"\\`%_;-/*#$@:?{}()\n\r\t\b\f\v\a\u2028é\U0001f600aux0N ", min_size=1, max_size=12)
anything = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=12)


def read(sql: str, dialect: str) -> tuple[str, list[str]]:
    """The statement with every literal taken out, and the literals as the engine would understand them."""
    outside, literals, place = "", [], 0
    while place < len(sql):
        if sql[place] != "'":
            outside, place = outside + sql[place], place + 1
            continue
        literal, place = _literal(sql, place + 1, dialect)
        literals.append(literal)
        outside += "¶"
    # Ibis makes up a new alias for an array each time it compiles for BigQuery.
    return re.sub("contains_[a-z0-9]{26}", "contains", outside), literals


def _literal(sql: str, place: int, dialect: str) -> tuple[str, int]:
    found = ""
    while True:
        char, following = sql[place], sql[place + 1 : place + 2]
        if char == "\\" and dialect in BACKSLASH_ESCAPES:
            found, place = found + ESCAPED.get(following, following), place + 2
        elif char == "'" and following == "'" and dialect in DOUBLED_QUOTES:
            found, place = found + "'", place + 2
        elif char == "'":
            return found, place + 1
        else:
            found, place = found + char, place + 1


RULES = [
    "city = {}",
    "city != {}",
    "city in ({}, \"other\")",
    "city < {}",
    "city contains {}",
    "city starts with {}",
    "city ends with {}",
    "tags has any ({})",
    "did(purchase where category = {})",
]  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
@search(20)
@given(text=nasty | anything, rule=st.sampled_from(RULES))
def test_a_text_comes_back_whole_and_changes_nothing_else(dialect: str, text: str, rule: str) -> None:
    outside, literals = read(compile_rule(check_text(rule.format(quoted(text)), CATALOGUE), dialect), dialect)
    around, plain = read(compile_rule(check_text(rule.format('"x"'), CATALOGUE), dialect), dialect)
    assert outside == around
    assert literals == [text if literal == "x" else literal for literal in plain]


@pytest.mark.parametrize("dialect", DIALECTS)
@search(15)
@given(name=nasty)
def test_an_event_name_comes_back_whole(dialect: str, name: str) -> None:
    named = name.replace("`", "'")
    _, literals = read(compile_rule(check_text(f"did(`{named}`)", CATALOGUE), dialect), dialect)
    assert literals == [named]


@search(25)
@given(text=nasty | anything)
def test_duckdb_finds_exactly_the_text(duck: InDuckDb, text: str) -> None:
    duck.fill((Person({"city": text}), Person({"city": text + "!"}), Person({})))
    assert members(duck, f"city = {quoted(text)}", AS_OF) == {0}
    assert members(duck, f"city contains {quoted(text)}", AS_OF) == {0, 1}
    assert members(duck, f"city ends with {quoted(text)}", AS_OF) >= {0}


@pytest.mark.postgres
@search(25)
@given(text=nasty | anything)
def test_postgresql_finds_exactly_the_text(postgres: InPostgres, text: str) -> None:
    postgres.fill((Person({"city": text}), Person({"city": text + "!"}), Person({})))
    assert members(postgres, f"city = {quoted(text)}", AS_OF) == {0}
    assert members(postgres, f"city contains {quoted(text)}", AS_OF) == {0, 1}
    assert members(postgres, f"city ends with {quoted(text)}", AS_OF) >= {0}


@search(40)
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_the_very_double_that_was_written(duck: InDuckDb, value: float) -> None:
    duck.fill((Person({"ltv": value}),))
    assert members(duck, f"ltv = {value!r}", AS_OF) == {0}
    assert members(duck, f"ltv in ({value!r})", AS_OF) == {0}


@pytest.mark.postgres
@search(25)
@given(instant=st.datetimes())
def test_an_instant_is_the_very_microsecond_that_was_written(
    duck: InDuckDb, postgres: InPostgres, instant: object
) -> None:
    for engine in (duck, postgres):
        engine.fill((Person({"renewed_at": instant}),))
        assert members(engine, f'renewed_at = "{instant}"', AS_OF) == {0}
