"""Salesforce Marketing Cloud (Engagement): an audience is a data extension with a yes or no in each row."""

from hub.sdk import hookimpl

from .config import MarketingCloudConfig
from .connector import MarketingCloud

__all__ = ["MarketingCloud", "MarketingCloudConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[MarketingCloud]]:
    return [MarketingCloud]
