"""What is wrong with a rule: the code, the place, and the word that was meant."""

from __future__ import annotations

import re

import pytest

from hub.core.rules.catalogue import Catalogue
from hub.core.rules.check import check_text
from hub.errors import ErrorCode, HubError
from tests.core.rules.world import CATALOGUE, EVENTS, TRAITS

SYNTAX, UNKNOWN, TYPE = ErrorCode.RULE_SYNTAX, ErrorCode.RULE_UNKNOWN_TRAIT, ErrorCode.RULE_TYPE

FAULTS = [
    ("", SYNTAX, 1, 1, "everyone"),
    (" \n\t", SYNTAX, 1, 1, "everyone"),
    ('country = "DE" adn plan = "x"', SYNTAX, 1, 16, "and"),
    ('country = "DE"\nand city strats with "x"', SYNTAX, 2, 10, "starts"),
    ("country =", SYNTAX, 1, 10, None),
    ("country = 'DE'", SYNTAX, 1, 11, '"'),
    ('country == "DE"', SYNTAX, 1, 9, "="),
    ('country <> "DE"', SYNTAX, 1, 9, "!="),
    ("email_consent && email_consent", SYNTAX, 1, 15, "and"),
    ('country = "DE', SYNTAX, 1, 11, None),
    ("`country", SYNTAX, 1, 1, None),
    ('country = "\\n"', SYNTAX, 1, 12, "\\\\"),
    ("cuont(purchase) > 1", SYNTAX, 1, 1, "count"),
    ("did(purchase, last 7 dys)", SYNTAX, 1, 22, "days"),
    ("did(purchase, last 0 days)", SYNTAX, 1, 20, None),
    ("did(purchase, last 99999999 days)", SYNTAX, 1, 20, None),
    ("did(purchase.value)", SYNTAX, 1, 14, None),
    ("sum(purchase) > 1", SYNTAX, 1, 5, None),
    ("count(purchase.value) > 1", SYNTAX, 1, 16, None),
    ("country in ()", SYNTAX, 1, 12, None),
    ("tags has any ()", SYNTAX, 1, 14, None),
    ("age + 1", SYNTAX, 1, 1, None),
    ("(age > 1) = 2", SYNTAX, 1, 2, None),
    ("true", SYNTAX, 1, 1, None),
    ("age > 1e999", SYNTAX, 1, 7, None),
    ('country = "\x00"', SYNTAX, 1, 12, None),
    ('country = "\ud800"', SYNTAX, 1, 12, None),
    ("everyone and", SYNTAX, 1, 13, None),
    ('and country = "DE"', SYNTAX, 1, 1, None),
    ("country is unknwon", SYNTAX, 1, 12, "unknown"),
    ('cuntry = "DE"', UNKNOWN, 1, 1, "country"),
    ('Country = "DE"', UNKNOWN, 1, 1, "country"),
    ("evryone", UNKNOWN, 1, 1, "everyone"),
    ("did(purchase where valu > 3)", UNKNOWN, 1, 20, "value"),
    ("sum(purchase.valeu) > 3", UNKNOWN, 1, 14, "value"),
    ("did(any event where valu > 3)", UNKNOWN, 1, 21, "value"),
    ("did(purchase where ltv > 3)", UNKNOWN, 1, 20, None),
    ("country", TYPE, 1, 1, None),
    ('age = "x"', TYPE, 1, 7, None),
    ("country > 3", TYPE, 1, 11, None),
    ("country + 1 > 3", TYPE, 1, 1, None),
    ('age in (1, "2")', TYPE, 1, 12, None),
    ("email_consent > true", TYPE, 1, 1, "="),
    ('tags = "x"', TYPE, 1, 1, "has any"),
    ('tags in ("x")', TYPE, 1, 1, "has any"),
    ('country has any ("x")', TYPE, 1, 1, None),
    ("tags has all (1)", TYPE, 1, 15, None),
    ('age contains "x"', TYPE, 1, 1, None),
    ("age in last 7 days", TYPE, 1, 1, None),
    ("age before 7 days ago", TYPE, 1, 1, None),
    ('signed_up_at > "soon"', TYPE, 1, 16, None),
    ("signed_up_at > 20250101", TYPE, 1, 16, None),
    ("sum(purchase.category) > 1", TYPE, 1, 14, None),
    ("min(purchase.category) > 1", TYPE, 1, 14, None),
    ("did(purchase where count(purchase) > 1)", TYPE, 1, 26, None),
    ('did(purchase where in segment "vip")', TYPE, 1, 20, None),
    ('in segment "vap"', ErrorCode.NOT_FOUND, 1, 1, "vip"),
]


