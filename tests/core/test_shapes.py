"""What is shown of a request: never anything of a person, whatever the body looks like."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.history import Traffic, step_of
from hub.core.shapes import HIDDEN, Vocabulary, shape, template

KNOWN = Vocabulary(frozenset({"v1", "lists", "members"}), frozenset({"members", "email_address", "status", "id"}))
# Every one holds a mark that no word of the vocabulary and no word of a shape holds.
personal = st.text(min_size=1, max_size=12).map(lambda text: f"§{text}")
keys = st.one_of(personal, st.sampled_from(sorted(KNOWN.keys)))
bodies = st.recursive(
    st.one_of(personal, st.integers(), st.floats(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(keys, inner, max_size=5)),
    max_leaves=40,
)


@given(bodies)
def test_the_shape_of_a_body_holds_no_value_and_no_key_that_may_be_one(body: Any) -> None:
    assert "§" not in shape(body, KNOWN)


@given(st.lists(st.one_of(personal.map(lambda text: text.replace("?", "")), st.sampled_from(sorted(KNOWN.segments)))))
def test_a_path_shows_only_what_the_connector_wrote(parts: list[str]) -> None:
    shown = template("/" + "/".join(parts), KNOWN)
    assert "§" not in shown and {part for part in shown.split("/") if part} <= {*KNOWN.segments, HIDDEN}


def test_a_query_is_not_shown_at_all() -> None:
    assert template("/v1/lists?email=ann@example.com&x", KNOWN) == "/v1/lists?{…}"


def test_a_shape_names_keys_types_and_lengths() -> None:
    people = [{"email_address": "ann@example.com", "status": None, "id": 7}] * 1000
    shown = shape({"members": people, "ann@example.com": True}, KNOWN)
    assert shown == (
        '{"members":[1000 × {"email_address":"string","status":"null","id":"number"}],1 × {…}}'.replace(
            '"null"', "null"
        )
    )


@pytest.mark.parametrize("body", [{"members": {}}, [[[[[[[[1]]]]]]]], {f"k{n}": n for n in range(10_000)}])
def test_a_shape_is_short_however_large_or_deep_the_body(body: Any) -> None:
    known = Vocabulary(keys=frozenset(f"k{n}" for n in range(10_000)))
    assert len(shape(body, known)) < 1_000


def test_a_percentile_is_told_to_within_five_percent() -> None:
    durations: dict[int, int] = {}
    for milliseconds in range(1, 1001):
        step = step_of(milliseconds)
        durations[step] = durations.get(step, 0) + 1
    traffic = Traffic(requests=1000, durations=durations)
    for share in (0.5, 0.95):
        assert traffic.percentile(share) == pytest.approx(share * 1000, rel=0.06)
    assert Traffic.from_json(traffic.to_json()) == traffic
    assert Traffic().percentile(0.5) is None and Traffic.from_json(None) == Traffic()
