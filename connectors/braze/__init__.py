"""Braze: an audience is a custom attribute on users, true for whoever is in it."""

from hub.sdk import hookimpl

from .config import BrazeConfig
from .connector import Braze

__all__ = ["Braze", "BrazeConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[Braze]]:
    return [Braze]
