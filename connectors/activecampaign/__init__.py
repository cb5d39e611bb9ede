"""ActiveCampaign, API v3: an audience is a tag on contacts."""

from hub.sdk import hookimpl

from .config import ActiveCampaignConfig
from .connector import ActiveCampaign

__all__ = ["ActiveCampaign", "ActiveCampaignConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[ActiveCampaign]]:
    return [ActiveCampaign]
