"""Ghost: an audience is a label on members."""

from hub.sdk import hookimpl

from .config import GhostConfig
from .connector import Ghost

__all__ = ["Ghost", "GhostConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[Ghost]]:
    return [Ghost]
