"""OneSignal, user model: an audience is a tag on the user, and a segment that selects it."""

from hub.sdk import hookimpl

from .config import OneSignalConfig
from .connector import OneSignal

__all__ = ["OneSignal", "OneSignalConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[OneSignal]]:
    return [OneSignal]
