"""Klaviyo, JSON:API with dated revisions: an audience is a list."""

from hub.sdk import hookimpl

from .config import KlaviyoConfig
from .connector import Klaviyo

__all__ = ["Klaviyo", "KlaviyoConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[Klaviyo]]:
    return [Klaviyo]
