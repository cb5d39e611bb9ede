"""Names of audiences as plain words: two names never share one."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from hub.sdk import plain_word

NAMES = st.text(min_size=1, max_size=120)


def test_a_plain_word_stays_as_it_is() -> None:
    assert plain_word("vip_2026") == "vip_2026"
    assert plain_word("win-back", joint="-") == "win-back"


def test_what_loses_something_carries_a_hash() -> None:
    assert re.fullmatch(r"vip_[0-9a-f]{8}", plain_word("VIP"))
    assert re.fullmatch(r"big_spenders_[0-9a-f]{8}", plain_word("Big  spenders!"))
    assert re.fullmatch(r"x{10}-[0-9a-f]{8}", plain_word("x" * 11, joint="-", most=10))


@given(NAMES, NAMES)
def test_two_names_are_two_words_that_any_vendor_takes(one: str, other: str) -> None:
    words = plain_word(one), plain_word(other)
    assert (words[0] == words[1]) is (one == other)
    assert all(re.fullmatch(r"[a-z0-9_]{1,69}", word) for word in words)
