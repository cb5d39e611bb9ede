"""Mapped fields as they are sent: what could change a subscription never is."""

from __future__ import annotations

import pytest

from hub.sdk import Person, RefusedError, json_fields

ANN = Person(
    "1", "ann@example.com", {"city": "Köln", "vip": True, "orders": 3, "ltv": 4.5, "tags": ("x", "y"), "gone": None}
)


def test_values_keep_their_type() -> None:
    told = json_fields(ANN, frozenset({"email"}))
    assert told == {"city": "Köln", "vip": True, "orders": 3, "ltv": 4.5, "tags": ["x", "y"], "gone": None}


def test_a_field_that_is_never_sent_is_named_and_its_value_is_not() -> None:
    with pytest.raises(RefusedError) as refused:
        json_fields(ANN, frozenset({"vip", "city", "email"}))
    assert refused.value.reason.startswith("city, vip: could change") and not refused.value.divisible
    assert "Köln" not in refused.value.reason
