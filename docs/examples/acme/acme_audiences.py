"""Acme Mail for the audience hub: an audience is a list, and people are on it by their e-mail address."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from pydantic import BaseModel, Field, SecretStr

from hub.sdk import (
    Account,
    Audience,
    Capabilities,
    Channel,
    Connector,
    ConnectorConfig,
    Outcome,
    OutcomeKind,
    Person,
    Response,
    Result,
    Url,
    Window,
    hookimpl,
    scrubbed,
)


# [config]
class AcmeConfig(ConnectorConfig):
    token: SecretStr = Field(description="An API token with the scope `lists`, from Acme Mail's settings.")
    url: Url = Field("https://api.acme.example", description="The API; another one only for tests.")


# [/config]
# [answers]
class Named(BaseModel):
    id: str
    name: str


class Refused(BaseModel):
    email: str
    why: str


class Changed(BaseModel):
    refused: list[Refused]


# [/answers]
# [connector]
class Acme(Connector[AcmeConfig]):
    key = "acme"
    title = "Acme Mail"
    channel = Channel.EMAIL
    capabilities = Capabilities(key="email", batch=200, concurrency=2, limits=(Window(10, seconds=1.0),))
    Config = AcmeConfig

    async def check(self) -> Account:
        return Account((await self._call("GET", "/account")).parse(Named).name)

    async def ensure_audience(self, name: str) -> Audience:
        found = await self._call("PUT", f"/lists/{quote(name, safe='')}")
        return Audience(name, ref=found.parse(Named).id)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        rows = [{"email": person.key, **person.fields} for person in people]
        answer = await self._call("POST", f"/lists/{audience.ref}/add", {"people": rows})
        return _exceptions(answer.parse(Changed), people)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        answer = await self._call(
            "POST", f"/lists/{audience.ref}/remove", {"emails": [person.key for person in people]}
        )
        return _exceptions(answer.parse(Changed), people)

    async def _call(self, method: str, path: str, json: object = None) -> Response:
        bearer = {"authorization": f"Bearer {self.config.token.get_secret_value()}"}
        return await self.http.request(method, f"{self.config.url.rstrip('/')}{path}", json=json, headers=bearer)


def _exceptions(changed: Changed, people: Sequence[Person]) -> Result:
    """Everybody was accepted but those whom Acme names."""
    known = {person.key: person for person in people}
    named = ((known.get(refused.email), refused.why) for refused in changed.refused)
    return Result({who.key: Outcome(OutcomeKind.REJECTED, scrubbed(why, who)) for who, why in named if who})


@hookimpl
def hub_connectors() -> list[type[Acme]]:
    return [Acme]


# [/connector]
