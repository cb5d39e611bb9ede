"""Meta, Marketing API: an audience is a Custom Audience from a customer list."""

from hub.sdk import hookimpl

from .config import MetaConfig
from .connector import Meta

__all__ = ["Meta", "MetaConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[Meta]]:
    return [Meta]
