"""What an admin fills in for an Emarsys account."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from hub.sdk import ConnectorConfig, Url

EMAIL, OPT_IN = "3", "31"
# Without zeros before it, by which the opt-in could pass for another field.
FIELD = r"^[1-9][0-9]{0,9}$"


class EmarsysConfig(ConnectorConfig):
    api_version: Literal["v3", "v2"] = Field(
        "v3", description="v3 for OpenID Connect credentials; v2 for an API user of the old kind (WSSE)."
    )
    user: str = Field(min_length=1, description="The client id of the credentials; with v2 the API user's name.")
    secret: SecretStr = Field(min_length=8, description="The client secret; with v2 the API user's secret.")
    person: Literal["email", "external_id", "user_id"] = Field(
        "email", description="What contacts are known by: an address, the hub's external id, or another id."
    )
    key_field: str = Field(
        EMAIL,
        pattern=FIELD,
        description="The number of the contact field that holds it, which needs an index at Emarsys; 3 for addresses.",
    )
    new_contacts: Literal["create", "reject"] = Field(
        "create", description="What becomes of people who are no contacts yet: created, without an opt-in, or rejected."
    )
    requests_per_minute: int = Field(1000, ge=1, description="How many requests a minute the API user may make.")
    api_url: Url = Field("https://api.emarsys.net/api", description="The API's address; change it only for a gateway.")
    oauth_url: Url = Field(
        "https://auth.emarsys.net/oauth2/token", description="Where access tokens are given, for v3."
    )

    @model_validator(mode="after")
    def _keeps_the_opt_in_out(self) -> Self:
        if self.key_field == OPT_IN:
            raise ValueError("key_field 31 is the opt-in")
        if (self.person == "email") is not (self.key_field == EMAIL):
            raise ValueError("give the key_field that holds the person: 3 for addresses, another one for ids")
        return self
