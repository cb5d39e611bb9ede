"""Reasons keep their sense and lose the person."""

from __future__ import annotations

import pytest

from hub.sdk import Person, scrubbed

ANN = Person(
    "crm-17", "ann@example.com", {"FNAME": "Ann", "AGE": 30, "VIP": True, "TAGS": ["gold"], "CITY": None, "X": "a"}
)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("ANN@Example.com looks fake", "… looks fake"),
        ("no room for crm-17, Ann (30), gold", "no room for …, … (…), …"),
        ("also known as bob.b+x@other.example or +49 (171) 123-4567", "also known as … or …"),
        ("hash 0123456789abcdef0123456789abcdef", "hash …"),
        ("Annual plan: a True story", "Annual plan: a True story"),
        ("error 400 of 2026", "error 400 of 2026"),
        ("two\n lines ", "two lines"),
        ("x" * 500, "x" * 200),
        ({"reason": "ann@example.com"}, "{'reason': '…'}"),
    ],
)
def test_a_reason_loses_the_person_and_keeps_its_sense(said: object, kept: str) -> None:
    assert scrubbed(said, ANN) == kept


def test_an_identifier_is_left_out_with_and_without_its_kind() -> None:
    person = Person("p1", "ad_id:6D92078A-8246")
    assert scrubbed("6d92078a-8246 is no ad id, nor is ad_id:6d92078a-8246", person) == "… is no ad id, nor is …"
