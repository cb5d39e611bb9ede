"""The calls to Iterable (https://api.iterable.com/api/docs).

Nobody's subscription is touched: those are to channels and message types. Lists say nothing about them, as long as
whoever is taken off one is not unsubscribed from its channel too, which Iterable does where it is told to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hub.sdk import (
    Account,
    Audience,
    Capabilities,
    Channel,
    Connector,
    Outcome,
    Page,
    Person,
    Response,
    Result,
    Window,
    in_turn,
    json_fields,
)

from . import answers
from .config import IterableConfig

HOSTS = {"us": "https://api.iterable.com", "eu": "https://api.eu.iterable.com"}
# Fields of a user that say what they are subscribed to, by what they are known, and where they are reached by push.
NEVER_SENT = frozenset({
    "email", "userId", "emailListIds", "unsubscribedChannelIds", "unsubscribedMessageTypeIds",
    "subscribedMessageTypeIds", "devices", "browserTokens", "itblInternal",
})  # fmt: skip


class Iterable(Connector[IterableConfig]):
    key = "iterable"
    title = "Iterable"
    channel = Channel.EMAIL
    capabilities = Capabilities(
        key="email", batch=1000, concurrency=2, read_back=True, erase=True, limits=(Window(5, seconds=1.0),)
    )
    Config = IterableConfig

    def limits(self) -> Capabilities:
        allowed = Window(self.config.requests_per_second, seconds=1.0)
        return replace(self.capabilities, key=self.config.person, limits=(allowed,))

    async def check(self) -> Account:
        await self._lists()
        return Account(f"a project in the {self.config.region.upper()} data centre")

    async def ensure_audience(self, name: str) -> Audience:
        """The oldest of that name, so that it stays the same one; dynamic and suppression lists are no audiences."""
        found = [one.id for one in await self._lists() if one.name == name and one.kind == "Standard"]
        if not found:
            described = {"name": name, "description": "An audience of the hub"}
            found = [(await self._call("POST", "/lists", json=described)).parse(answers.MadeList).id]
        return Audience(name, ref=str(min(found)))

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        users = [{**self._name(person), **_described(person)} for person in people]
        how = {"updateExistingUsersOnly": not self.config.create_users}
        return answers.of_adding(await self._change("/lists/subscribe", audience, users, how), people)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        users, how = [self._name(person) for person in people], {"channelUnsubscribe": False}
        return answers.of_removing(await self._change("/lists/unsubscribe", audience, users, how), people)

    async def members_page(self, audience: Audience, cursor: str | None = None) -> Page:  # noqa: ARG002 - all at once
        asked = {"listId": audience.ref, "preferUserId": "false" if self.config.person == "email" else "true"}
        users = await self._call("GET", "/lists/getUsers", params=asked, classify=answers.by_meaning)
        return answers.of_members(users, await self._call("GET", f"/lists/{audience.ref}/size"))

    async def erase(self, people: Sequence[Person]) -> Result:
        """Forgets rather than deletes: a project based on e-mail makes a user anew even of whoever leaves a list."""
        return await in_turn(people, self._forget)

    async def _forget(self, person: Person) -> Outcome | None:
        answer = await self._call("POST", "/users/forget", json=self._name(person), classify=answers.about_one)
        return answers.of_forgetting(answer, person)

    async def _lists(self) -> list[answers.FoundList]:
        return (await self._call("GET", "/lists")).parse(answers.FoundLists).lists

    async def _change(self, path: str, audience: Audience, users: Sequence[Any], how: Mapping[str, bool]) -> Response:
        body = {"listId": int(audience.ref), "subscribers": users, **how}
        return await self._call("POST", path, json=body, classify=answers.by_meaning)

    def _name(self, person: Person) -> dict[str, Any]:
        return {"email" if self.config.person == "email" else "userId": person.key}

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        base = (self.config.api_url or HOSTS[self.config.region]).rstrip("/")
        key = {"api-key": self.config.api_key.get_secret_value()}
        return await self.http.request(method, f"{base}/api{path}", headers=key, **request)


def _described(person: Person) -> dict[str, Any]:
    """None clears a field."""
    return {"dataFields": json_fields(person, NEVER_SENT)} if person.fields else {}
