"""What an admin fills in for an Iterable project."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from hub.sdk import ConnectorConfig, Url


class IterableConfig(ConnectorConfig):
    api_key: SecretStr = Field(
        min_length=8, description="A server-side API key of the project: Integrations > API Keys."
    )
    region: Literal["us", "eu"] = Field("us", description="Where the project lives: the American or the European site.")
    person: Literal["email", "external_id", "user_id"] = Field(
        "email",
        description="What the project knows users by: an address, or a userId: the hub's external id or another.",
    )
    create_users: bool = Field(
        False,
        description="Whether people whom the project does not know become users, who can be mailed."
        " Projects that are based on e-mail make users of them all the same.",
    )
    requests_per_second: int = Field(5, ge=1, le=500, description="How many requests a second the project may make.")
    api_url: Url | None = Field(None, description="Only for a gateway: the API's address, else that of the region.")
