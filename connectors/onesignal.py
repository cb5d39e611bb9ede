"""OneSignal, user model: an audience is a tag on the user, and a segment that selects it.

OneSignal changes one user per request. Subscriptions are never sent, so nobody's are changed.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from hub.sdk import (
    Account,
    Audience,
    Capabilities,
    Channel,
    Connector,
    ConnectorConfig,
    ConnectorError,
    FieldValue,
    Outcome,
    OutcomeKind,
    Person,
    Response,
    Result,
    TransientError,
    Url,
    Window,
    by_status,
    hookimpl,
)

PAGE = 300

_WITH_ERRORS = Outcome(OutcomeKind.UNKNOWN, "accepted with errors")
_UNKNOWN_USER = Outcome(OutcomeKind.REJECTED, "no such user in this app")


class Segment(BaseModel):
    name: str


class Segments(BaseModel):
    segments: list[Segment]


class Defined(BaseModel):
    success: Literal[True]


class Answered(BaseModel):
    errors: Any = None


class Changed(Answered):
    """The change, repeated. OneSignal promises nothing of the object, so an empty one will do; but one that says other
    things, and nothing of the change, is a gateway's."""

    model_config = ConfigDict(extra="allow")
    properties: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _is_of_a_change(self) -> Changed:
        if self.properties is None and self.model_extra:
            raise ValueError("an object of somebody else's")
        return self


class OneSignalConfig(ConnectorConfig):
    app_id: str = Field(pattern=r"^[0-9a-fA-F-]{36}$", description="The app's id, under Settings > Keys & IDs.")
    api_key: SecretStr = Field(min_length=8, description="The app's REST API key, from the same page.")
    alias: str = Field(
        "external_id", pattern=r"^[A-Za-z0-9_]{1,64}$", description="The alias by which the app knows its users."
    )
    tag_prefix: str = Field(
        "seg_", pattern=r"^[A-Za-z0-9_]{0,32}$", description="Begins the tags that mark audiences, apart from others."
    )
    define_segments: bool = Field(
        True, description="Whether to define a segment for each tag; needs a plan on which segments can be made."
    )
    auth_scheme: str = Field(
        "Key", pattern=r"^(Key|Basic|Bearer)$", description="The word before the key; Basic for keys of the old kind."
    )
    api_url: Url = Field("https://api.onesignal.com", description="The API's address; change it only for a gateway.")


class OneSignal(Connector[OneSignalConfig]):
    key = "onesignal"
    title = "OneSignal"
    channel = Channel.PUSH
    # Requests an app may make; what it throttles beyond that, it says with Retry-After.
    capabilities = Capabilities(
        key="external_id", batch=1, concurrency=8, erase=True, limits=(Window(1000, seconds=1.0),)
    )
    Config = OneSignalConfig

    async def check(self) -> Account:
        (await self._call("GET", "/segments", params={"limit": 1})).parse(Segments)
        return Account(f"app {self.config.app_id}")

    async def ensure_audience(self, name: str) -> Audience:
        tag = self.config.tag_prefix + _word(name)
        if self.config.define_segments and not await self._has_segment(name):
            filters = [{"field": "tag", "key": tag, "relation": "=", "value": "1"}]
            # 409: somebody else has just made it.
            made = await self._call("POST", "/segments", json={"name": name, "filters": filters}, passing=(409,))
            if made.status != 409:
                made.parse(Defined)
        return Audience(name, ref=tag)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._each(people, audience.ref, "1", _UNKNOWN_USER)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._each(people, audience.ref, "", Outcome(OutcomeKind.NOOP))

    async def erase(self, people: Sequence[Person]) -> Result:
        outcomes: dict[str, Outcome] = {}
        for person in people:
            answer = await self._call("DELETE", self._user(person), passing=(404,))
            if answer.status != 404 and answer.parse(Answered).errors:
                outcomes[person.key] = _WITH_ERRORS
        return Result(outcomes)

    async def _each(self, people: Sequence[Person], tag: str, value: str, if_unknown: Outcome) -> Result:
        outcomes: dict[str, Outcome] = {}
        for person in people:
            tags = {**{name: _tag_value(field) for name, field in person.fields.items()}, tag: value}
            change = {"properties": {"tags": tags}}
            answer = await self._call("PATCH", self._user(person), json=change, passing=(404,))
            if answer.status == 404:
                outcomes[person.key] = if_unknown
            elif answer.parse(Changed).errors:
                outcomes[person.key] = _WITH_ERRORS
        return Result(outcomes)

    async def _has_segment(self, name: str) -> bool:
        for offset in itertools.count(0, PAGE):
            page = (await self._call("GET", "/segments", params={"limit": PAGE, "offset": offset})).parse(Segments)
            if any(segment.name == name for segment in page.segments) or len(page.segments) < PAGE:
                break
        return any(segment.name == name for segment in page.segments)

    def _user(self, person: Person) -> str:
        return f"/users/by/{self.config.alias}/{quote(person.key, safe='')}"

    async def _call(self, method: str, path: str, *, passing: tuple[int, ...] = (), **request: Any) -> Response:
        """`passing` are the refusals that the caller reads itself."""

        def classify(response: Response) -> ConnectorError | None:
            return None if response.status in passing else _by_meaning(response)

        key = f"{self.config.auth_scheme} {self.config.api_key.get_secret_value()}"
        url = f"{self.config.api_url.rstrip('/')}/apps/{self.config.app_id}{path}"
        return await self.http.request(method, url, headers={"authorization": key}, classify=classify, **request)


def _by_meaning(response: Response) -> ConnectorError | None:
    if response.status == 409:
        return TransientError(f"{response.host} answered 409: the user is being changed elsewhere")
    return by_status(response)


def _word(name: str) -> str:
    """The audience's name as part of a tag; where that loses something, a hash keeps two names apart."""
    word = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:60]
    return word if word == name else f"{word}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _tag_value(value: FieldValue) -> str:
    """Tags are texts; an empty one deletes the tag."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ",".join(value)


@hookimpl
def hub_connectors() -> list[type[OneSignal]]:
    return [OneSignal]
