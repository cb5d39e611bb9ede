"""Any receiver of your own: requests signed after Standard Webhooks, and its word on each person where it gives it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from urllib.parse import urlsplit

import orjson
from pydantic import AwareDatetime, BaseModel, Field, SecretStr, ValidationError, field_validator

from hub.sdk import (
    Account,
    Audience,
    AuthError,
    Batch,
    Capabilities,
    Channel,
    Connector,
    ConnectorConfig,
    ConnectorError,
    Feedback,
    Inbound,
    Notice,
    Outcome,
    OutcomeKind,
    Person,
    Response,
    Result,
    Unverified,
    Url,
    by_status,
    hookimpl,
    insist_signed,
    scrubbed,
)
from hub.sdk.webhooks import SECRET_FORM, is_signing_secret, signed

_OURS = ("webhook-", "content-", "host", "transfer-encoding", "connection")
_UNSURE = Result(rest=OutcomeKind.UNKNOWN)


class WebhookConfig(ConnectorConfig):
    url: Url = Field(description="Where the changes are posted. https, unless the operator lists the host and port.")
    secret: SecretStr = Field(description="Signs every request: whsec_ and 24 to 64 bytes in base64.")
    feedback_secret: SecretStr | None = Field(
        None, description="Signs what the receiver tells the hub: whsec_ and 24 to 64 bytes in base64."
    )
    batch: int = Field(1000, ge=1, le=1000, description="The most people in one request.")
    concurrency: int = Field(4, ge=1, le=8, description="Requests in flight at a time.")
    headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="Further headers, such as a gateway's key. Their values are kept as secrets."
    )

    @field_validator("secret", "feedback_secret")
    @classmethod
    def _signs(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not is_signing_secret(secret.get_secret_value()):
            raise ValueError(f"must be {SECRET_FORM}")
        return secret

    @field_validator("headers")
    @classmethod
    def _leave_ours_alone(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not re.fullmatch(r"[A-Za-z0-9-]+", name) or name.lower().startswith(_OURS):
                raise ValueError("a header's name must be plain, and not one that the hub sets itself")
            if not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", value.get_secret_value()):
                raise ValueError("a header's value must be printable ASCII on one line")
        return headers


class Told(BaseModel):
    """What a receiver tells: one thing that became of one person."""

    type: Notice
    id: str | None = None
    email: str | None = None
    phone: str | None = None
    device_id: str | None = None
    ad_id: str | None = None
    push_token: str | None = None
    user_id: str | None = None
    at: AwareDatetime | None = None
    purpose: str | None = None


NAMES = set(Told.model_fields) - {"type", "at", "purpose"}


class Webhook(Connector[WebhookConfig]):
    key = "webhook"
    title = "Signed webhook"
    channel = Channel.GENERIC
    capabilities = Capabilities(key="external_id", batch=1000, concurrency=4, in_flight_s=60.0, feedback=True)
    Config = WebhookConfig

    def limits(self) -> Capabilities:
        hears = self.config.feedback_secret is not None
        return replace(self.capabilities, batch=self.config.batch, concurrency=self.config.concurrency, feedback=hears)

    async def check(self) -> Account:
        """Only whether someone answers there: a receiver that knows POST alone may answer anything to a HEAD."""
        await self.http.request("HEAD", self.config.url, headers=self._further_headers(), classify=_refuse_redirect)
        return Account(urlsplit(self.config.url).hostname or "")

    async def ensure_audience(self, name: str) -> Audience:
        return Audience(name, ref=name)

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        body = _body(audience, batch)
        headers = {**self._further_headers(), **_signed(self.config.secret, body)}
        response = await self.http.request("POST", self.config.url, content=body, headers=headers, classify=_classify)
        return _read(response, batch)

    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        """One notice about one person, who may be named in several ways."""
        if self.config.feedback_secret is None:
            raise Unverified("no feedback_secret is configured")
        insist_signed(self.config.feedback_secret.get_secret_value(), request)
        try:
            told = Told.model_validate_json(request.body)
        except ValidationError:
            return []
        event = request.headers["webhook-id"]
        names = told.model_dump(include=NAMES, exclude_none=True)
        return [
            Feedback(told.type, "external_id" if kind == "id" else kind, value, event, told.at, told.purpose)
            for kind, value in names.items()
        ]

    def _further_headers(self) -> dict[str, str]:
        return {name: value.get_secret_value() for name, value in self.config.headers.items()}


def _body(audience: Audience, batch: Batch) -> bytes:
    """Sorted throughout, so that the same people and fields are the same bytes on every attempt."""
    change = {
        "type": "audience.changed",
        "audience": audience.name,
        "sync": batch.sync,
        "run": batch.run,
        "add": [{"id": person.id, "fields": person.fields} for person in _by_id(batch.add)],
        "remove": [{"id": person.id} for person in _by_id(batch.remove)],
    }
    return orjson.dumps(change, default=dict, option=orjson.OPT_SORT_KEYS)


def _by_id(people: Sequence[Person]) -> list[Person]:
    return sorted(people, key=attrgetter("id"))


def _signed(secret: SecretStr, body: bytes) -> dict[str, str]:
    return signed(secret.get_secret_value(), f"msg_{hashlib.sha256(body).hexdigest()[:32]}", body)


def _classify(response: Response) -> ConnectorError | None:
    """A receiver that is not there, or not there any more, is for a person to look at, not for people to be refused."""
    if response.status in {404, 405, 410}:
        return AuthError(f"{response.host} answered {response.status}: the receiver is gone or the address is wrong")
    return by_status(response)


def _refuse_redirect(response: Response) -> ConnectorError | None:
    return by_status(response) if 300 <= response.status < 400 else None


def _read(response: Response, batch: Batch) -> Result:
    if not response.body.strip():
        return Result()
    try:
        answer = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return _UNSURE
    refused = (answer.get("rejected") or []) if isinstance(answer, dict) else None
    if not isinstance(refused, list) or not all(isinstance(entry, dict) and "id" in entry for entry in refused):
        return _UNSURE
    if not refused:
        return Result()
    people = {person.id: person for person in (*batch.add, *batch.remove)}
    named = ((people.get(str(entry["id"])), entry.get("reason")) for entry in refused)
    return Result(
        {
            person.key: Outcome(OutcomeKind.REJECTED, scrubbed(reason or "no reason given", person))
            for person, reason in named
            if person
        }
    )


@hookimpl
def hub_connectors() -> list[type[Webhook]]:
    return [Webhook]
