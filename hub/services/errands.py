"""A run's calls about no person in particular: each in its turn at the destination, tried again while that may help."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from hub.core.delivery.messages import Delay, Ended, Finish, ended_by
from hub.errors import HubError
from hub.sdk.errors import AuthError, ConnectorError, TransientError
from hub.services import asking
from hub.services.endings import Halted, said_by
from hub.services.limiters import Limiter, done_before
from hub.services.recorder import answered, attempting

Call = Callable[[], Awaitable[Any]]
Sleep = Callable[[float], Awaitable[None]]


class Errands:
    """The calls raise Halted with why the run cannot go on, and what `confirm` raises, which is asked before each.
    `limiter` is the destination's, once that is known."""

    def __init__(self, delay: Delay, sleep: Sleep, confirm: Callable[[], Awaitable[None]]) -> None:
        self.limiter = Limiter()
        self._delay = delay
        self._sleep = sleep
        self._confirm = confirm
        self._ended: Finish | None = None
        self._ending = asyncio.Event()

    def end(self, ended: Finish) -> None:
        """Wait for nothing any more: the run has been told to end, and ends as this unless it gets further."""
        self._ended = self._ended or ended
        self._ending.set()

    async def insist(self, call: Call) -> Any:
        in_time, failures = partial(asking.asked, call, asking.ERRAND_DEADLINE_S), 0
        while True:
            await self._confirm()
            try:
                attempting(failures + 1)
                return await self.limiter.through(in_time, unless=self._ending)
            except TransientError as error:
                failures += 1
                answered(error)
                seconds = self._delay(failures, error.retry_after)
                if seconds is None:
                    raise Halted(Finish(Ended.UNREACHABLE, error.reason)) from None
            except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything
                raise _halted(error) from None
            await self._rest(seconds)

    async def insist_unless_ended(self, call: Call) -> Any:
        """For what is pointless once the run has been told to end."""

        async def guarded() -> Any:
            if self._ended:
                raise Halted(self._ended)
            return await call()

        return await self.insist(guarded)

    async def _rest(self, seconds: float) -> None:
        """What is called after the end is still tried at a decent pace."""
        if self._ending.is_set():
            await self._sleep(seconds)
        else:
            await done_before(self._ending, self._sleep(seconds))


def _halted(error: Exception) -> Halted:
    match error:
        case Halted():
            return error
        case AuthError():
            return Halted(Finish(ended_by(error), said_by(error)))
        case ConnectorError() | HubError():
            return Halted(Finish(Ended.REFUSED, said_by(error)))
    return Halted(Finish(Ended.CRASHED, asking.type_of(error)))
