"""MQTT: see `connector`."""

from __future__ import annotations

from connectors.mqtt.config import MqttConfig
from connectors.mqtt.connector import Mqtt
from hub.sdk import hookimpl, insist_installed

insist_installed("mqtt5", "audience-hub[mqtt]")

__all__ = ["Mqtt", "MqttConfig"]


@hookimpl
def hub_connectors() -> list[type[Mqtt]]:
    return [Mqtt]
