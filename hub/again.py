"""A transaction that another one was let past, by a deadlock or a failed serialisation: nothing of it stays, so it is
tried again, and not for ever."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from functools import wraps
from typing import ParamSpec, TypeVar

from hub.errors import StoreError

# What PostgreSQL calls a failed serialisation, and a deadlock.
BEATEN = frozenset({"40001", "40P01"})
LONGEST_RESTS_S = (0.02, 0.1, 0.5, 1.0)

P = ParamSpec("P")
T = TypeVar("T")


def rests() -> Iterator[float]:
    """Seconds before each further try; never twice the same, or two that beat each other would meet again."""
    return (random.uniform(longest / 2, longest) for longest in LONGEST_RESTS_S)  # noqa: S311 - nothing secret


def tried_again(write: Callable[P, T]) -> Callable[P, T]:
    """For a function that is one transaction, and whose arguments can be read more than once."""

    @wraps(write)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        for rest in rests():
            try:
                return write(*args, **kwargs)
            except StoreError as error:
                if not error.beaten:
                    raise
            time.sleep(rest)
        return write(*args, **kwargs)

    return call