@pytest.mark.parametrize(("rule", "code", "line", "column", "meant"), FAULTS)
def test_a_fault_is_named_with_its_place_and_the_word_meant(
    rule: str, code: ErrorCode, line: int, column: int, meant: str | None
) -> None:
    with pytest.raises(HubError) as refused:
        check_text(rule, CATALOGUE)
    problem = refused.value.problems[0]
    assert (problem.code, problem.line, problem.column) == (code, line, column), problem
    assert problem.suggestion == meant
    assert problem.path == ("rule",)
    assert problem.message.endswith((".", "?"))


@pytest.mark.parametrize(
    ("rule", "column", "words"),
    [
        ('country in ("DE",)', 18, "A value is missing before this `)`: take out the comma"),
        ('country in ("DE",, "AT")', 18, "A value is missing before this `,`: take out the comma"),
        ('country in (, "AT")', 13, "A value is missing before this `,`: take out the comma"),
        ("country in (AT)", 13, "expected text in double quotes, a number, `true` or `false`"),
    ],
)
def test_a_fault_in_a_list_says_what_a_list_holds(rule: str, column: int, words: str) -> None:
    with pytest.raises(HubError, match=re.escape(words)) as refused:
        check_text(rule, CATALOGUE)
    assert refused.value.problems[0].column == column


def test_every_fault_of_a_conjunction_is_named_at_once() -> None:
    with pytest.raises(HubError) as refused:
        check_text('cuntry = "DE" and age = "x" and (plan = "y" or ltv = "z")', CATALOGUE)
    assert [(problem.code, problem.column) for problem in refused.value.problems] == [
        (UNKNOWN, 1),
        (TYPE, 25),
        (TYPE, 54),
    ]


def test_an_event_never_seen_is_a_warning_with_a_suggestion() -> None:
    checked = check_text("did(purchse, last 7 days) and sum(purchse.value) > 3", CATALOGUE)
    assert [(w.line, w.column, w.suggestion) for w in checked.warnings] == [(1, 5, "purchase"), (1, 35, "purchase")]


@pytest.mark.parametrize(
    ("rules", "circle"),
    [
        ({"a": 'in segment "a"'}, "a → a"),
        ({"a": 'everyone and in segment "b"', "b": 'not in segment "c"', "c": 'in segment "a"'}, "a → b → c → a"),
    ],
)
def test_a_segment_cannot_lean_on_itself(rules: dict[str, str], circle: str) -> None:
    catalogue = Catalogue.of(TRAITS, EVENTS, rules)
    with pytest.raises(HubError, match=circle) as refused:
        check_text(rules["a"], catalogue, segment="a")
    assert refused.value.code is ErrorCode.INVALID
    assert refused.value.problems[0].line == 1


def test_a_rule_that_would_close_a_circle_is_refused_before_it_is_saved() -> None:
    catalogue = Catalogue.of(TRAITS, EVENTS, {"a": "everyone", "b": 'in segment "a"'})
    with pytest.raises(HubError, match="a → b → a"):
        check_text('in segment "b"', catalogue, segment="a")


def test_a_fault_in_a_named_segment_is_shown_where_it_is_named() -> None:
    catalogue = Catalogue.of(TRAITS, EVENTS, {"a": 'vanished = "x"'})
    with pytest.raises(HubError, match="segment `a` no longer holds: There is no trait `vanished`") as refused:
        check_text('everyone and in segment "a"', catalogue)
    assert refused.value.problems[0].column == 14
