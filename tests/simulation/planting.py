"""Bugs are planted from outside, each for as long as a `with` lasts: product code knows nothing of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

BUGS: dict[str, Callable[[], AbstractContextManager[None]]] = {}


def planted(bug: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
    BUGS[bug.__name__] = contextmanager(bug)
    return bug
