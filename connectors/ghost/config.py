"""What an admin fills in for a Ghost site."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from hub.sdk import ConnectorConfig, Url


class GhostConfig(ConnectorConfig):
    url: Url = Field(description="The address under which Ghost Admin opens, such as https://example.ghost.io.")
    admin_api_key: SecretStr = Field(description="The Admin API key of a custom integration: an id, a colon, a secret.")
    new_members: Literal["reject", "create"] = Field(
        "reject", description="What becomes of people who are no members: rejected, or created without newsletters."
    )
    webhook_secret: SecretStr | None = Field(
        None, min_length=8, description="The secret of the webhook `member.edited`, to hear of those who unsubscribe."
    )
    api_version: str = Field(
        "v6.0", pattern=r"^v[0-9]{1,2}\.[0-9]{1,3}$", description="The version of Ghost's API to speak."
    )

    @field_validator("admin_api_key")
    @classmethod
    def _has_two_parts(cls, key: SecretStr) -> SecretStr:
        if not re.fullmatch(r"[0-9a-f]{24}:(?:[0-9a-f]{2}){32,}", key.get_secret_value()):
            raise ValueError("must be 24 hexadecimal digits, a colon, and a secret of at least 64 more")
        return key

    @property
    def api(self) -> str:
        return f"{self.url.rstrip('/')}/ghost/api/admin"
