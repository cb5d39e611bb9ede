"""What an admin fills in for an ad account at Meta."""

from __future__ import annotations

import hmac
from typing import Literal

from pydantic import Field, SecretStr

from hub.sdk import ConnectorConfig, Url

Source = Literal["USER_PROVIDED_ONLY", "PARTNER_PROVIDED_ONLY", "BOTH_USER_AND_PARTNER_PROVIDED"]


class MetaConfig(ConnectorConfig):
    access_token: SecretStr = Field(
        min_length=8, description="A system user's access token with the permission `ads_management`."
    )
    ad_account_id: str = Field(
        pattern=r"^(act_)?[0-9]{1,20}$", description="The ad account's number, with or without act_ before it."
    )
    app_secret: SecretStr | None = Field(
        None, description="The app's secret, where the app insists on a proof of it (appsecret_proof) with every call."
    )
    api_version: str = Field("v25.0", pattern=r"^v[0-9]{2}\.0$", description="The version of the Graph API.")
    customer_file_source: Source = Field(
        "USER_PROVIDED_ONLY", description="Where your customers' data comes from: Meta shows it with new audiences."
    )
    customer_consent: bool | None = Field(
        None, description="Sent along as customer_consent if it is set, as Meta's guide shows; left out unless set."
    )
    api_url: Url = Field("https://graph.facebook.com", description="The API's address; change it only for a gateway.")

    @property
    def base(self) -> str:
        return f"{self.api_url.rstrip('/')}/{self.api_version}"

    @property
    def account(self) -> str:
        return f"act_{self.ad_account_id.removeprefix('act_')}"

    @property
    def proof(self) -> dict[str, str]:
        """Shows that the token is used by the app it was made for, without showing the app's secret."""
        if self.app_secret is None:
            return {}
        secret, token = self.app_secret.get_secret_value(), self.access_token.get_secret_value()
        return {"appsecret_proof": hmac.digest(secret.encode(), token.encode(), "sha256").hex()}
