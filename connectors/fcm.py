"""Firebase Cloud Messaging: an audience is a topic, to which devices are subscribed by their tokens.

Subscribing a device to a topic asks nothing of its owner and shows them nothing: whether messages may appear is decided
on the device. Google names nobody who is on a topic, so nothing can be read back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator

from hub.sdk import (
    AccessTokens,
    Account,
    Audience,
    Capabilities,
    Channel,
    Connector,
    ConnectorConfig,
    Outcome,
    OutcomeKind,
    PerSecond,
    Person,
    Response,
    Result,
    ServiceAccount,
    Token,
    TransientError,
    Url,
    for_service_account,
    hookimpl,
)

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"

_GONE = Outcome(OutcomeKind.REJECTED, "the app is not installed there any more, or the token is none")
_TOO_MANY = Outcome(OutcomeKind.REJECTED, "the device is subscribed to as many topics as Google allows")
_LATER = Outcome(OutcomeKind.RETRY, "Google asks to try again")
_NOTHING_TO_DO = Outcome(OutcomeKind.NOOP)

ADDING = {
    "NOT_FOUND": _GONE,
    "INVALID_ARGUMENT": _GONE,
    "TOO_MANY_TOPICS": _TOO_MANY,
    "INTERNAL": _LATER,
    "UNAVAILABLE": _LATER,
    "RESOURCE_EXHAUSTED": _LATER,
}
REMOVING = {**ADDING, "NOT_FOUND": _NOTHING_TO_DO, "INVALID_ARGUMENT": _NOTHING_TO_DO}
_UNHEARD_OF = Outcome(OutcomeKind.UNKNOWN, "Google answered with an error that the hub does not know")


class Project(BaseModel):
    project_id: str


class One(BaseModel):
    error: str | None = None


class Changed(BaseModel):
    """One entry for each token, in the order in which they were sent: empty where all went well."""

    results: list[One]


class Validated(BaseModel):
    name: str


class FcmConfig(ConnectorConfig):
    service_account: SecretStr = Field(description="The JSON key file of a service account of the Firebase project.")
    devices: Literal["newest", "all"] = Field(
        "newest", description="Which devices of a person are subscribed: that of the newest token, or all."
    )
    topic_prefix: str = Field(
        "", pattern=r"^[A-Za-z0-9_.~%-]{0,100}$", description="Begins the names of the topics, apart from others."
    )
    calls_per_second: int = Field(
        3, ge=1, le=3000, description="Requests a second; Google allows a project 3,000 changed subscriptions a second."
    )
    iid_url: Url = Field("https://iid.googleapis.com", description="Where topics are changed; only for a gateway.")
    fcm_url: Url = Field("https://fcm.googleapis.com", description="Where the account is checked; only for a gateway.")

    @field_validator("service_account")
    @classmethod
    def _can_be_read(cls, key: SecretStr) -> SecretStr:
        ServiceAccount.read(key.get_secret_value())
        try:
            Project.model_validate_json(key.get_secret_value())
        except ValidationError:
            raise ValueError("must name its project_id") from None
        return key


class Fcm(Connector[FcmConfig]):
    key = "fcm"
    title = "Firebase Cloud Messaging topics"
    channel = Channel.PUSH
    capabilities = Capabilities(key="push_token", batch=1000, concurrency=2, limits=(PerSecond(3, burst=3),))
    Config = FcmConfig
    scopes = (SCOPE,)

    def limits(self) -> Capabilities:
        rate = self.config.calls_per_second
        able = replace(self.capabilities, limits=(PerSecond(rate, burst=rate),))
        return replace(able, identifiers=("push_token",)) if self.config.devices == "all" else able

    async def check(self) -> Account:
        """A message that is only validated, never sent: it needs the right that topics need."""
        project = Project.model_validate_json(self.config.service_account.get_secret_value()).project_id
        message = {"validateOnly": True, "message": {"topic": f"{self.config.topic_prefix}check"}}
        url = f"{self.config.fcm_url.rstrip('/')}/v1/projects/{project}/messages:send"
        (await self._call(url, json=message, changes=False)).parse(Validated)
        return Account(f"project {project}")

    async def ensure_audience(self, name: str) -> Audience:
        """A topic comes into being with its first device."""
        return Audience(name, ref=self.config.topic_prefix + _topic(name))

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._change("batchAdd", audience, people, ADDING)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._change("batchRemove", audience, people, REMOVING)

    async def _change(
        self, verb: str, audience: Audience, people: Sequence[Person], meanings: dict[str, Outcome]
    ) -> Result:
        tokens = [person.value if self.config.devices == "all" else person.key for person in people]
        body = {"to": f"/topics/{audience.ref}", "registration_tokens": tokens}
        said = (await self._call(f"{self.config.iid_url.rstrip('/')}/iid/v1:{verb}", json=body)).parse(Changed).results
        if len(said) != len(people):
            raise TransientError("Google speaks of other devices than it was told of")
        failed = ((person.key, one.error) for person, one in zip(people, said, strict=True) if one.error is not None)
        return Result({key: meanings.get(error, _UNHEARD_OF) for key, error in failed})

    async def _call(self, url: str, **request: Any) -> Response:
        by_token = {"access_token_auth": "true"}
        return await self._tokens.request(self.http, "POST", url, headers=by_token, **request)

    @cached_property
    def _tokens(self) -> AccessTokens:
        return AccessTokens(self._ask)

    async def _ask(self) -> Token:
        account = ServiceAccount.read(self.config.service_account.get_secret_value())
        return await for_service_account(self.http, account, SCOPE)


def _topic(name: str) -> str:
    """The audience's name as a topic; where that loses something, a hash keeps two names apart."""
    word = re.sub(r"[^A-Za-z0-9_.~-]+", "_", name)[:100]
    return word if word == name else f"{word}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@hookimpl
def hub_connectors() -> list[type[Fcm]]:
    return [Fcm]
