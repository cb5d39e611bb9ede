"""Airship: an audience is a tag on named users, in a tag group of its own.

Tags say nothing about opt-ins, which belong to the devices. `set` would replace all tags of the group, so it is never
sent. Airship answers for the whole request; whom it cannot take is found by halving.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, SecretStr, model_validator

from hub.sdk import (
    Account,
    Audience,
    AuthError,
    Capabilities,
    Channel,
    Connector,
    ConnectorConfig,
    ConnectorError,
    OutcomeKind,
    Person,
    Response,
    Result,
    Url,
    by_status,
    hookimpl,
    plain_word,
)

HOSTS = {"us": "https://go.urbanairship.com/api", "eu": "https://go.airship.eu/api"}
MOST_ERASED = 100


class Done(BaseModel):
    """Warnings are about the request, not about somebody."""

    ok: Literal[True]
    warnings: list[Any] = []


class Listed(BaseModel):
    named_users: list[Any]


class AirshipConfig(ConnectorConfig):
    app_key: str = Field(pattern=r"^[A-Za-z0-9_-]{22}$", description="The app key of the project.")
    region: Literal["us", "eu"] = Field("us", description="Where the project lives: the American or the European site.")
    master_secret: SecretStr | None = Field(
        None, min_length=8, description="The app's master secret; or a bearer token."
    )
    bearer_token: SecretStr | None = Field(
        None,
        min_length=8,
        description="A token with the scope for named users; the better choice where plans have it.",
    )
    tag_group: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,128}$",
        description="The tag group of the hub's tags; make it in the dashboard first.",
    )
    person: Literal["external_id", "user_id"] = Field(
        "external_id", description="What named users are called by: the hub's external id, or a user id."
    )
    api_url: Url | None = Field(None, description="Only for a gateway: the API's address, else that of the region.")

    @model_validator(mode="after")
    def _has_one_way_in(self) -> Self:
        if (self.master_secret is None) is (self.bearer_token is None):
            raise ValueError("give a master_secret or a bearer_token, and not both")
        return self


class Airship(Connector[AirshipConfig]):
    key = "airship"
    title = "Airship"
    channel = Channel.PUSH
    capabilities = Capabilities(key="external_id", batch=1000, concurrency=2, erase=True)
    Config = AirshipConfig
    scopes = ("nu (named users)",)

    def limits(self) -> Capabilities:
        return replace(self.capabilities, key=self.config.person)

    async def check(self) -> Account:
        (await self._call("GET", "/named_users/", params={"limit": 1})).parse(Listed)
        return Account(f"app {self.config.app_key}")

    async def ensure_audience(self, name: str) -> Audience:
        """A tag comes into being with its first user."""
        return Audience(name, ref=plain_word(name, most=100))

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._tagged("add", audience, people)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._tagged("remove", audience, people)

    async def erase(self, people: Sequence[Person]) -> Result:
        """The named users with their devices' channels, as Airship erases."""
        keys, result = [person.key for person in people], Result()
        for start in range(0, len(keys), MOST_ERASED):
            some = {"named_user_id": keys[start : start + MOST_ERASED]}
            result = result.merged(_read(await self._call("POST", "/named_users/uninstall", json=some)))
        return result

    async def _tagged(self, verb: str, audience: Audience, people: Sequence[Person]) -> Result:
        users = {"named_user_id": [person.key for person in people]}
        body = {"audience": users, verb: {self.config.tag_group: [audience.ref]}}
        return _read(await self._call("POST", "/named_users/tags", json=body))

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        headers = {"accept": "application/vnd.urbanairship+json; version=3"}
        if self.config.bearer_token:
            bearer = f"Bearer {self.config.bearer_token.get_secret_value()}"
            headers |= {"authorization": bearer, "x-ua-appkey": self.config.app_key}
        elif self.config.master_secret:
            request["auth"] = (self.config.app_key, self.config.master_secret.get_secret_value())
        base = (self.config.api_url or HOSTS[self.config.region]).rstrip("/")
        return await self.http.request(method, base + path, headers=headers, classify=_by_meaning, **request)


def _read(response: Response) -> Result:
    done = response.parse(Done)
    if _about_the_group(response):
        raise AuthError(_GROUP)
    return Result(rest=OutcomeKind.UNKNOWN if done.warnings else OutcomeKind.ACCEPTED)


def _by_meaning(response: Response) -> ConnectorError | None:
    """A missing tag group is nobody's fault: halving would refuse everybody one by one."""
    if response.status in {400, 404} and _about_the_group(response):
        return AuthError(_GROUP)
    if response.status == 404:
        return AuthError(f"{response.host} answered 404: no API of Airship stands there, see api_url")
    return by_status(response)


_GROUP = "Airship does not take the tag group: see that it exists, is active, and may be changed by the API"


def _about_the_group(response: Response) -> bool:
    return re.search(rb"tag[ _]?group", response.body, re.IGNORECASE) is not None


@hookimpl
def hub_connectors() -> list[type[Airship]]:
    return [Airship]
