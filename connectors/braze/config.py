"""What an admin fills in for a Braze workspace."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from hub.sdk import ConnectorConfig, Url

MOST, MOST_IN_BULK = 75, 1000


class BrazeConfig(ConnectorConfig):
    instance: str = Field(
        pattern=r"^rest\.[a-z]{2,8}-[0-9]{2}\.braze\.(com|eu)$",
        description="Your instance's REST endpoint, such as rest.fra-01.braze.eu: Settings > APIs and Identifiers.",
    )
    api_key: SecretStr = Field(
        min_length=8, description="A REST API key with users.track (users.track.bulk with `bulk`) and users.delete."
    )
    person: Literal["external_id", "user_id", "email"] = Field(
        "external_id", description="What Braze knows users by: the hub's external id, a user id, or an address."
    )
    alias_label: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="The label of the user alias that holds it; without one it is Braze's external_id.",
    )
    attribute_prefix: str = Field(
        "seg_", pattern=r"^[A-Za-z0-9_]{0,32}$", description="Begins the attributes that mark audiences."
    )
    bulk: bool = Field(False, description="Whether to use /users/track/bulk, which not every account has.")
    batch: int | None = Field(
        None, ge=1, le=MOST_IN_BULK, description="The most users in one request: 75 unless set, or 1,000 with `bulk`."
    )
    api_url: Url | None = Field(None, description="Only for a gateway: the API's address, else that of the instance.")

    @property
    def most(self) -> int:
        return self.batch or (MOST_IN_BULK if self.bulk else MOST)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.most > MOST and not self.bulk:
            raise ValueError(f"more than {MOST} users in one request need bulk")
        if self.person == "email" and not self.alias_label:
            raise ValueError("addresses need an alias_label: several users of Braze may share one address")
        return self
