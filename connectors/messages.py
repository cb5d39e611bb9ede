"""What the connectors have in common that tell of each person in a message: what it says, and whom they trust."""

from __future__ import annotations

import json
import ssl
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import certifi
from pydantic import Field, StringConstraints, field_validator

from hub.sdk import Audience, ConnectorConfig, Person, Server

HostPort = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,253}:[0-9]{1,5}$")]


class MessageConfig(ConnectorConfig):
    identifier: Literal["external_id", "email", "phone", "device_id", "ad_id", "push_token", "user_id"] = Field(
        "external_id", description="What names a person in the messages; external_id makes the member `id`."
    )
    security: Literal["tls", "plaintext"] = Field("tls", description="plaintext only where the network is trusted.")
    ca: str | None = Field(
        None,
        description="Certificates in PEM format that the servers' are signed with, if it is an authority of your own.",
    )

    @field_validator("ca")
    @classmethod
    def _holds_certificates(cls, ca: str | None) -> str | None:
        if ca is None:
            return None
        try:
            ssl.create_default_context(cadata=ca)
        except (ssl.SSLError, ValueError):
            raise ValueError("must be certificates in PEM format") from None
        return ca

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.ca, cafile=None if self.ca else certifi.where())

    def message(self, audience: Audience, person: Person, *, member: bool) -> bytes:
        """Whether the person belongs to the audience now, with the fields if so."""
        name = "id" if self.identifier == "external_id" else self.identifier
        told: dict[str, Any] = {"audience": audience.name, name: person.key, "member": member}
        told |= {"fields": dict(person.fields)} if member else {}
        return json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def parted(at: HostPort) -> tuple[str, int]:
    host, _, port = at.partition(":")
    return host, int(port)


def each_dialled(field: str, servers: Sequence[HostPort]) -> list[Server]:
    return [Server((field, str(number)), *parted(at)) for number, at in enumerate(servers)]


def printable(name: str) -> str:
    """For what goes beside a message: servers cut off whoever sends them control characters there."""
    return "".join(filter(str.isprintable, name))
