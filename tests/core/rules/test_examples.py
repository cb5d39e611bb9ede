"""Every example of the interface parses, and means what it says."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from hub.core.records import EventType, Trait, TraitType
from hub.core.rules.catalogue import Catalogue
from hub.core.rules.check import check_text
from hub.core.rules.compile import DIALECTS, compile_rule
from hub.core.rules.judge import Event, Person, judge
from hub.errors import ErrorCode, HubError
from tests.core.rules.world import AS_OF, CATALOGUE, PROPERTIES, TRAITS, prop, trait

SEEN = Catalogue.of(
    TRAITS,
    [*CATALOGUE.events.values(), EventType("email_opened"), EventType("email_sent"), EventType("add_to_cart")],
    {**CATALOGUE.rules, "vip": "ltv > 100"},
)


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


def seen(name: str, *days: float, **properties: Any) -> list[Event]:
    return [Event(name, ago(day), properties) for day in days]


def person(*events: list[Event], **traits: Any) -> Person:
    return Person(traits, [event for group in events for event in group])


MEANINGS = [
    ('country in ("DE", "AT") and plan != "free"', person(country="AT", plan="pro"), True),
    ('country in ("DE", "AT") and plan != "free"', person(country="AT", plan="free"), False),
    ('country in ("DE", "AT") and plan != "free"', person(country="AT"), None),
    ("age between 25 and 54 and ltv >= 150", person(age=25.0, ltv=150.0), True),
    ("age between 25 and 54 and ltv >= 150", person(age=54.5, ltv=150.0), False),
    ("count(purchase, last 90 days) >= 1", person(seen("purchase", 89.9)), True),
    ("count(purchase, last 90 days) >= 1", person(seen("purchase", 90)), False),
    ("count(purchase, last 90 days) >= 1", person(seen("purchase", 0)), True),
    ("count(purchase, last 90 days) >= 1", person(seen("purchase", -0.1)), False),
    (
        "count(product_view, last 180 days) >= 2 and not did(purchase, last 180 days)",
        person(seen("product_view", 1, 2)),
        True,
    ),
    (
        "count(product_view, last 180 days) >= 2 and not did(purchase, last 180 days)",
        person(seen("product_view", 1, 2), seen("purchase", 179)),
        False,
    ),
    (
        'email_consent and (plan != "free" or ltv >= 35) and did(any event, last 36 days)',
        person(seen("x", 3), email_consent=True, ltv=35.0),
        True,
    ),
    (
        'email_consent and (plan != "free" or ltv >= 35) and did(any event, last 36 days)',
        person(seen("x", 3), ltv=35.0),
        None,
    ),
    (
        "sum(purchase.value, last 90 days) > 500 or avg(purchase.value) > 100",
        person(seen("purchase", 100, value=101.0)),
        True,
    ),
    ("sum(purchase.value, last 90 days) > 500 or avg(purchase.value) > 100", person(), None),
    (
        'did(product_view where category = "shoes" and value > 20, last 7 days)',
        person(seen("product_view", 1, category="shoes", value=21.0)),
        True,
    ),
    (
        'did(product_view where category = "shoes" and value > 20, last 7 days)',
        person(seen("product_view", 1, category="shoes")),
        False,
    ),
    (
        "distinct(product_view.category, last 14 days) >= 3",
        person(*(seen("product_view", 1, 2, category=c) for c in "abc")),
        True,
    ),
    ("distinct(product_view.category, last 14 days) >= 3", person(seen("product_view", 1, 2, 3, category="a")), False),
    (
        'last(purchase) before 60 days ago and first(purchase) after "2025-01-01"',
        person(seen("purchase", 61, 100)),
        True,
    ),
    (
        'last(purchase) before 60 days ago and first(purchase) after "2025-01-01"',
        person(seen("purchase", 60, 100)),
        False,
    ),
    ('last(purchase) before 60 days ago and first(purchase) after "2025-01-01"', person(), None),
    ('in segment "vip" and not in segment "recent_buyers"', person(seen("purchase", 8), ltv=101.0), True),
    ('in segment "vip" and not in segment "recent_buyers"', person(), False),
    (
        'email is known and email ends with "@example.com" and not (city contains "berlin")',
        person(email="a@example.com", city="Berlin"),
        True,
    ),
    (
        'email is known and email ends with "@example.com" and not (city contains "berlin")',
        person(email="a@example.com"),
        None,
    ),
    ('tags has any ("press", "partner")', person(tags=["partner", "x"]), True),
    ('tags has all ("press", "partner")', person(tags=["partner", "x"]), False),
    ('tags has all ("press", "partner")', person(), None),
    (
        "count(email_opened, last 90 days) / count(email_sent, last 90 days) > 0.4 and not did(purchase, last 90 days)",
        person(seen("email_opened", 1), seen("email_sent", 1, 2)),
        True,
    ),
    (
        "count(email_opened, last 90 days) / count(email_sent, last 90 days) > 0.4 and not did(purchase, last 90 days)",
        person(),
        None,
    ),
    ("signed_up_at in last 14 days", person(signed_up_at=ago(13)), True),
    ("signed_up_at in last 14 days", person(signed_up_at=ago(14)), False),
    ("signed_up_at in last 14 days", person(signed_up_at=ago(-1)), False),
    ('everyone and not in segment "staff"', person(), True),
    ('everyone and not in segment "staff"', person(email="a@example.com"), False),
    ("did(`Order Completed`, last 7 days)", person(seen("Order Completed", 1)), True),
    ("DID(purchase, LAST 7 Days) AND NOT Everyone", person(seen("purchase", 1)), False),
    ('city = "a \\"quoted\\" \\\\ text"', person(city='a "quoted" \\ text'), True),
    ("not email_consent", person(), None),
    ("ltv / member_days > 1", person(ltv=5.0, member_days=0.0), None),
    ("count(purchase where value > 10) * 2 - 1 >= 3", person(seen("purchase", 1, 2, value=11.0)), True),
    (
        "max(purchase.value) - min(purchase.value) = -(0 - 4)",
        person(seen("purchase", 1, value=1.0), seen("purchase", 2, value=5.0)),
        True,
    ),
    ('signed_up_at after "2025-01-01"', person(signed_up_at=datetime(2025, 1, 1)), False),
    ('signed_up_at after "2025-01-01T01:00:00+01:00"', person(signed_up_at=datetime(2025, 1, 1, 0, 0, 0, 1)), True),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "who", "verdict"), MEANINGS)
def test_the_examples_mean_what_they_say(rule: str, who: Person, verdict: bool | None) -> None:
    checked = check_text(rule, SEEN)
    assert not checked.warnings
    assert judge(checked.rule, who, AS_OF).verdict is verdict


@pytest.mark.parametrize("rule", sorted({rule for rule, *_ in MEANINGS}))
@pytest.mark.parametrize("dialect", [*DIALECTS, "spark", "redshift"])
def test_the_examples_compile_for_every_dialect(rule: str, dialect: str) -> None:
    assert compile_rule(check_text(rule, SEEN), dialect).startswith(("SELECT", "WITH"))


@pytest.mark.parametrize(
    "rule",
    [
        "did(add_to_cart, last 7 days) then not did(purchase) within 2 days",
        "same product_id (count(product_view, last 30 days) >= 3 and not did(purchase, last 30 days))",
        'region.weather = "rain" and member_days >= 30',
    ],
)
def test_what_comes_later_is_refused_by_name_and_place(rule: str) -> None:
    with pytest.raises(HubError, match="not supported yet") as refused:
        check_text(f"everyone and\n  {rule}", SEEN)
    problem = refused.value.problems[0]
    assert (problem.code, problem.line, problem.column) == (ErrorCode.UNSUPPORTED, 2, 3)


def test_any_event_sees_a_property_of_every_event_that_has_it() -> None:
    checked = check_text('did(any event where category = "a")', CATALOGUE)
    assert judge(checked.rule, person(seen("purchase", 1, category="a")), AS_OF).verdict is True


def test_one_name_with_two_types_needs_the_event_named() -> None:
    mixed = Catalogue.of(
        [], [EventType("a", (prop("v", TraitType.TEXT),)), EventType("b", (Trait("v", "p_v_2", TraitType.NUMBER),))]
    )
    with pytest.raises(HubError, match="name the event"):
        check_text("did(any event where v > 3)", mixed)
    assert check_text('did(b where v > 3) and did(a where v = "x")', mixed)


def test_a_name_that_is_a_keyword_stands_in_backticks() -> None:
    odd = Catalogue.of([trait("count", TraitType.NUMBER), trait("in", TraitType.TEXT)], [EventType("last", PROPERTIES)])
    checked = check_text('`count` > 1 and `in` = "x" and did(`last`)', odd)
    assert judge(checked.rule, person(seen("last", 1), **{"count": 2.0, "in": "x"}), AS_OF).verdict is True
