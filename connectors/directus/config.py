"""What an admin fills in for a Directus project, and the collection as it would be made."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from hub.sdk import ConnectorConfig, Url

NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"


class DirectusConfig(ConnectorConfig):
    url: Url = Field(description="The project's address, such as https://cms.example.com.")
    token: SecretStr = Field(min_length=8, description="A static access token of a user made for the hub.")
    collection: str = Field("cdp_membership", pattern=NAME, description="The collection that holds the memberships.")
    id_field: str = Field("id", pattern=NAME, description="Its primary key: a text or UUID that the hub chooses.")
    person_field: str = Field("person_key", pattern=NAME, description="The field that names the person.")
    segment_field: str = Field("segment_key", pattern=NAME, description="The field that names the audience.")
    person: Literal["external_id", "email", "user_id"] = Field(
        "external_id", description="What names a person there: the hub's external id, the e-mail address or a user id."
    )
    create_collection: bool = Field(
        False, description="Whether to make the collection where it is missing; the token must be an administrator's."
    )
    batch: int = Field(250, ge=1, le=1000, description="The most rows in one request; see MAX_PAYLOAD_SIZE.")

    @model_validator(mode="after")
    def _is_told_apart(self) -> Self:
        if len({self.id_field, self.person_field, self.segment_field}) < 3:
            raise ValueError("the three fields must have three names")
        return self

    def definition(self) -> dict[str, Any]:
        """The collection without anybody's history: Directus would keep what was erased in its activity log."""
        ours = {"hidden": False, "readonly": True}
        texts = [
            {"field": name, "type": "string", "meta": ours, "schema": {"is_nullable": False, "is_indexed": True}}
            for name in (self.person_field, self.segment_field)
        ]
        primary = {"is_primary_key": True, "is_nullable": False, "length": 36, "has_auto_increment": False}
        return {
            "collection": self.collection,
            "meta": {"accountability": None, "icon": "group", "note": "Memberships, kept by the audience hub."},
            "schema": {},
            "fields": [{"field": self.id_field, "type": "string", "meta": ours, "schema": primary}, *texts],
        }
