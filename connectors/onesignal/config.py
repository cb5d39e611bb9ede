"""What an admin fills in for a OneSignal app."""

from __future__ import annotations

from pydantic import Field, SecretStr

from hub.sdk import ConnectorConfig, Url, WebhookSecret

EXTERNAL_ID = "external_id"


class OneSignalConfig(ConnectorConfig):
    app_id: str = Field(pattern=r"^[0-9a-fA-F-]{36}$", description="The app's id, under Settings > Keys & IDs.")
    api_key: SecretStr = Field(min_length=8, description="The app's REST API key, from the same page.")
    alias: str = Field(
        EXTERNAL_ID, pattern=r"^[A-Za-z0-9_]{1,64}$", description="The alias by which the app knows its users."
    )
    tag_prefix: str = Field(
        "seg_", pattern=r"^[A-Za-z0-9_]{0,32}$", description="Begins the tags that mark audiences, apart from others."
    )
    define_segments: bool = Field(
        True, description="Whether to define a segment for each tag; needs a plan on which segments can be made."
    )
    webhook_secret: WebhookSecret | None = Field(
        None,
        description="Made up by you: by it the hub knows the event stream, as a bearer token or in the address.",
    )
    auth_scheme: str = Field(
        "Key", pattern=r"^(Key|Basic|Bearer)$", description="The word before the key; Basic for keys of the old kind."
    )
    api_url: Url = Field("https://api.onesignal.com", description="The API's address; change it only for a gateway.")
