"""Kafka: see `connector`."""

from __future__ import annotations

from connectors.kafka.config import KafkaConfig
from connectors.kafka.connector import Kafka
from hub.sdk import hookimpl, insist_installed

insist_installed("confluent_kafka", "audience-hub[kafka]")

__all__ = ["Kafka", "KafkaConfig"]


@hookimpl
def hub_connectors() -> list[type[Kafka]]:
    return [Kafka]
