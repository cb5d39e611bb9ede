"""What an admin fills in for an advertiser's account at Google."""

from __future__ import annotations

from typing import Literal
from zoneinfo import available_timezones

from pydantic import Field, SecretStr, field_validator, model_validator

from hub.sdk import ConnectorConfig, ServiceAccount, Url

AccountType = Literal["GOOGLE_ADS", "DISPLAY_VIDEO_ADVERTISER", "DISPLAY_VIDEO_PARTNER"]


class GoogleConfig(ConnectorConfig):
    account_id: str = Field(
        pattern=r"^[0-9]{3,12}$|^[0-9]{3}-[0-9]{3}-[0-9]{4}$",
        description="The account that owns the lists: its number.",
    )
    account_type: AccountType = Field("GOOGLE_ADS", description="Which product the account belongs to.")
    login_account_id: str | None = Field(
        None,
        pattern=r"^[0-9-]{3,14}$",
        description="The manager account through which the credentials reach it, if so.",
    )
    service_account: SecretStr | None = Field(
        None, description="The JSON key file of a service account that is a user of the account; or the three below."
    )
    client_id: str | None = Field(None, description="The OAuth client's id, where a person has given access.")
    client_secret: SecretStr | None = Field(None, description="The OAuth client's secret.")
    refresh_token: SecretStr | None = Field(None, description="The refresh token that the person's consent gave.")
    terms_accepted: bool = Field(
        description="That you have accepted the Customer Match terms of service: Google takes nobody before."
    )
    upload: Literal["contacts", "devices"] = Field(
        "contacts", description="What lists hold: e-mail addresses and phone numbers, or mobile ad ids. Never both."
    )
    app_id: str | None = Field(None, description="Of devices: the app that the ids come from, by its id in the store.")
    platform: Literal["ANDROID", "IOS"] = Field("ANDROID", description="Of devices: what the app runs on.")
    membership_days: int = Field(540, ge=1, le=540, description="After how many days Google drops people by itself.")
    name_by_index: bool = Field(
        False, description="Whether to believe the row numbers that Google gives for some errors, counted from 0."
    )
    first_look_s: float = Field(1800.0, ge=0, description="Seconds before a request's outcome is first asked for.")
    deadline_hours: float = Field(24.0, gt=0, description="After how many hours a request's outcome is given up.")
    requests_per_minute: int = Field(300, ge=1, description="What the project's quota allows a minute.")
    requests_per_day: int = Field(100_000, ge=1, description="What the project's quota allows a day.")
    quota_zone: str = Field("America/Los_Angeles", description="The time zone in which the quota's day begins.")
    api_url: Url = Field(
        "https://datamanager.googleapis.com", description="The API's address; change it only for a gateway."
    )
    oauth_url: Url = Field(
        "https://oauth2.googleapis.com/token",
        description="Where a refresh token is exchanged; change it only for tests.",
    )

    @field_validator("service_account")
    @classmethod
    def _is_a_key_file(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            ServiceAccount.read(key.get_secret_value())
        return key

    @field_validator("quota_zone")
    @classmethod
    def _is_a_time_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError("must be the name of a time zone, such as America/Los_Angeles")
        return zone

    @model_validator(mode="after")
    def _is_whole(self) -> GoogleConfig:
        person = (self.client_id, self.client_secret, self.refresh_token)
        if (self.service_account is None) == (None in person) or (self.service_account and any(person)):
            raise ValueError("give either service_account, or client_id, client_secret and refresh_token")
        if self.upload == "devices" and not self.app_id:
            raise ValueError("devices need app_id: Google keeps a list for each app")
        if not self.terms_accepted:
            raise ValueError("accept Google's Customer Match terms of service, and say so in terms_accepted")
        return self

    @property
    def account(self) -> dict[str, str]:
        return {"accountType": self.account_type, "accountId": self.account_id.replace("-", "")}

    @property
    def login_account(self) -> dict[str, str] | None:
        login = self.login_account_id
        return {"accountType": self.account_type, "accountId": login.replace("-", "")} if login else None

    @property
    def grant(self) -> dict[str, str]:
        """What a refresh token is exchanged with."""
        secrets = {"client_secret": self.client_secret, "refresh_token": self.refresh_token}
        shown = {name: secret.get_secret_value() for name, secret in secrets.items() if secret}
        return {"grant_type": "refresh_token", "client_id": self.client_id or "", **shown}
