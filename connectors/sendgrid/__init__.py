"""SendGrid Marketing Campaigns, API v3: an audience is a list of its own."""

from hub.sdk import hookimpl

from .config import SendGridConfig
from .connector import SendGrid

__all__ = ["SendGrid", "SendGridConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[SendGrid]]:
    return [SendGrid]
