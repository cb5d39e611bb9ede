"""How long to wait before trying again, and when to give up: the one module that imports tenacity.

Exponential back-off with full jitter, never sooner than the vendor asked for, at most so many attempts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random, SystemRandom

from tenacity import RetryCallState, Retrying
from tenacity.wait import wait_base

LONGEST_RETRY_AFTER_S = 86_400.0


class FullJitter(wait_base):
    """Anything between nothing and `first_s` × 2^(failures − 1), at most `most_s`, drawn from `random`."""

    def __init__(self, random: Random, first_s: float, most_s: float) -> None:
        self._random = random
        self._first_s = first_s
        self._most_s = most_s

    def __call__(self, retry_state: RetryCallState) -> float:
        # The exponent is bounded so that a long series cannot overflow a float.
        doubled = self._first_s * 2.0 ** min(retry_state.attempt_number - 1, 60)
        return self._random.uniform(0.0, min(doubled, self._most_s))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The retry policy of one run. Inject a seeded `random` to make its waits repeat."""

    attempts: int = 7
    first_s: float = 0.5
    most_s: float = 60.0
    random: Random = field(default_factory=SystemRandom)

    def delay(self, failures: int, retry_after: float | None) -> float | None:
        """Seconds until the next attempt after so many failures; None to give up. `retry_after` (seconds, the vendor's)
        is a lower bound, up to a day; nonsense in it counts as unsaid."""
        return None if failures >= self.attempts else self.pause(failures, retry_after)

    def pause(self, times: int, retry_after: float | None) -> float:
        """Seconds until the next of so many questions after a job: as after failures, but nobody gives up."""
        policy = Retrying(wait=FullJitter(self.random, self.first_s, self.most_s))
        state = RetryCallState(policy, None, (), {})
        state.attempt_number = times
        return max(float(policy.wait(state)), _asked_for(retry_after))


def _asked_for(retry_after: float | None) -> float:
    if retry_after is None or math.isnan(retry_after):
        return 0.0
    return min(max(retry_after, 0.0), LONGEST_RETRY_AFTER_S)
