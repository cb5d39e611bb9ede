"""Rules in plain words, and why somebody is in or out."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from hub.core.rules import in_words
from hub.core.rules.check import check_text
from hub.core.rules.judge import Event, Person, judge
from tests.core.rules.world import CATALOGUE

WORDS = [
    ('country in ("DE", "AT") and plan != "free"', "country is “DE” or “AT”, and plan is not “free”"),
    ("count(purchase, last 90 days) >= 1", "the number of “purchase” events in the last 90 days is at least 1"),
    ("not did(purchase, last 1 day)", "did not “purchase” in the last 1 day"),
    (
        'did(product_view where category = "shoes" and value > 20, last 7 days)',
        "did “product_view” (where category is “shoes”, and value is more than 20) in the last 7 days",
    ),
    (
        'last(purchase) before 6 days ago or first(any event) after "2025-01-01"',
        "the time of the last “purchase” is before 6 days ago, "
        "or the time of the first event of any name is after “2025-01-01”",
    ),
    ('everyone and not in segment "staff"', "everyone, and is not in the segment “staff”"),
    ("a not in (1, 2) and b not in (1)", "a is neither 1 nor 2, and b is not 1"),
    ("not email_consent", "email_consent is false"),
    # “less than 12 days ago” would be the very opposite.
    (
        "joined < 12 days ago and joined >= 90 days ago",
        "joined is before 12 days ago, and joined is not before 90 days ago",
    ),
    (
        "12 days ago > joined or last(purchase) <= joined",
        "12 days ago is after joined, or the time of the last “purchase” is not after joined",
    ),
]


@pytest.mark.parametrize(("rule", "words"), WORDS)
def test_a_rule_reads_as_plain_words(rule: str, words: str) -> None:
    assert in_words(rule) == words


def test_why_someone_is_out_names_each_part_with_what_it_saw() -> None:
    checked = check_text('ltv > 100 and (did(purchase, last 7 days) or in segment "staff")', CATALOGUE)
    someone = Person({"email": "a@example.com"}, [Event("purchase", datetime(2025, 6, 1))])
    because = judge(checked.rule, someone, datetime(2025, 6, 15, tzinfo=UTC)).as_json()
    assert json.loads(json.dumps(because)) == {
        "part": "all of these",
        "verdict": None,
        "parts": [
            {"part": "ltv is more than 100", "verdict": None, "saw": {"ltv": None}},
            {
                "part": "any of these",
                "verdict": True,
                "parts": [
                    {"part": "did “purchase” in the last 7 days", "verdict": False, "saw": {"times": 0}},
                    {
                        "part": "is in the segment “staff”",
                        "verdict": True,
                        "parts": [
                            {
                                "part": "email ends with “@example.com”",
                                "verdict": True,
                                "saw": {"email": "a@example.com"},
                            }
                        ],
                    },
                ],
            },
        ],
    }


def test_an_aware_instant_is_taken_in_utc() -> None:
    checked = check_text("did(purchase, last 1 hour)", CATALOGUE)
    someone = Person({}, [Event("purchase", datetime(2025, 6, 15, 10))])
    assert judge(checked.rule, someone, datetime.fromisoformat("2025-06-15T12:30:00+02:00")).verdict is True
    assert judge(checked.rule, someone, datetime.fromisoformat("2025-06-15T12:30:00+00:00")).verdict is False
