"""What an admin fills in for a Mailchimp account."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from hub.sdk import ConnectorConfig, Url, WebhookSecret


class MailchimpConfig(ConnectorConfig):
    api_key: SecretStr = Field(description="An API key of the account; what follows its dash names the data centre.")
    list_id: str = Field(pattern=r"^[0-9a-zA-Z]+$", description="The id of the list (Mailchimp calls it an audience).")
    new_contacts: Literal["reject", "transactional", "subscribed"] = Field(
        "reject", description="What becomes of people who are not on the list: rejected, or created with that status."
    )
    webhook_secret: WebhookSecret | None = Field(
        None, description="Made up by you: the last part of the webhook's address, by which the hub knows Mailchimp."
    )
    api_url: Url | None = Field(None, description="Only for a gateway: the API's address, else found from the key.")

    @field_validator("api_key")
    @classmethod
    def _names_its_data_centre(cls, key: SecretStr) -> SecretStr:
        if not re.fullmatch(r"\S+-[a-z]{2,4}[0-9]{1,3}", key.get_secret_value()):
            raise ValueError("must end in a dash and the data centre, such as -us21")
        return key

    @property
    def list_url(self) -> str:
        """The list's address at the API; the data centre is part of the key."""
        centre = self.api_key.get_secret_value().rpartition("-")[2]
        base = self.api_url or f"https://{centre}.api.mailchimp.com/3.0"
        return f"{base.rstrip('/')}/lists/{self.list_id}"
