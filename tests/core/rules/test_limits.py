"""Hostile and awkward rules (B16 to B21 of the reliability tables)."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.rules.catalogue import Catalogue
from hub.core.rules.check import check_text
from hub.core.rules.compile import DIALECTS, compile_rule
from hub.core.rules.judge import Person, judge
from hub.core.rules.syntax import MAX_CHARACTERS, parse
from hub.errors import ErrorCode, HubError
from tests.core.rules.engines import InDuckDb, members
from tests.core.rules.world import AS_OF, CATALOGUE, EVENTS, TRAITS
from tests.searching import search


def refusal(rule: str, catalogue: Catalogue = CATALOGUE) -> ErrorCode:
    with pytest.raises(HubError) as refused:
        check_text(rule, catalogue)
    assert refused.value.problems[0].line is not None
    return refused.value.code


@pytest.mark.parametrize("opening", ["(", "not ("])
def test_64_levels_compile_everywhere_and_65_are_refused(opening: str) -> None:
    def nested(levels: int) -> str:
        return opening * levels + 'country = "DE"' + ")" * levels

    for dialect in DIALECTS:
        assert compile_rule(check_text(nested(64), CATALOGUE), dialect)
    assert refusal(nested(65)) is ErrorCode.RULE_SYNTAX


@pytest.mark.parametrize(
    "rule",
    [
        "(" * 400_000,
        "not " * 100_000 + "email_consent",
        "-" * 100_000 + "1 > ltv",
        "1" + "+1" * 100_000 + " > ltv",
        "did(purchase where " * 1_000,
        "email_consent or " * 20_000 + "email_consent",
        "a" * MAX_CHARACTERS + "b",
        "did(purchase, last " + "9" * 10_000 + " days)",
        'country = "' + "\\" * 99_999,
        "a.b.c.d" * 10_000,
    ],
)
def test_a_hostile_rule_is_refused_and_not_suffered(rule: str) -> None:
    assert refusal(rule) in {ErrorCode.RULE_SYNTAX, ErrorCode.UNSUPPORTED}


def test_a_list_holds_10_000_values_and_not_one_more(duck: InDuckDb) -> None:
    values = [f'"v{number}"' for number in range(10_000)]
    duck.fill((Person({"country": "v9999", "tags": ["v77"]}), Person({"country": "w"})))
    assert members(duck, f"country in ({', '.join(values)})", AS_OF) == {0}
    assert members(duck, f"tags has any ({', '.join(values[:500])})", AS_OF) == {0}
    assert refusal(f"tags has any ({', '.join(values[:501])})") is ErrorCode.RULE_SYNTAX
    assert refusal(f'country in ({", ".join(values)}, "one more")') is ErrorCode.RULE_SYNTAX


def test_a_thousand_conditions_side_by_side_compile(duck: InDuckDb) -> None:
    rule = " or ".join(f"age = {number}" for number in range(300))
    duck.fill((Person({"age": 299.0}), Person({"age": 300.0})))
    assert members(duck, rule, AS_OF) == {0}


def test_segments_that_double_with_every_step_are_refused() -> None:
    rules = {f"s{n}": f'in segment "s{n - 1}" or in segment "s{n - 1}"' for n in range(1, 40)}
    catalogue = Catalogue.of(TRAITS, EVENTS, {"s0": 'country = "DE"', **rules})
    assert refusal('in segment "s39"', catalogue) is ErrorCode.LIMIT


def test_a_long_chain_of_segments_is_refused() -> None:
    rules = {f"s{n}": f'in segment "s{n - 1}" and age > {n}' for n in range(1, 40)}
    catalogue = Catalogue.of(TRAITS, EVENTS, {"s0": 'country = "DE"', **rules})
    assert refusal('in segment "s39"', catalogue) is ErrorCode.LIMIT
    for dialect in DIALECTS:
        assert compile_rule(check_text('in segment "s14"', catalogue), dialect)


@pytest.mark.parametrize(
    ("rule", "value", "verdict"),
    [
        ("ltv > 100", float("nan"), True),
        ("ltv = ltv", float("nan"), True),
        ("ltv > 1e308", float("inf"), True),
        ("ltv < -1e308", float("-inf"), True),
        ("ltv = 0", -0.0, True),
        ("1 / ltv > 0", -0.0, None),
        ("ltv = 9223372036854775808", 2.0**63, True),
        ("ltv in (0)", -0.0, True),
        ("ltv / 0 > 1", float("inf"), None),
        ("not (ltv > 1)", None, None),
        ("ltv != 1", None, None),
        ("ltv not in (1)", None, None),
        ("not (ltv in (1))", None, None),
        ("ltv is unknown", None, True),
        ("signed_up_at before 36525 days ago", datetime(1, 1, 1), True),
        ('signed_up_at = "0001-01-01"', datetime(1, 1, 1), True),
        ('signed_up_at after "9999-12-31T23:59:59.999998"', datetime(9999, 12, 31, 23, 59, 59, 999999), True),
        ('signed_up_at = "2025-03-30T02:30:00+02:00"', datetime(2025, 3, 30, 0, 30), True),
    ],
)
def test_odd_values_mean_the_same_to_the_evaluator_and_to_duckdb(
    duck: InDuckDb, rule: str, value: object, verdict: bool | None
) -> None:
    name = "signed_up_at" if "signed_up_at" in rule else "ltv"
    someone = Person({name: value})
    duck.fill((someone,))
    assert judge(check_text(rule, CATALOGUE).rule, someone, AS_OF).verdict is verdict
    assert members(duck, rule, AS_OF) == ({0} if verdict is True else set())
    assert members(duck, f"not ({rule})", AS_OF) == ({0} if verdict is False else set())


@pytest.mark.parametrize(
    "text",
    [
        "%", "_", "\\", "'", '"', ";--", "'; DROP TABLE profiles; --", "{{7*7}}", "${7*7}", "__class__", "$as_of",
        "(#runtime=@java.lang.Runtime@getRuntime()).exec('id')",
        'script::Runtime r = Runtime.getRuntime(); r.exec("id")',
        "/*", "*/", "--", "`", "\\'", "\\\\'", "''", "E'\\x27'", "\u2028", "{sql}", "{clock}", "%(as_of)s", "?",
    ],
)  # fmt: skip
def test_what_looks_like_code_is_plain_text(duck: InDuckDb, text: str) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    duck.fill((Person({"city": text}), Person({"city": text + "x"}), Person({"city": "else"})))
    assert members(duck, f"city = {quoted}", AS_OF) == {0}
    assert members(duck, f"city starts with {quoted}", AS_OF) >= {0, 1}
    assert members(duck, f"city in ({quoted})", AS_OF) == {0}
    assert members(duck, "city = `city`", AS_OF) == {0, 1, 2}
    assert refusal(f"`{text.replace('`', '')}x` = 1") is ErrorCode.RULE_UNKNOWN_TRAIT


@search(100)
@given(st.text(max_size=60) | st.text(alphabet='aei()"`\\,.=<>!+-*/ 0123456789\n', max_size=60))
def test_any_text_either_parses_or_is_refused_with_a_place(text: str) -> None:
    try:
        parse(text)
    except HubError as refused:
        assert all(problem.line and problem.column for problem in refused.problems)
