"""Contentful Personalization: an audience is a trait of profiles, true or false, on which a rule there selects.

Each person takes one event, which sets the trait, whatever it was: nothing is read first, and nothing else of a
profile changes. The endpoint for many events answers with the profiles as they are afterwards; its asynchronous twin
says 200 even of an organization that there is not, and is not used.

Nobody signs in: whoever has the client id, which stands in every page of the site, may do what is done here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Literal
from urllib.parse import quote
from uuid import uuid4

from pydantic import BaseModel, Field, ValidationError

from hub.sdk import (
    Account,
    Audience,
    AuthError,
    Capabilities,
    Channel,
    Connector,
    ConnectorConfig,
    ConnectorError,
    Outcome,
    OutcomeKind,
    Person,
    RefusedError,
    Response,
    Result,
    Url,
    by_status,
    hookimpl,
    in_turn,
    plain_word,
)

# https://www.contentful.com/developers/docs/references/experience-api/profiles/
MOST_PROFILES = 50
# Ids are one namespace for all of Contentful's customers: the second is said of a profile that is somebody else's.
NO_PROFILE, NOT_OURS = "ERR_PROFILE_NOT_FOUND", "ERR_NAMESPACE_MISMATCH"
NOT_ANSWERED_FOR = Outcome(OutcomeKind.UNKNOWN, "Contentful did not say what became of the profile")


class Profile(BaseModel):
    """`id` is another than the one that was sent where the profile has an alias."""

    id: str
    traits: dict[str, Any]


class Profiles(BaseModel):
    """Left out where nothing was done."""

    profiles: list[Profile] = []


class Envelope(BaseModel):
    """Of every answer, as it is where all went well."""

    error: Literal[None, False]


class Done(Envelope):
    data: dict[str, Any]


class Changed(Envelope):
    data: Profiles


class Fault(BaseModel):
    code: str


class Failed(BaseModel):
    error: Fault


class ContentfulConfig(ConnectorConfig):
    client_id: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="The client ID from Optimization > SDK Keys. It is public, and there is no other key: whoever knows"
        " it and a person's id can read and change what is sent here.",
    )
    environment: str = Field("main", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The slug of the environment.")
    person: Literal["external_id", "user_id", "device_id"] = Field(
        "external_id",
        description="What profiles are called by, or their aliases are: nothing that can be guessed.",
    )
    trait_prefix: str = Field(
        "hub_", pattern=r"^[A-Za-z0-9_]{0,32}$", description="Begins the traits that mark audiences, apart from others."
    )
    locale: str = Field("en", pattern=r"^[A-Za-z-]{2,16}$", description="What events give as their language.")
    api_url: Url = Field("https://experience.ninetailed.co", description="The API's address; another for a gateway.")


class Contentful(Connector[ContentfulConfig]):
    key = "contentful"
    title = "Contentful Personalization"
    channel = Channel.CMS
    capabilities = Capabilities(key="external_id", batch=MOST_PROFILES, concurrency=2, erase=True)
    Config = ContentfulConfig

    def limits(self) -> Capabilities:
        return replace(self.capabilities, key=self.config.person)

    async def check(self) -> Account:
        """Of a profile that hardly is there; an organization or environment that is not, is told apart."""
        answer = await self._call("GET", "/profiles/hub-check", classify=_unless_unknown)
        if answer.ok:
            answer.parse(Done)
        return Account(f"{self.config.client_id}, environment {self.config.environment}")

    async def ensure_audience(self, name: str) -> Audience:
        """A trait comes into being with its first profile."""
        return Audience(name, ref=self.config.trait_prefix + plain_word(name))

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        if any(audience.ref in person.fields for person in people):
            raise RefusedError(f"{audience.ref}: the hub sets that trait itself, map the field to another")
        return await self._set(audience, people, member=True)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._set(audience, people, member=False)

    async def erase(self, people: Sequence[Person]) -> Result:
        return await in_turn(people, self._erase)

    async def _erase(self, person: Person) -> Outcome | None:
        answer = await self._call("DELETE", f"/profiles/{quote(person.key, safe='')}", classify=_unless_unknown)
        if not answer.ok:
            return Outcome(OutcomeKind.NOOP)
        answer.parse(Done)
        return None

    async def _set(self, audience: Audience, people: Sequence[Person], *, member: bool) -> Result:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        events = [self._event(person, audience.ref, member, now) for person in people]
        answer = await self._call("POST", "/events", json={"events": events}, classify=_by_code)
        profiles = answer.parse(Changed).data.profiles
        done = {profile.id for profile in profiles if profile.traits.get(audience.ref) is member}
        if len(profiles) == len(done) == len(people):
            return Result()
        return Result({person.key: NOT_ANSWERED_FOR for person in people if person.key not in done})

    def _event(self, person: Person, trait: str, member: bool, now: str) -> dict[str, Any]:
        """No message's number comes twice: Contentful leaves out what it has heard, and a trait may be set again. An id
        in `userId` would be made an alias of the profile."""
        return {
            "type": "identify",
            "anonymousId": person.key,
            "userId": "",
            "traits": {**person.fields, trait: member},
            "channel": "server",
            "context": self._context(member),
            "messageId": str(uuid4()),
            **dict.fromkeys(("originalTimestamp", "timestamp", "sentAt"), now),
        }

    def _context(self, consented: bool) -> dict[str, Any]:
        """Whoever is removed may have taken consent back: none is claimed of them."""
        ours = {"name": "audience-hub", "version": version("audience-hub")}
        said = {"isConsentGiven": consented}
        return {"library": ours, "locale": self.config.locale, "campaign": {}, "gdpr": said}

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        mine = self.config
        place = f"/v2/organizations/{mine.client_id}/environments/{mine.environment}"
        return await self.http.request(method, f"{mine.api_url.rstrip('/')}{place}{path}", **request)


def _by_code(response: Response) -> ConnectorError | None:
    if response.status == 404 and _code(response) == NOT_OURS:
        said = f"{response.host} answered 404: a profile of that id belongs to another organization or environment"
        return RefusedError(said, divisible=True)
    if response.status == 404:
        return AuthError(f"{response.host} answered 404: it knows no such client_id, or no such environment of it")
    return by_status(response)


def _unless_unknown(response: Response) -> ConnectorError | None:
    """404 is said of a profile that is not there as well, with another code."""
    return None if response.status == 404 and _code(response) in {NO_PROFILE, NOT_OURS} else _by_code(response)


def _code(response: Response) -> str:
    try:
        return Failed.model_validate_json(response.body).error.code
    except ValidationError:
        return ""


@hookimpl
def hub_connectors() -> list[type[Contentful]]:
    return [Contentful]
