"""Limiters at work: one for each destination, shared by all its runs, so that what one is told slows them all.

A destination that hangs or throttles holds nobody else up: it has a line, places and a clock of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hub.core.limits.limiter import Said, after, decide, seen, taken, under
from hub.core.limits.memory import Memory, memory_of, recalled
from hub.sdk.answers import Response
from hub.sdk.contract import Capabilities
from hub.sdk.errors import TransientError
from hub.sdk.limits import Limit

T = TypeVar("T")

# Rests are real, so they are measured in real time; and the longest is looked at again in between.
LONGEST_REST_S = 60.0
SHORTEST_REST_S = 0.001
MOST_PLACES = 8


class Limiter:
    """`enter` before a call, `leave` after it. It also hears of each request and answer that the calls lead to.

    A call counts as one request when it enters, before its consent is read: further ones are paid for by whoever comes
    next, since nothing may wait between that reading and a request.
    """

    def __init__(
        self, clock: Callable[[], float] = time.time, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._limits: tuple[Limit, ...] = ()
        self._state = under(())
        self._places = MOST_PLACES
        self._inside = 0
        self._prepaid = 0
        self._line = asyncio.Lock()
        self._urgent_line = asyncio.Lock()
        self._one_left = asyncio.Event()

    def obey(self, capabilities: Capabilities) -> None:
        """Keep to these from now on. What was counted before is kept while the limits stay the same."""
        self._places = places_of(capabilities)
        if capabilities.limits != self._limits:
            self._limits, self._state = capabilities.limits, under(capabilities.limits)

    def enter_at_once(self, *, urgent: bool = False) -> bool:
        """Enter if that needs no waiting."""
        behind = self._urgent_line.locked() or (self._line.locked() and not urgent)
        if behind or self._inside >= self._places or self._wait(urgent=urgent) > 0:
            return False
        self._admit()
        return True

    async def enter(self, unless: asyncio.Event, *, urgent: bool = False) -> bool:
        """Enter in the order of coming, once there is a place and the vendor allows another request; False if `unless`
        is set before that. Who is `urgent` has a line apart, and waits for no budget of another day."""
        if self.enter_at_once(urgent=urgent):
            return True
        entering = asyncio.ensure_future(self._enter(urgent=urgent))
        try:
            return await done_before(unless, entering)
        except asyncio.CancelledError:
            if entering.done():
                self.leave()
            raise

    def leave(self) -> None:
        self._inside -= 1
        # A call that made no request, as when everybody in it was withheld, has not paid for anybody else's.
        self._prepaid = min(self._prepaid, self._inside)
        self._one_left.set()

    async def through(self, call: Callable[[], Awaitable[T]], unless: asyncio.Event) -> T:
        """A call about nobody in particular, which may need no request at all. Once `unless` is set it waits no longer:
        the caller knows what is still to be done then."""
        if self._line.locked() or self._wait() > 0:
            await done_before(unless, self._turn())
        try:
            return await call()
        except TransientError as error:
            self.hear(error)
            raise

    def hear(self, answer: object) -> None:
        """A throttled answer slows the whole destination; any other says nothing here."""
        if isinstance(answer, TransientError) and answer.retry_after is not None:
            self._state = after(self._state, Said(retry_after=answer.retry_after), self._clock())

    @property
    def memory(self) -> Memory:
        """What the next process must know."""
        return memory_of(self._state, self._clock())

    def recall(self, memory: Memory) -> None:
        """Heed what the process before has counted."""
        self._state = recalled(self._state, memory, self._clock())

    def asked(self) -> None:
        if self._prepaid:
            self._prepaid -= 1
        else:
            self._state = taken(self._state, self._clock())

    def answered(self, response: Response) -> None:
        wait = response.retry_after() if response.status in {429, 503} else None
        self._state = after(self._state, Said(response.headers, wait), self._clock())

    async def _enter(self, *, urgent: bool) -> None:
        async with self._urgent_line if urgent else self._line:
            await self._until_there_is_room(urgent=urgent)
            self._admit()

    async def _turn(self) -> None:
        async with self._line:
            await self._until_there_is_room()

    async def _until_there_is_room(self, *, urgent: bool = False) -> None:
        while True:
            self._one_left.clear()
            if self._inside >= self._places:
                await self._one_left.wait()
            elif (wait := self._wait(urgent=urgent)) > 0:
                await self._sleep(min(max(wait, SHORTEST_REST_S), LONGEST_REST_S))
            else:
                return

    def _wait(self, *, urgent: bool = False) -> float:
        now = self._clock()
        self._state = seen(self._state, now)
        return decide(self._state, now, urgent=urgent)

    def _admit(self) -> None:
        self._state = taken(self._state, self._clock())
        self._inside += 1
        self._prepaid += 1


def places_of(capabilities: Capabilities) -> int:
    """How many calls may be under way at a destination at once, over all its runs."""
    return max(1, min(capabilities.concurrency, MOST_PLACES))


async def done_before(event: asyncio.Event, work: Awaitable[object]) -> bool:
    """Whether the work was done before the event came; if not, it is cut off."""
    working, coming = asyncio.ensure_future(work), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({working, coming}, return_when=asyncio.FIRST_COMPLETED)
        return working.done()
    finally:
        working.cancel()
        coming.cancel()
