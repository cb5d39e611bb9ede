"""How often a run tries again, and when a destination counts as gone."""

from __future__ import annotations

from hub.core.delivery.messages import Ended, Finish, Limits


class Patience:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests = 0
        self._retries = 0
        self._silent = 0
        self._given_up = 0
        self._answered = False
        self._last_trouble = ""

    def asked(self) -> None:
        self._requests += 1

    def heard(self) -> None:
        """The destination has said something about the people of a batch."""
        self._answered = True
        self._given_up = self._silent = 0

    def fault(self, reason: str) -> None:
        self._last_trouble = reason
        self._silent += 1

    def again(self, retry_after: float | None) -> None:
        self._retries += retry_after is None

    def retried_enough(self, retry_after: float | None) -> bool:
        most = self._limits.retry_floor + self._limits.retry_share * self._requests
        return retry_after is None and self._retries + 1 > most

    def in_trouble(self, retry_after: float | None) -> bool:
        """Given up for want of retries, a batch says that the vendor is in trouble, not yet that it is gone."""
        return self.retried_enough(retry_after) and self._silent < self._limits.retry_floor

    def give_up(self) -> bool:
        """One more batch is given up: whether that is the end of the run."""
        self._given_up += 1
        return self._given_up >= self._limits.patience

    def completed(self) -> Finish:
        never_reached = bool(self._last_trouble) and not self._answered
        return Finish(Ended.UNREACHABLE, self._last_trouble) if never_reached else Finish(Ended.COMPLETED)
