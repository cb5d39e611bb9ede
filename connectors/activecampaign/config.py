"""What an admin fills in for an ActiveCampaign account."""

from __future__ import annotations

from pydantic import Field, SecretStr

from hub.sdk import ConnectorConfig, Url

MOST_IN_ONE_IMPORT = 250


class ActiveCampaignConfig(ConnectorConfig):
    api_url: Url = Field(
        description="The account's API address, from Settings > Developer: https://ACCOUNT.api-us1.com."
    )
    token: SecretStr = Field(description="The API key, from the same page; it may do what its user may.")
    run_automations: bool = Field(
        False, description="Whether imports start the automations that wait for new contacts and for the tag."
    )
    batch: int = Field(
        50,
        ge=1,
        le=MOST_IN_ONE_IMPORT,
        description="The most people in one import. As many may have to be removed in one call, at two requests each.",
    )
    requests_per_second: int = Field(5, ge=1, le=100, description="What the account may ask for in a second.")
