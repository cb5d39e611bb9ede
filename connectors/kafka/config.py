"""What an admin fills in for Kafka."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from connectors.messages import HostPort, MessageConfig, each_dialled, parted
from hub.sdk import Server


class KafkaConfig(MessageConfig):
    bootstrap: list[HostPort] = Field(
        min_length=1,
        max_length=20,
        description="Brokers to begin with, HOST:PORT. The operator must list these and every broker they lead to.",
    )
    topic: str = Field(
        "audience.{audience}",
        pattern=r"^[A-Za-z0-9._-]{0,90}(\{audience\})?[A-Za-z0-9._-]{0,90}$",
        min_length=1,
        description="The topic; {audience} stands for the audience's name. Without it all audiences share one topic.",
    )
    removes: Literal["tombstone", "record"] = Field(
        "tombstone", description="Whether a remove has no value, as compacted topics want it, or one that says so."
    )
    sasl: Literal["none", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "none", description="How to log in to the brokers."
    )
    username: str | None = Field(None, description="With SASL.")
    password: SecretStr | None = Field(None, description="With SASL.")
    largest_record: int = Field(
        1_000_000, ge=1000, le=100_000_000, description="Bytes; what is larger is rejected, as the topic would."
    )
    batch: int = Field(5_000, ge=1, le=50_000, description="The most people in one call.")

    @model_validator(mode="after")
    def _fits_together(self) -> KafkaConfig:
        if self.sasl != "none" and not (self.username and self.password):
            raise ValueError("sasl needs a username and a password")
        if self.sasl == "PLAIN" and self.security == "plaintext":
            raise ValueError("sasl PLAIN would show the password to the network: use tls or SCRAM")
        return self

    def dials(self) -> list[Server]:
        return each_dialled("bootstrap", self.bootstrap)

    @property
    def brokers(self) -> list[tuple[str, int]]:
        return list(map(parted, self.bootstrap))
