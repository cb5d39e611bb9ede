"""WordPress: an audience is a value of the users' meta `cdp_segments`, through a small plugin that comes with the hub.

WordPress itself changes one user per request, and drops meta that nobody has registered. The plugin
(`deploy/wordpress/audience-hub.php`) takes many at once, and never makes or deletes a user nor touches a role.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, Field, SecretStr

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
    Outcome,
    OutcomeKind,
    Page,
    Person,
    Response,
    Result,
    TransientError,
    Url,
    by_status,
    hookimpl,
    plain_word,
)

PLUGIN = "the hub's plugin is not there: copy deploy/wordpress/audience-hub.php into wp-content/mu-plugins"
ELSEWHERE = "no REST API of WordPress stands at that address: see url"

_UNKNOWN_USER = Outcome(OutcomeKind.REJECTED, "no such user on this site")
_REFUSED = Outcome(OutcomeKind.REJECTED, "the site refuses the name of a mapped field: a-z, 0-9 and _ only")
_NOT_THERE = Outcome(OutcomeKind.NOOP)

Word = Literal["done", "unknown", "refused"]


class Changed(BaseModel):
    """One word for each row, in the order in which they were sent."""

    add: list[Word]
    remove: list[Word]


class Members(BaseModel):
    members: list[str]
    total: int
    pages: int


class Status(BaseModel):
    plugin: int
    site: str
    user: str


class Erased(BaseModel):
    erased: int


class Fault(BaseModel):
    code: str


class WordPressConfig(ConnectorConfig):
    url: Url = Field(
        description="The site's REST API, https://SITE/wp-json; https://SITE/?rest_route= where permalinks are plain."
    )
    username: str = Field(min_length=1, description="The login of the user who carries out the changes.")
    application_password: SecretStr = Field(
        min_length=16, description="An application password of that user, from their profile; not the one to log in."
    )
    person: Literal["email", "user_id"] = Field(
        "email", description="What names a user: their e-mail address, or WordPress's own number as the user id."
    )


class WordPress(Connector[WordPressConfig]):
    key = "wordpress"
    title = "WordPress"
    channel = Channel.CMS
    # WordPress has no limits of its own; what stands before it often has, and one PHP worker is taken for each call.
    capabilities = Capabilities(key="email", batch=100, concurrency=2, read_back=True, erase=True)
    Config = WordPressConfig
    scopes = ("manage_audiences, or edit_users",)

    def limits(self) -> Capabilities:
        return replace(self.capabilities, key=self.config.person)

    async def check(self) -> Account:
        status = (await self._call("GET", "/status")).parse(Status)
        return Account(f"{status.user} at {status.site}")

    async def ensure_audience(self, name: str) -> Audience:
        """An audience begins with its first member."""
        return Audience(name, ref=plain_word(name, joint="-"))

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        if not len(batch):
            return Result()
        added = [{"user": person.key, "fields": dict(person.fields)} for person in batch.add]
        body = {**self._by, "add": added, "remove": [person.key for person in batch.remove]}
        said = (await self._call("POST", f"/audiences/{audience.ref}/members", json=body)).parse(Changed)
        if (len(said.add), len(said.remove)) != (len(batch.add), len(batch.remove)):
            raise TransientError("WordPress speaks of other people than it was told of")
        outcomes = {
            **_exceptions(batch.add, said.add, _UNKNOWN_USER),
            **_exceptions(batch.remove, said.remove, _NOT_THERE),
        }
        return Result(outcomes)

    async def members_page(self, audience: Audience, cursor: str | None = None) -> Page:
        page = int(cursor or 1)
        query = {**self._by, "page": page}
        found = (await self._call("GET", f"/audiences/{audience.ref}/members", params=query)).parse(Members)
        return Page(found.members, str(page + 1) if page < found.pages else None, found.total)

    async def erase(self, people: Sequence[Person]) -> Result:
        """Whatever the hub has said of them; they remain users of the site."""
        body = {**self._by, "users": [person.key for person in people]}
        if (await self._call("POST", "/erase", json=body)).parse(Erased).erased != len(people):
            raise TransientError("WordPress speaks of other people than it was told of")
        return Result()

    @property
    def _by(self) -> dict[str, str]:
        return {"by": "email" if self.config.person == "email" else "id"}

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        account = (self.config.username, self.config.application_password.get_secret_value())
        url = f"{self.config.url.rstrip('/')}/hub/v1{path}"
        return await self.http.request(method, url, auth=account, classify=_by_meaning, **request)


def _exceptions(people: Sequence[Person], words: Sequence[Word], unknown: Outcome) -> dict[str, Outcome]:
    meaning = {"unknown": unknown, "refused": _REFUSED}
    return {person.key: meaning[word] for person, word in zip(people, words, strict=True) if word != "done"}


def _by_meaning(response: Response) -> ConnectorError | None:
    if response.status == 404:
        return AuthError(f"{response.host}: {PLUGIN if _code(response) == 'rest_no_route' else ELSEWHERE}")
    if response.status == 401:
        return AuthError(f"{response.host} takes no such user with this application password")
    if response.status == 403 and _code(response) == "rest_forbidden":
        return AuthError(f"{response.host}: the user may not manage_audiences")
    return by_status(response)


def _code(response: Response) -> str:
    try:
        return Fault.model_validate_json(response.body).code
    except ValueError:
        return ""


@hookimpl
def hub_connectors() -> list[type[WordPress]]:
    return [WordPress]
