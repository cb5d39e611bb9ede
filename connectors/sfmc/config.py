"""What an admin fills in for a business unit of Marketing Cloud, and the data extension as it would be made."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from hub.sdk import ConnectorConfig

# Marketing Cloud's rule for names, without the letters beyond ASCII that it would take too.
COLUMN = r"^[A-Za-z_][A-Za-z0-9_ -]{0,49}$"
# Credentials go to a host of this name: with a dot or a slash in it, that could be anybody's.
ONE_LABEL = r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
# An address has 254 characters at most.
LONGEST_KEY = 254

Column = Annotated[str, Field(pattern=COLUMN)]


class MarketingCloudConfig(ConnectorConfig):
    subdomain: str = Field(
        pattern=ONE_LABEL, description="The tenant's own part of its addresses: SUBDOMAIN.rest.marketingcloudapis.com."
    )
    client_id: str = Field(
        min_length=8, description="Of an installed package's API integration, server to server, with the scopes named."
    )
    client_secret: SecretStr = Field(min_length=8, description="The secret that belongs to it.")
    account_id: str | None = Field(
        None, pattern=r"^\d{1,20}$", description="The business unit's MID; else the one that the package belongs to."
    )
    person: Literal["email", "external_id", "user_id"] = Field(
        "email", description="What names a person in a row: the e-mail address, the hub's external id or a user id."
    )
    person_column: Column = Field("Email", description="The column for that: the data extension's only primary key.")
    member_column: Column = Field("in_segment", description="The Boolean column that says who is in the audience.")
    create_data_extensions: bool = Field(
        True, description="Whether to make an audience's data extension where there is none of its name."
    )
    text_columns: tuple[Column, ...] = Field(
        (), max_length=100, description="Columns for mapped fields, of up to 254 characters, in those that are made."
    )
    folder_id: int | None = Field(None, ge=1, description="The id of the folder in which they are made; else the top.")
    subscriber_field: str | None = Field(
        None, min_length=1, description="Makes them sendable: what a row's key is to All Subscribers: _SubscriberKey."
    )
    batch: int = Field(
        1000, ge=1, le=32_000, description="The most rows in one request. Results of rows come 50 in an answer."
    )
    deadline_hours: int = Field(6, ge=1, le=72, description="How long a request may take until it counts as unknown.")

    @model_validator(mode="after")
    def _tells_columns_apart(self) -> Self:
        names = [name.lower() for name in (self.person_column, self.member_column, *self.text_columns)]
        if len(set(names)) < len(names):
            raise ValueError("person_column, member_column and text_columns must have different names")
        return self

    @property
    def auth_url(self) -> str:
        return f"https://{self.subdomain}.auth.marketingcloudapis.com/v2/token"

    @property
    def api_url(self) -> str:
        return f"https://{self.subdomain}.rest.marketingcloudapis.com"

    @property
    def grant(self) -> dict[str, str]:
        secret = self.client_secret.get_secret_value()
        of_the_unit = {"account_id": self.account_id} if self.account_id else {}
        return {"grant_type": "client_credentials", "client_id": self.client_id, "client_secret": secret, **of_the_unit}

    def definition(self, name: str, key: str) -> dict[str, Any]:
        """A data extension to be made: every other column may be empty."""
        kind = "EmailAddress" if self.person == "email" else "Text"
        columns = [{"name": self.person_column, "type": kind, "length": LONGEST_KEY, "isPrimaryKey": True}]
        columns += [{"name": self.member_column, "type": "Boolean"}]
        columns += [{"name": text, "type": "Text", "length": LONGEST_KEY} for text in self.text_columns]
        fields = [
            {"isPrimaryKey": False, **column, "ordinal": place, "isNullable": place > 0}
            for place, column in enumerate(columns)
        ]
        made: dict[str, Any] = {"name": name, "key": key, "fields": fields, "isSendable": False}
        if self.subscriber_field:
            made |= {"isSendable": True, "sendableCustomObjectField": self.person_column}
            made["sendableSubscriberField"] = self.subscriber_field
        return {**made, "categoryId": self.folder_id} if self.folder_id else made
