"""SAP Emarsys: an audience is a contact list."""

from hub.sdk import hookimpl

from .config import EmarsysConfig
from .connector import Emarsys

__all__ = ["Emarsys", "EmarsysConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[Emarsys]]:
    return [Emarsys]
