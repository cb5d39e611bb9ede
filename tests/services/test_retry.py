from __future__ import annotations

import math
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from hub.services.retry import LONGEST_RETRY_AFTER_S, RetryPolicy


@given(st.integers(1, 6), st.integers(0, 2**32))
def test_the_wait_is_full_jitter_under_a_doubling_ceiling(failures: int, seed: int) -> None:
    wait = RetryPolicy(first_s=0.5, most_s=10, random=Random(seed)).delay(failures, None)
    assert wait is not None and 0 <= wait <= min(0.5 * 2 ** (failures - 1), 10)


def test_the_same_generator_draws_the_same_waits() -> None:
    first, second = RetryPolicy(random=Random(1)), RetryPolicy(random=Random(1))
    assert [first.delay(n, None) for n in range(1, 7)] == [second.delay(n, None) for n in range(1, 7)]


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_the_vendors_wait_is_kept_whatever_it_says_but_never_longer_than_a_day(retry_after: float) -> None:
    wait = RetryPolicy(first_s=0.5, random=Random(1)).delay(1, retry_after)
    assert wait is not None and 0 <= wait <= LONGEST_RETRY_AFTER_S
    if not math.isnan(retry_after):
        assert wait >= min(retry_after, LONGEST_RETRY_AFTER_S)


def test_it_gives_up_after_the_last_attempt() -> None:
    policy = RetryPolicy(attempts=3, random=Random(1))
    assert policy.delay(2, None) is not None
    assert policy.delay(3, None) is None
    assert policy.delay(3, 5.0) is None
