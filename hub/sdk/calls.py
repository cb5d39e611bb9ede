"""One call of a connector makes as many requests as it takes: what is said of the last must hold for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from hub.sdk.errors import TransientError


class _Call:
    arrived = False


_call: ContextVar[_Call | None] = ContextVar("call", default=None)


@contextmanager
def one_call() -> Iterator[None]:
    """Around one call of a connector: a TransientError that it raises says `sent=False` only if none of the call's
    requests can have arrived, whatever became of the last."""
    call = _Call()
    token = _call.set(call)
    try:
        yield
    except TransientError as error:
        error.sent = error.sent or call.arrived
        raise
    finally:
        _call.reset(token)


def note_arrival() -> None:
    """A request of the call that is under way in this task, if there is one, may have arrived."""
    if call := _call.get():
        call.arrived = True
