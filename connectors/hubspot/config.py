"""What an admin fills in for a HubSpot account."""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator

from hub.sdk import ConnectorConfig, Url


class HubSpotConfig(ConnectorConfig):
    access_token: SecretStr = Field(min_length=8, description="The token of a private app or a service key: pat-….")
    new_contacts: Literal["reject", "create"] = Field(
        "reject", description="What becomes of people who are no contacts yet: rejected, or created."
    )
    api_version: str = Field(
        "2026-03", pattern=r"^(v3|\d{4}-\d{2})$", description="The API's version: a month, or v3 for the old addresses."
    )
    requests_per_10s: int = Field(
        100, ge=1, le=1000, description="Requests the account allows in ten seconds: 100, on large plans 190 or 250."
    )
    requests_per_day: int = Field(
        250_000, ge=1, description="Requests the account allows a day, all its apps together; leave some to the others."
    )
    time_zone: str = Field(
        "UTC", description="The account's time zone, such as Europe/Berlin: at midnight there the day's count begins."
    )
    client_secret: SecretStr | None = Field(
        None, min_length=8, description="The app's client secret, with which HubSpot signs its webhooks."
    )
    signed_address: str | None = Field(
        None, description="The webhooks' target as HubSpot knows it, where a proxy shows the hub another one."
    )
    unsubscribed_property: str = Field(
        "hs_email_optout", pattern=r"^\w+$", description="The contact property that turns true with an unsubscribe."
    )
    bounced_property: str = Field(
        "hs_email_hard_bounce_reason_enum", pattern=r"^\w+$", description="The one that is filled by a hard bounce."
    )
    api_url: Url = Field("https://api.hubapi.com", description="The API's address; change it only for a gateway.")

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError("is no time zone: give one such as Europe/Berlin") from None
        return zone

    @property
    def lists_url(self) -> str:
        return (
            f"{self._root}/crm/v3/lists" if self.api_version == "v3" else f"{self._root}/crm/lists/{self.api_version}"
        )

    @property
    def contacts_url(self) -> str:
        objects = "/crm/v3/objects" if self.api_version == "v3" else f"/crm/objects/{self.api_version}"
        return f"{self._root}{objects}/contacts"

    @property
    def account_url(self) -> str:
        return f"{self._root}/account-info/{self.api_version}/details"

    @property
    def _root(self) -> str:
        return self.api_url.rstrip("/")
