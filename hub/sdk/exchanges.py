"""Every exchange with a vendor, as the one client tells it to whoever listens in the task that makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from hub.sdk.answers import Response
from hub.sdk.egress import Endpoint


@dataclass(slots=True)
class Exchange:
    """One request and what came of it: an answer, or an error of the type named, or an answer that was read as that
    error. `body` is what was sent, unpacked where it was given as JSON: whoever listens keeps nothing of it."""

    method: str
    endpoint: Endpoint
    body: Any = field(repr=False)
    sent_bytes: int
    seconds: float = 0.0
    response: Response | None = field(default=None, repr=False)
    error: str | None = None


Listener = Callable[[Exchange], None]
listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
"""Who hears of the exchanges of a task and of the tasks that it starts. It must be quick, and must not raise."""


@contextmanager
def told(method: str, endpoint: Endpoint, body: Any, sent_bytes: int) -> Iterator[Exchange]:
    """Around one exchange: when it is over, however that came, the listener hears of it."""
    exchange = Exchange(method, endpoint, body, sent_bytes)
    began = perf_counter()
    try:
        yield exchange
    except BaseException as error:  # a cancel too: the listener hears of it
        exchange.error = type(error).__name__
        raise
    finally:
        exchange.seconds = perf_counter() - began
        if hear := listener.get():
            hear(exchange)
