"""LinkedIn, Matched Audiences: an audience is a DMP segment of users, to which people are streamed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import cached_property
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, Field, SecretStr, model_validator

from hub.sdk import (
    AccessTokens,
    Account,
    ApiVersion,
    Audience,
    AuthError,
    Batch,
    Capabilities,
    Channel,
    Connector,
    ConnectorConfig,
    ConnectorError,
    Outcome,
    OutcomeKind,
    Person,
    RefreshedTokens,
    RefusedError,
    Response,
    Result,
    Token,
    TransientError,
    Url,
    Window,
    by_status,
    hookimpl,
    scrubbed,
)

# LinkedIn asks for 5 seconds until a new segment can be written to; others have seen two minutes.
SETTLING_S = 15.0
FIELDS = ("firstName", "lastName", "title", "company", "country")
# Of a row or of a request: somebody else is at it, or it is too much at once.
PASSES = frozenset({404, 408, 409, 423, 425, 429})


class LinkedInConfig(ConnectorConfig):
    account_id: str = Field(pattern=r"^[0-9]{1,20}$", description="The ad account's number, from Campaign Manager.")
    access_token: SecretStr | None = Field(
        None, description="A member's access token with rw_dmp_segments; it lapses after 60 days. Or the three below."
    )
    client_id: str | None = Field(None, description="The app's client id, where access is renewed by refresh token.")
    client_secret: SecretStr | None = Field(None, description="The app's client secret.")
    refresh_token: SecretStr | None = Field(None, description="The refresh token that the member's consent gave.")
    api_version: str = Field(
        "202604",
        pattern=r"^20[0-9]{2}(0[1-9]|1[0-2])$",
        description="The month of the API's version, as LinkedIn writes it.",
    )
    source_platform: str = Field(
        "STREAMING",
        pattern=r"^[A-Z][A-Z0-9_]{1,60}$",
        description="The source platform that LinkedIn knows your app as.",
    )
    segment_type: Literal["USER", "USER_STREAMING"] = Field(
        "USER", description="What LinkedIn calls a segment of users that are streamed to it."
    )
    ad_id_type: Literal["GOOGLE_AID", "APPLE_IDFA"] = Field(
        "GOOGLE_AID", description="Which mobile ad ids your people have: Android's or Apple's."
    )
    requests_per_minute: int = Field(600, ge=1, description="What LinkedIn allows the member a minute.")
    api_url: Url = Field(
        "https://api.linkedin.com/rest", description="The API's address; change it only for a gateway."
    )
    oauth_url: Url = Field(
        "https://www.linkedin.com/oauth/v2/accessToken", description="Where a refresh token is exchanged."
    )

    @model_validator(mode="after")
    def _names_one_way_in(self) -> LinkedInConfig:
        renewed = (self.client_id, self.client_secret, self.refresh_token)
        if (self.access_token is None) == (None in renewed) or (self.access_token and any(renewed)):
            raise ValueError("give either access_token, or client_id, client_secret and refresh_token")
        return self

    @property
    def grant(self) -> dict[str, str]:
        secrets = {"client_secret": self.client_secret, "refresh_token": self.refresh_token}
        shown = {name: secret.get_secret_value() for name, secret in secrets.items() if secret}
        return {"grant_type": "refresh_token", "client_id": self.client_id or "", **shown}


class Segment(BaseModel):
    id: int | str
    source: str | None = Field(None, alias="sourceSegmentId")


class Segments(BaseModel):
    elements: list[Segment]


class Failure(BaseModel):
    message: str = ""


class Row(BaseModel):
    status: int
    error: Failure = Failure()


class Rows(BaseModel):
    """One for each element that was sent, in their order."""

    elements: list[Row]


class LinkedIn(Connector[LinkedInConfig]):
    key = "linkedin"
    title = "LinkedIn Matched Audiences"
    channel = Channel.ADS
    capabilities = Capabilities(
        identifiers=("email", "ad_id"),
        spellings={"email": "linkedin.email", "ad_id": "linkedin.ad_id"},
        batch=5_000,
        concurrency=4,
        limits=(Window(600, seconds=60.0),),
        least_audience=300,
        effect_within_s=172_800.0,
    )
    Config = LinkedInConfig
    scopes = ("rw_dmp_segments",)
    # LinkedIn promises each version for a year, and has kept some for longer.
    versions = (ApiVersion("202604", until=date(2027, 4, 30)),)

    def limits(self) -> Capabilities:
        return replace(self.capabilities, limits=(Window(self.config.requests_per_minute, 60.0),))

    async def check(self) -> Account:
        (await self._call("GET", "/dmpSegments", params={**self._whose, "count": 1})).parse(Segments)
        return Account(f"ad account {self.config.account_id}")

    async def ensure_audience(self, name: str) -> Audience:
        ours = {"sourcePlatform": self.config.source_platform, "sourceSegmentId": name}
        found = (await self._call("GET", "/dmpSegments", params={**self._whose, **ours})).parse(Segments)
        for segment in found.elements:
            if segment.source in (None, name):
                return Audience(name, ref=str(segment.id))
        wanted = {
            **ours,
            "name": name,
            "account": self._whose["account"],
            "type": self.config.segment_type,
            "destinations": [{"destination": "LINKEDIN"}],
        }
        made = await self._call("POST", "/dmpSegments", json=wanted)
        return Audience(name, ref=_id_of(made))

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        """Adds and removes in one call, each with an answer of its own."""
        everyone = [*batch.add, *batch.remove]
        added = [self._element("ADD", one) for one in batch.add]
        body = {"elements": [*added, *(self._element("REMOVE", one) for one in batch.remove)]}
        path = f"/dmpSegments/{quote(audience.ref, safe='')}/users"
        answer = await self._call("POST", path, json=body, more={"X-RestLi-Method": "BATCH_CREATE"})
        rows = answer.parse(Rows).elements
        if len(rows) != len(everyone):
            return Result(rest=OutcomeKind.UNKNOWN)
        told = zip(everyone, rows, strict=True)
        return Result({one.key: outcome for one, row in told if (outcome := _outcome(row, one))})

    def _element(self, action: str, person: Person) -> dict[str, Any]:
        if unknown := person.fields.keys() - {*FIELDS}:
            raise RefusedError(f"LinkedIn has no {', '.join(sorted(unknown))}: it has {', '.join(FIELDS)}")
        kind = "SHA256_EMAIL" if person.kind == "email" else self.config.ad_id_type
        described = {name: value for name in FIELDS if (value := person.fields.get(name))}
        return {"action": action, "userIds": [{"idType": kind, "idValue": person.value}], **described}

    @property
    def _whose(self) -> dict[str, str | int]:
        return {"q": "account", "account": f"urn:li:sponsoredAccount:{self.config.account_id}"}

    @cached_property
    def _tokens(self) -> AccessTokens:
        if self.config.access_token:
            return AccessTokens(self._given)
        return RefreshedTokens(self.http, self.config.oauth_url, self.config.grant)

    async def _given(self) -> Token:
        return Token.model_validate({"access_token": self.config.access_token})

    async def _call(self, method: str, path: str, *, more: dict[str, str] | None = None, **request: Any) -> Response:
        headers = {
            "LinkedIn-Version": self.config.api_version,
            "X-Restli-Protocol-Version": "2.0.0",
            **(more or {}),
        }
        url = f"{self.config.api_url.rstrip('/')}{path}"
        return await self._tokens.request(self.http, method, url, headers=headers, classify=_by_meaning, **request)


def _by_meaning(response: Response) -> ConnectorError | None:
    said = f"{response.host} answered {response.status}"
    if response.status == 404:
        return TransientError(f"{said}: the segment is not ready yet, or is gone", SETTLING_S)
    if response.status in {409, 423}:
        return TransientError(f"{said}: the segment is being changed elsewhere")
    if response.status == 426:
        return AuthError(f"{said}: this version of the API has been switched off, choose another")
    return by_status(response)


def _outcome(row: Row, person: Person) -> Outcome | None:
    if 200 <= row.status < 300:
        return None
    passes = row.status in PASSES or row.status >= 500
    reason = f"{row.status}: {scrubbed(row.error.message, person)}"
    return Outcome(OutcomeKind.RETRY if passes else OutcomeKind.REJECTED, reason)


def _id_of(made: Response) -> str:
    """The new segment's number stands in a header alone."""
    if number := made.headers.get("x-linkedin-id") or made.headers.get("x-restli-id"):
        return number
    raise TransientError(f"{made.host} made a segment and does not say which")


@hookimpl
def hub_connectors() -> list[type[LinkedIn]]:
    return [LinkedIn]
