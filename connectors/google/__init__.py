"""Google, Data Manager API: an audience is a Customer Match list."""

from hub.sdk import hookimpl

from .config import GoogleConfig
from .connector import Google

__all__ = ["Google", "GoogleConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[Google]]:
    return [Google]
