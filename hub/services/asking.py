"""Calling a connector: whatever it returns or raises, and however long it takes, there is an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from hub.core.delivery.messages import Answer, Crashed
from hub.logs import where
from hub.sdk.calls import one_call
from hub.sdk.contract import Outcome, Result
from hub.sdk.errors import ConnectorError, TransientError

T = TypeVar("T")

# The connector's own requests end long before this; it frees the slot of one that hangs otherwise.
CALL_DEADLINE_S = 300.0
# The same for calls about no batch, which may go through everybody: to end a run at the vendor, to erase many.
ERRAND_DEADLINE_S = 1800.0


class Strayed(Exception):  # noqa: N818 - what the connector did
    """A connector ended its call as only the hub may: as if it had been called off, or with an exit."""

    def __init__(self, error: BaseException) -> None:
        self.error_type = type(error).__name__
        super().__init__(self.error_type)


async def asked(call: Callable[[], Awaitable[T]], within_s: float = CALL_DEADLINE_S) -> T:
    """What the call gives; TransientError where it takes too long. What a stranger's code raises is an Exception, so
    that it ends neither the process nor, as if that had been called off, the task that waits for it."""
    try:
        async with asyncio.timeout(within_s):
            return await call()
    except TimeoutError:
        raise TransientError(f"The connector did not finish within {within_s:.0f} seconds.") from None
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:  # a stranger's code may raise even what is to end a task or a process
        if isinstance(error, asyncio.CancelledError) and _called_off():
            raise
        raise Strayed(error).with_traceback(error.__traceback__) from None


async def answer_to(call: Callable[[], Awaitable[Result]], log: structlog.typing.FilteringBoundLogger) -> Answer:
    try:
        with one_call():
            return _checked(await asked(call, CALL_DEADLINE_S))
    except ConnectorError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything, and the others must go on
        log.error("connector failed", error_type=type_of(error), where=where(error))
        return Crashed(type_of(error))


def type_of(error: Exception) -> str:
    """What it was that the connector raised; its message may hold personal data."""
    return error.error_type if isinstance(error, Strayed) else type(error).__name__


def _called_off() -> bool:
    """Whether it is the hub that wants this task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _checked(result: Result) -> Result:
    """A result whose parts are what they claim to be; raises TypeError for anything else that a plugin made up."""
    sound = isinstance(result, Result) and all(isinstance(outcome, Outcome) for outcome in result.outcomes.values())
    if not sound or not isinstance(result.job, str | None) or not isinstance(result.retry_after, float | int | None):
        raise TypeError("the connector returned something other than a Result")
    return result
