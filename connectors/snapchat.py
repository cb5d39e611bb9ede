"""Snapchat Customer Lists: an audience is a segment of one ad account, to which hashed identifiers are uploaded.

Snapchat answers in envelopes: what became of a request stands in `request_status` and, once more, in each part's
`sub_request_status`; both may say ERROR although the status is 200.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from hub.sdk import (
    Account,
    Audience,
    AuthError,
    Capabilities,
    Channel,
    Connector,
    ConnectorError,
    OAuthConfig,
    Outcome,
    OutcomeKind,
    Person,
    RefreshedTokens,
    RefusedError,
    Response,
    Result,
    TransientError,
    Url,
    Window,
    by_status,
    cursor_in,
    hookimpl,
    pages,
)

PAGE = 1000
LONGEST_NAME = 375
SCHEMES = {"email": "EMAIL_SHA256", "phone": "PHONE_SHA256", "ad_id": "MOBILE_AD_ID_SHA256"}
NO_PERMISSION = "E3002"
UNCOUNTED = Outcome(OutcomeKind.UNKNOWN, "Snapchat counted nobody of the request")
_CODE = re.compile(r"E[0-9]{3,5}\b")


class SnapchatConfig(OAuthConfig):
    ad_account_id: str = Field(pattern=r"^[0-9a-fA-F-]{36}$", description="The ad account's id, from Ads Manager.")
    retention_in_days: int = Field(
        9999, ge=1, le=9999, description="After how many days Snapchat drops people of new segments; 9999 means never."
    )
    batch: int = Field(10_000, ge=1, le=100_000, description="The most identifiers in one request.")
    requests_per_second: int = Field(10, ge=1, le=20, description="What Snapchat allows a token; an app has 20 in all.")
    api_url: Url = Field("https://adsapi.snapchat.com/v1", description="The API; another one only for a gateway.")
    oauth_url: Url = Field(
        "https://accounts.snapchat.com/login/oauth2/access_token", description="Where a refresh token is exchanged."
    )


class Part(BaseModel):
    status: str = Field(alias="sub_request_status")
    why: str = Field("", alias="sub_request_error_reason")


class Envelope(BaseModel):
    """What every answer has in common, errors too."""

    status: str = Field(alias="request_status")
    error_code: str = ""
    adaccounts: Sequence[Part] = []
    segments: Sequence[Part] = []
    users: Sequence[Part] = []

    @property
    def failed(self) -> bool:
        parts = (*self.adaccounts, *self.segments, *self.users)
        return any(status.upper() != "SUCCESS" for status in (self.status, *(part.status for part in parts)))

    @property
    def code(self) -> str:
        """Only the code: the words around it could repeat what was sent."""
        told = (self.error_code, *(part.why for part in (*self.adaccounts, *self.segments, *self.users)))
        return next((found[0] for text in told if (found := _CODE.match(text))), "no code")


class Named(BaseModel):
    id: str = Field(min_length=1)
    name: str


class AdAccount(Part):
    adaccount: Named


class AdAccounts(Envelope):
    adaccounts: list[AdAccount] = Field(min_length=1)


class Listed(Named):
    source_type: str = ""
    created_at: str = ""


class Segment(Part):
    segment: Listed


class Paging(BaseModel):
    next_link: str | None = None


class Segments(Envelope):
    segments: list[Segment]
    paging: Paging = Paging()


class Made(Envelope):
    segments: list[Segment] = Field(min_length=1)


class Uploaded(BaseModel):
    number_uploaded_users: int = Field(ge=0)


class User(Part):
    user: Uploaded


class Users(Envelope):
    users: list[User] = Field(min_length=1)


class Snapchat(Connector[SnapchatConfig]):
    key = "snapchat"
    title = "Snapchat Customer Lists"
    channel = Channel.ADS
    capabilities = Capabilities(
        identifiers=tuple(SCHEMES),
        spellings={kind: f"snapchat.{kind}" for kind in SCHEMES},
        batch=10_000,
        concurrency=2,
        limits=(Window(10, 1.0),),
        least_audience=1000,
        effect_within_s=172_800.0,
    )
    Config = SnapchatConfig
    scopes = ("snapchat-marketing-api",)

    def limits(self) -> Capabilities:
        allowed = (Window(self.config.requests_per_second, 1.0),)
        return replace(self.capabilities, batch=self.config.batch, limits=allowed)

    async def check(self) -> Account:
        found = (await self._call("GET", self._account)).parse(AdAccounts)
        return Account(found.adaccounts[0].adaccount.name)

    async def ensure_audience(self, name: str) -> Audience:
        """Names need not be unique there: of the customer lists of this name the oldest is ours."""
        if len(name) > LONGEST_NAME:
            raise RefusedError(f"Snapchat takes names of at most {LONGEST_NAME} characters")
        found = [one async for one in self._segments() if one.name == name and one.source_type == "FIRST_PARTY"]
        if found:
            return Audience(name, ref=min(found, key=lambda one: (one.created_at, one.id)).id)
        wanted = {
            "name": name,
            "source_type": "FIRST_PARTY",
            "ad_account_id": self.config.ad_account_id,
            "retention_in_days": self.config.retention_in_days,
        }
        made = await self._call("POST", f"{self._account}/segments", json={"segments": [wanted]})
        return Audience(name, ref=made.parse(Made).segments[0].segment.id)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._upload("POST", audience, people)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._upload("DELETE", audience, people)

    async def _upload(self, method: str, audience: Audience, people: Sequence[Person]) -> Result:
        """A request for each kind of identifier: Snapchat takes no two kinds in one."""
        result = Result()
        for kind, scheme in SCHEMES.items():
            if some := [person for person in people if person.kind == kind]:
                body = {"users": [{"schema": [scheme], "data": [[person.value] for person in some]}]}
                answer = await self._call(method, f"/segments/{audience.ref}/users", json=body)
                result = result.merged(_counted(answer.parse(Users), some))
        return result

    async def _segments(self) -> AsyncIterator[Listed]:
        async for page in pages(self._page, lambda page: cursor_in(page.paging.next_link, "cursor")):
            for one in page.segments:
                yield one.segment

    async def _page(self, cursor: str | None) -> Segments:
        asked = {"limit": PAGE, **({"cursor": cursor} if cursor else {})}
        return (await self._call("GET", f"{self._account}/segments", params=asked)).parse(Segments)

    @property
    def _account(self) -> str:
        return f"/adaccounts/{self.config.ad_account_id}"

    @cached_property
    def _tokens(self) -> RefreshedTokens:
        return RefreshedTokens(self.http, self.config.oauth_url, self.config.grant)

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        url = f"{self.config.api_url.rstrip('/')}{path}"
        return await self._tokens.request(self.http, method, url, classify=_by_envelope, **request)


def _counted(told: Users, people: Sequence[Person]) -> Result:
    """Snapchat counts those whom it took, and names nobody. Where it took none of them, nobody counts as in or out."""
    taken = sum(one.user.number_uploaded_users for one in told.users)
    if not taken:
        return Result({person.key: UNCOUNTED for person in people})
    return Result(invalid=max(0, len(people) - taken))


def _by_envelope(response: Response) -> ConnectorError | None:
    said = f"{response.host} answered {response.status}"
    try:
        envelope = Envelope.model_validate_json(response.body)
    except ValidationError:
        return _gone(response) or by_status(response)
    if envelope.code == NO_PERMISSION:
        return AuthError(f"{said} with code {NO_PERMISSION}: the token may not do this in the ad account")
    if response.ok and envelope.failed:
        return TransientError(f"{said}, and that the request failed: {envelope.code}")
    return _gone(response) or by_status(response)


def _gone(response: Response) -> AuthError | None:
    if response.status == 404:
        return AuthError(f"{response.host} answered 404: the ad account or the segment is gone, or not for this token")
    return None


@hookimpl
def hub_connectors() -> list[type[Snapchat]]:
    return [Snapchat]
