"""Microsoft Advertising, Customer Match: an audience is a customer list."""

from hub.sdk import hookimpl

from .config import MicrosoftConfig
from .connector import Microsoft

__all__ = ["Microsoft", "MicrosoftConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[Microsoft]]:
    return [Microsoft]
