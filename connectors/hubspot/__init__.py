"""HubSpot: an audience is a static list of contacts."""

from hub.sdk import hookimpl

from .config import HubSpotConfig
from .connector import HubSpot

__all__ = ["HubSpot", "HubSpotConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[HubSpot]]:
    return [HubSpot]
