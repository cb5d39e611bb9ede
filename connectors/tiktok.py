"""TikTok Custom Audiences, by streaming: an audience is a segment, to which identifiers are mapped.

TikTok answers 200 to nearly everything: what became of a request stands in the body's `code`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError

from hub.sdk import (
    Account,
    ApiVersion,
    Audience,
    AuthError,
    Capabilities,
    Channel,
    Connector,
    ConnectorConfig,
    ConnectorError,
    DailyBudget,
    OutcomeKind,
    Person,
    RefusedError,
    Response,
    Result,
    TransientError,
    Url,
    Window,
    by_status,
    hookimpl,
)

PAGE = 100
OK, IN_PART = 0, 20001
INVALID = 40002
# Whoever makes too many requests a minute is to stop for five minutes; too many a day, until the day ends in UTC.
PENALTY_S = 300.0
THROTTLED = frozenset({40016, 40100, 40133})
TRY_AGAIN = frozenset({40201, 40202, 60001})
MEANS_NO_ACCESS = {
    40001: "the token may not do this for the advertiser",
    40102: "the token has lapsed",
    40103: "the token has lapsed for good",
    40104: "the token is missing",
    40105: "the token holds no longer",
    40118: "TikTok has not allowed your app to stream audiences: ask your representative",
}
_OF_THE_DAY = re.compile(r"\bqpd\b|\bdaily\b|\bper day\b|\ba day\b", re.IGNORECASE)


class TikTokConfig(ConnectorConfig):
    access_token: SecretStr = Field(
        min_length=8, description="A long-term access token that the advertiser has granted."
    )
    advertiser_id: str = Field(pattern=r"^[0-9]{1,20}$", description="The advertiser's id, from TikTok Ads Manager.")
    ad_id_type: Literal["AAID", "IDFA"] = Field(
        "AAID", description="Which mobile ad ids your people have: Android's or Apple's."
    )
    batch: int = Field(
        1000, ge=1, le=10_000, description="The most identifiers in one request; TikTok names no number."
    )
    requests_per_second: int = Field(
        10, ge=1, le=1000, description="Your app's tier: the same a minute is 60 times as much, a day 86,400 times."
    )
    api_version: str = Field("v1.3", pattern=r"^v[0-9]\.[0-9]$", description="The version of the Business API.")
    api_url: Url = Field(
        "https://business-api.tiktok.com/open_api", description="The API's address; change it only for a gateway."
    )

    @property
    def schemes(self) -> dict[str, str]:
        """TikTok's names of identifiers, in the order of the columns."""
        return {"email": "EMAIL_SHA256", "phone": "PHONE_SHA256", "ad_id": f"{self.ad_id_type}_SHA256"}


class Answered(BaseModel):
    code: int
    message: str = ""


class Listed(BaseModel):
    audience_id: str
    name: str
    is_creator: bool = True


class PageInfo(BaseModel):
    total_page: int


class Listing(BaseModel):
    items: list[Listed] = Field(alias="list")
    page_info: PageInfo


class Listings(Answered):
    data: Listing


class Segment(BaseModel):
    audience_id: str = Field(min_length=1)


class Made(Answered):
    data: Segment


class TikTok(Connector[TikTokConfig]):
    key = "tiktok"
    title = "TikTok Custom Audiences"
    channel = Channel.ADS
    capabilities = Capabilities(
        identifiers=("email", "phone", "ad_id"),
        spellings={"email": "tiktok.email", "phone": "tiktok.phone", "ad_id": "tiktok.ad_id"},
        batch=1000,
        concurrency=4,
        limits=(Window(10, 1.0), Window(600, 60.0), DailyBudget(864_000)),
        least_audience=1000,
        effect_within_s=172_800.0,
    )
    Config = TikTokConfig
    scopes = ("Audience Management",)
    versions = (ApiVersion("v1.3"),)

    def limits(self) -> Capabilities:
        rate = self.config.requests_per_second
        allowed = (Window(rate, 1.0), Window(rate * 60, 60.0), DailyBudget(rate * 86_400))
        return replace(self.capabilities, batch=self.config.batch, limits=allowed)

    async def check(self) -> Account:
        await self._page(1, 1)
        return Account(f"advertiser {self.config.advertiser_id}")

    async def ensure_audience(self, name: str) -> Audience:
        """Names need not be unique there, and others may share theirs: of our own the oldest is meant."""
        found = [one.audience_id async for one in self._audiences() if one.name == name and one.is_creator]
        if found:
            return Audience(name, ref=min(found, key=lambda ref: (len(ref), ref)))
        wanted = {"custom_audience_name": name, "advertiser_id": self.config.advertiser_id, "action": "create"}
        made = await self._call("POST", "/segment/audience/", json=wanted)
        return Audience(name, ref=made.parse(Made).data.audience_id)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._map("add", audience, people)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._map("delete", audience, people)

    async def _map(self, action: str, audience: Audience, people: Sequence[Person]) -> Result:
        kinds = [kind for kind in self.config.schemes if any(person.kind == kind for person in people)]
        body = {
            "advertiser_ids": [self.config.advertiser_id],
            "action": action,
            "id_schema": [self.config.schemes[kind] for kind in kinds],
            "batch_data": [_row(person, kinds, audience) for person in people],
        }
        answer = (await self._call("POST", "/segment/mapping/", json=body)).parse(Answered)
        # In part: TikTok does not say who.
        return Result(rest=OutcomeKind.UNKNOWN if answer.code == IN_PART else OutcomeKind.ACCEPTED)

    async def _audiences(self) -> AsyncIterator[Listed]:
        for number in itertools.count(1):
            page = await self._page(number, PAGE)
            for audience in page.items:
                yield audience
            if number >= page.page_info.total_page:
                return

    async def _page(self, number: int, size: int) -> Listing:
        asked: dict[str, str | int] = {"advertiser_id": self.config.advertiser_id, "page": number, "page_size": size}
        return (await self._call("GET", "/dmp/custom_audience/list/", params=asked)).parse(Listings).data

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        url = f"{self.config.api_url.rstrip('/')}/{self.config.api_version}{path}"
        headers = {"Access-Token": self.config.access_token.get_secret_value()}
        return await self.http.request(method, url, headers=headers, classify=_by_code, **request)


def _row(person: Person, kinds: Sequence[str], audience: Audience) -> list[dict[str, Any]]:
    """An empty object keeps the place of what a person's row does not have."""
    return [{"id": person.value, "audience_ids": [audience.ref]} if person.kind == kind else {} for kind in kinds]


def _by_code(response: Response) -> ConnectorError | None:
    try:
        answer = Answered.model_validate_json(response.body)
    except ValidationError:
        return by_status(response)
    if answer.code in {OK, IN_PART}:
        return by_status(response)
    said = f"{response.host} answered {response.status} with code {answer.code}"
    if answer.code in THROTTLED:
        return TransientError(said, _until_tomorrow(response) if _OF_THE_DAY.search(answer.message) else PENALTY_S)
    if meaning := MEANS_NO_ACCESS.get(answer.code):
        return AuthError(f"{said}: {meaning}")
    if answer.code in TRY_AGAIN or 50_000 <= answer.code < 60_000:
        return TransientError(said)
    return RefusedError(said, divisible=answer.code == INVALID)


def _until_tomorrow(response: Response) -> float:
    now = response.received_at.astimezone(UTC)
    tomorrow = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
    return (tomorrow - now).total_seconds()


@hookimpl
def hub_connectors() -> list[type[TikTok]]:
    return [TikTok]
