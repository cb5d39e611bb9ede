"""What an admin fills in for an advertiser at The Trade Desk, and how a request shows that it comes from there."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from hub.sdk import ConnectorConfig, Url

Kind = Literal["ad_id", "device_id", "user_id"]
IdType = Literal["DAID", "TDID", "UID2", "EUID", "RampID", "ID5", "NetID"]
Region = Literal["us_east", "us_west", "europe", "asia", "tokyo"]

SERVERS: Mapping[Region, str] = {
    "us_east": "https://use-data.adsrvr.org",
    "us_west": "https://usw-data.adsrvr.org",
    "europe": "https://euw-data.adsrvr.org",
    "asia": "https://sin-data.adsrvr.org",
    "tokyo": "https://tok-data.adsrvr.org",
}


class TradeDeskConfig(ConnectorConfig):
    advertiser_id: str = Field(
        pattern=r"^[A-Za-z0-9]{3,32}$", description="The advertiser's id, from Advertiser Preferences."
    )
    region: Region = Field(
        description="Which data servers take your people's data: those closest to where it comes from."
    )
    secret_key: SecretStr | None = Field(
        None, min_length=1, description="The advertiser's secret key, with which each request is signed; or a token."
    )
    api_token: SecretStr | None = Field(
        None, min_length=1, description="A token of the Data API, where The Trade Desk gives you one instead of a key."
    )
    identifiers: Mapping[Kind, IdType] = Field(
        {"ad_id": "DAID"},
        min_length=1,
        description="What your people are sent by: each kind with the type of id that it is at The Trade Desk.",
    )
    membership_days: int = Field(
        180, ge=1, le=180, description="After how many days The Trade Desk drops people who were not sent again."
    )
    batch: int = Field(
        1600, ge=1, le=10_000, description="The most ids in one request; the vendor's own client sends 1,600."
    )
    api_url: Url | None = Field(None, description="Only for a gateway or servers of no region: the address instead.")

    @field_validator("identifiers")
    @classmethod
    def _are_of_types_of_their_own(cls, identifiers: Mapping[Kind, IdType]) -> Mapping[Kind, IdType]:
        if len(set(identifiers.values())) < len(identifiers):
            raise ValueError("must hold each type of id once: else one removal would undo another's addition")
        return identifiers

    @model_validator(mode="after")
    def _has_one_way_in(self) -> TradeDeskConfig:
        if (self.secret_key is None) is (self.api_token is None):
            raise ValueError("give either secret_key or api_token")
        return self

    @property
    def base(self) -> str:
        return (self.api_url or SERVERS[self.region]).rstrip("/")

    def proof(self, body: bytes) -> dict[str, str]:
        """Shows that the request comes from the advertiser: the body's signature, or the token as it is."""
        if self.api_token:
            return {"TTD-Auth": self.api_token.get_secret_value()}
        key = self.secret_key.get_secret_value() if self.secret_key else ""
        return {"TtdSignature": base64.b64encode(hmac.digest(key.encode(), body, "sha1")).decode()}
