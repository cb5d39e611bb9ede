"""What an admin fills in for MQTT."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from connectors.messages import MessageConfig
from hub.sdk import Server

PARTS = ("{audience}", "{person}")
# Wildcards and characters that brokers may refuse; what begins with a dollar is the broker's own.
_UNFIT = re.compile(r"^\$|[+#{}\x00-\x1f\x7f-\x9f]")


def _topic(topic: str) -> str:
    around = topic
    for part in PARTS:
        if topic.count(part) != 1:
            raise ValueError(f"must hold {part} once: a topic keeps the last word on one person")
        around = around.replace(part, "")
    if _UNFIT.search(around):
        raise ValueError("holds what no topic may: wildcards, control characters, or a $ in front")
    return topic


class MqttConfig(MessageConfig):
    host: str = Field(min_length=1, max_length=253, description="The broker's name; the operator must list HOST:PORT.")
    port: int = Field(8883, ge=1, le=65535, description="The broker's port; 1883 is usual for plaintext.")
    topic: Annotated[str, AfterValidator(_topic)] = Field(
        "audiences/{audience}/{person}",
        max_length=500,
        description="A person's topic: {audience} stands for the audience's name, {person} for what names the person.",
    )
    removes: Literal["empty", "message"] = Field(
        "empty",
        description="Whether a remove is an empty message, by which the broker forgets the person, or says so.",
    )
    username: str | None = Field(None, min_length=1, max_length=500, description="The user to log in as.")
    password: SecretStr | None = Field(None, description="The user's password, or whatever the broker takes for one.")
    client_id: str = Field(
        "hub",
        pattern=r"^[A-Za-z0-9._:-]{0,64}$",
        description="What client ids begin with; sixteen letters and digits follow, since connections have one each.",
    )
    batch: int = Field(1_000, ge=1, le=20_000, description="The most people in one call.")

    @model_validator(mode="after")
    def _keeps_the_password(self) -> MqttConfig:
        if self.password and self.security == "plaintext":
            raise ValueError("plaintext would show the password to the network: use tls")
        return self

    def dials(self) -> list[Server]:
        return [Server(("host",), self.host, self.port)]

    @property
    def at(self) -> str:
        return f"{self.host}:{self.port}"
