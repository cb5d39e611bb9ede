"""What an admin fills in for an ad account at Microsoft."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator

from hub.sdk import OAuthConfig, Url

SCOPE = "https://ads.microsoft.com/msads.manage"
Kind = Literal["email", "phone", "user_id"]


class MicrosoftConfig(OAuthConfig):
    developer_token: SecretStr = Field(min_length=1, description="The developer token of your manager account.")
    customer_id: str = Field(pattern=r"^[0-9]{1,20}$", description="The manager account's number (CustomerId).")
    account_id: str = Field(pattern=r"^[0-9]{1,20}$", description="The ad account's number (CustomerAccountId).")
    identifiers: tuple[Kind, ...] = Field(
        ("email",),
        min_length=1,
        description="What people are sent by: email; phone and user_id (as CRM ids) where Microsoft has enabled them.",
    )
    email_spelling: Literal["plain", "bare"] = Field(
        "plain", description="How addresses are spelled: plain, or bare of dots and of what follows a plus sign."
    )
    accept_terms: bool = Field(
        False,
        description="Whether each upload accepts the Customer Match terms; else accept them in the web interface.",
    )
    batch: int = Field(
        1000, ge=1, le=10_000, description="The most identifiers in a request; Microsoft names no number."
    )
    throttle_rest_s: int = Field(
        60, ge=1, le=3600, description="How many seconds to rest where Microsoft throttles and names no wait."
    )
    api_url: Url = Field(
        "https://campaign.api.bingads.microsoft.com/CampaignManagement/v13",
        description="The API's address; another one only for the sandbox or a gateway.",
    )
    oauth_url: Url = Field(
        "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        description="Where a refresh token is exchanged; your tenant's, if the app is only for it.",
    )

    @field_validator("identifiers")
    @classmethod
    def _are_named_once(cls, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if len(set(kinds)) < len(kinds):
            raise ValueError("name each kind of identifier once")
        return kinds

    @property
    def form(self) -> dict[str, str]:
        """The grant with its scope, without which Microsoft gives a token for something else."""
        return {**self.grant, "scope": f"{SCOPE} offline_access"}

    @property
    def headers(self) -> dict[str, str]:
        return {
            "DeveloperToken": self.developer_token.get_secret_value(),
            "CustomerId": self.customer_id,
            "CustomerAccountId": self.account_id,
        }
