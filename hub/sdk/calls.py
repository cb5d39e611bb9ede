"""One call of a connector makes as many requests as it takes: what is said of the last must hold for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from hub.sdk.errors import ConnectorError, TransientError


class _Call:
    arrived = False
    reached = False


_call: ContextVar[_Call | None] = ContextVar("call", default=None)


@contextmanager
def one_call() -> Iterator[None]:
    """Around one call of a connector: a TransientError that it raises says `sent=False` only if none of the call's
    requests can have arrived, whatever became of the last; any error says `reached` if one before it did its work."""
    call = _Call()
    token = _call.set(call)
    try:
        yield
    except ConnectorError as error:
        error.reached = call.reached
        if isinstance(error, TransientError):
            error.sent = error.sent or call.arrived
        raise
    finally:
        _call.reset(token)


def note_arrival() -> None:
    """A request of the call that is under way in this task, if there is one, may have arrived."""
    if call := _call.get():
        call.arrived = True


def note_effect() -> None:
    """A request of the call has changed something at the vendor, or may have: an error raised after it says `reached`.
    What goes through `Http` is noted there; say it of anything else before an error about the whole batch."""
    if call := _call.get():
        call.reached = True
