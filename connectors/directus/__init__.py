"""Directus: an audience is the rows of one junction collection that name it."""

from hub.sdk import hookimpl

from .config import DirectusConfig
from .connector import Directus

__all__ = ["Directus", "DirectusConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[Directus]]:
    return [Directus]
