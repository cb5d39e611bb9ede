"""Calling a connector: whatever it returns or raises, and however long it takes, there is an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from hub.core.delivery.messages import Answer, Crashed
from hub.logs import where
from hub.sdk.calls import one_call
from hub.sdk.contract import Outcome, Result
from hub.sdk.errors import ConnectorError, TransientError

# The connector's own requests end long before this; it frees the slot of one that hangs otherwise.
CALL_DEADLINE_S = 300.0


async def answer_to(call: Callable[[], Awaitable[Result]], log: structlog.typing.FilteringBoundLogger) -> Answer:
    try:
        async with asyncio.timeout(CALL_DEADLINE_S):
            with one_call():
                return _checked(await call())
    except ConnectorError as error:
        return error
    except TimeoutError:
        return TransientError(f"The connector did not finish within {CALL_DEADLINE_S:.0f} seconds.")
    except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything, and the others must go on
        log.error("connector failed", error_type=type(error).__name__, where=where(error))
        return Crashed(type(error).__name__)


def _checked(result: Result) -> Result:
    """A result whose parts are what they claim to be; raises TypeError for anything else that a plugin made up."""
    sound = isinstance(result, Result) and all(isinstance(outcome, Outcome) for outcome in result.outcomes.values())
    if not sound or not isinstance(result.job, str | None) or not isinstance(result.retry_after, float | int | None):
        raise TypeError("the connector returned something other than a Result")
    return result
