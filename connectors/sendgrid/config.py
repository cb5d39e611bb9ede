"""What an admin fills in for a SendGrid account."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator

from hub.sdk import ConnectorConfig, Url

from .signatures import verification_key

HOSTS = {"global": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"}


class SendGridConfig(ConnectorConfig):
    api_key: SecretStr = Field(min_length=8, description="An API key, such as SG.…, with full access to Marketing.")
    region: Literal["global", "eu"] = Field("global", description="Where the account lives: eu for EU-pinned subusers.")
    batch: int = Field(
        10_000, ge=1, le=30_000, description="The most people in one request; SendGrid takes 30,000, and 6 MB."
    )
    search_lag_s: int = Field(
        300, ge=0, le=1800, description="How long after its job a contact may stay hidden from searches, in seconds."
    )
    verification_key: str | None = Field(
        None, description="The verification key of the signed event webhook, by which the hub knows SendGrid."
    )
    oldest_signature_s: int = Field(
        300, ge=300, le=90_000, description="How old the signature of an event may be, in seconds."
    )
    unsubscribe_groups: list[int] = Field(
        [], description="The unsubscribe groups whose unsubscribes count here; all of them if none is named."
    )
    api_url: Url | None = Field(None, description="Only for a gateway: the API's address, else that of the region.")

    @field_validator("verification_key")
    @classmethod
    def _is_a_key(cls, key: str | None) -> str | None:
        if key is not None:
            verification_key(key)
        return key

    @property
    def base(self) -> str:
        return (self.api_url or HOSTS[self.region]).rstrip("/")
