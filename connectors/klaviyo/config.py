"""What an admin fills in for a Klaviyo account."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from hub.sdk import ConnectorConfig, Url


class KlaviyoConfig(ConnectorConfig):
    api_key: SecretStr = Field(min_length=8, description="A private API key (pk_…) with the scopes that are named.")
    new_profiles: Literal["create", "reject"] = Field(
        "create",
        description="What becomes of people whom Klaviyo does not know: profiles without a subscription, or rejected.",
    )
    batch: int = Field(
        1000, ge=1, le=10_000, description="People in one import job: up to 10,000, but no more than 5 MB of them."
    )
    api_version: str = Field(
        "2026-07-15", pattern=r"^\d{4}-\d{2}-\d{2}(\.[a-z]+)?$", description="The API's revision, a date."
    )
    webhook_secret: SecretStr | None = Field(
        None, min_length=16, description="The secret of the system webhook by which Klaviyo tells who unsubscribed."
    )
    signed_content: Literal["body+timestamp", "timestamp+body", "body"] = Field(
        "body+timestamp", description="What the webhook's signature covers, in which order."
    )
    api_url: Url = Field("https://a.klaviyo.com/api", description="The API's address; change it only for a gateway.")
