"""NATS: see `connector`."""

from __future__ import annotations

from connectors.nats.config import NatsConfig
from connectors.nats.connector import Nats
from hub.sdk import hookimpl, insist_installed

insist_installed("nats", "audience-hub[nats]")

__all__ = ["Nats", "NatsConfig"]


@hookimpl
def hub_connectors() -> list[type[Nats]]:
    return [Nats]
