"""What an admin fills in for NATS."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator

from connectors.messages import HostPort, MessageConfig, each_dialled
from hub.sdk import Server

_CREDENTIALS = re.compile(
    r"-+BEGIN NATS USER JWT-+\n[\w.-]+\n-+END NATS USER JWT-+\n.*"
    r"-+BEGIN USER NKEY SEED-+\nSU[A-Z2-7]{56}\n-+END USER NKEY SEED-+",
    re.DOTALL,
)


def _credentials(given: SecretStr) -> SecretStr:
    """As `nsc` writes them; line ends may have suffered on the way."""
    plain = "\n".join(given.get_secret_value().split("\r\n")).strip() + "\n"
    if not _CREDENTIALS.search(plain):
        raise ValueError("must be a credentials file, whole: a user's JWT and a seed")
    return SecretStr(plain)


class NatsConfig(MessageConfig):
    servers: list[HostPort] = Field(
        min_length=1,
        max_length=20,
        description="HOST:PORT of servers, tried one after the other, and no others. The operator must list each.",
    )
    bucket: str = Field(
        "audiences", pattern=r"^[A-Za-z0-9_-]{1,200}$", description="The key-value bucket, which must be there."
    )
    username: str | None = Field(None, min_length=1, max_length=500, description="The user to log in as, if by name.")
    password: SecretStr | None = Field(None, description="The user's password.")
    token: SecretStr | None = Field(None, description="Instead, the token that the servers ask for.")
    credentials: Annotated[SecretStr, AfterValidator(_credentials)] | None = Field(
        None, description="Instead, a credentials file (.creds), whole: the user's JWT and the seed that signs."
    )
    batch: int = Field(1_000, ge=1, le=20_000, description="The most people in one call.")

    @model_validator(mode="after")
    def _fits_together(self) -> NatsConfig:
        if bool(self.username) != bool(self.password):
            raise ValueError("a username and a password belong together")
        if sum(map(bool, (self.username, self.token, self.credentials))) > 1:
            raise ValueError("give a username, a token or credentials, only one of them")
        if self.security == "plaintext" and (self.password or self.token):
            raise ValueError("plaintext would show the password or token to the network: use tls or credentials")
        return self

    def dials(self) -> list[Server]:
        return each_dialled("servers", self.servers)
