"""Brevo, API v3: an audience is a list of its own."""

from hub.sdk import hookimpl

from .config import BrevoConfig
from .connector import Brevo

__all__ = ["Brevo", "BrevoConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[Brevo]]:
    return [Brevo]
