"""What an admin fills in for a Brevo account."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from hub.sdk import ConnectorConfig, Url, WebhookSecret


class BrevoConfig(ConnectorConfig):
    api_key: SecretStr = Field(min_length=8, description="An API key of the account, such as xkeysib-….")
    folder: str = Field(
        "Audience hub", min_length=1, max_length=100, description="The folder for the lists that the hub makes."
    )
    new_contacts: Literal["reject", "create"] = Field(
        "reject", description="What becomes of people who are no contacts yet: rejected, or created, who can be mailed."
    )
    requests_per_second: int = Field(
        10, ge=1, le=100, description="How many requests about contacts the plan allows: 10, or 20 on Enterprise."
    )
    webhook_secret: WebhookSecret | None = Field(
        None, description="Made up by you: by it the hub knows Brevo's webhooks, as a bearer token or in the address."
    )
    api_url: Url = Field("https://api.brevo.com/v3", description="The API's address; change it only for a gateway.")
