"""Iterable: an audience is a static list."""

from hub.sdk import hookimpl

from .config import IterableConfig
from .connector import Iterable

__all__ = ["Iterable", "IterableConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[Iterable]]:
    return [Iterable]
