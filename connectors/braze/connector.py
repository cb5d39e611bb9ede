"""The calls to Braze: whoever is in an audience has its attribute set to true, whoever left it to false.

Subscriptions are attributes too, at Braze: those, and the addresses by which Braze renews them, are never sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from hub.sdk import (
    Account,
    Audience,
    Batch,
    Capabilities,
    Channel,
    Connector,
    OutcomeKind,
    Person,
    RefusedError,
    Remaining,
    Response,
    Result,
    Window,
    json_fields,
    plain_word,
)

from . import answers
from .config import MOST, BrazeConfig

MOST_ERASED = 50
# A new address is subscribed, or resubscribes whoever had left: Settings > Sending Configuration says which.
NEVER_SENT = frozenset({
    "email", "phone", "email_subscribe", "push_subscribe", "subscription_groups", "subscription_group_id",
    "subscription_state", "push_tokens", "push_token_import", "external_id", "braze_id", "user_alias",
    "marked_email_as_spam_at", "_update_existing_only",
})  # fmt: skip
TRACK, BULK = Window(3000, seconds=3.0), Window(50, seconds=1.0)


class Braze(Connector[BrazeConfig]):
    key = "braze"
    title = "Braze"
    channel = Channel.EMAIL
    capabilities = Capabilities(key="external_id", batch=MOST, erase=True, limits=(TRACK, Remaining()))
    Config = BrazeConfig
    scopes: ClassVar = ("users.track", "users.delete")

    def limits(self) -> Capabilities:
        allowed = (BULK if self.config.bulk else TRACK, Remaining())
        return replace(self.capabilities, key=self.config.person, batch=self.config.most, limits=allowed)

    async def check(self) -> Account:
        """Of no users at all Braze says that nothing was valid, but only to a key that may track users."""
        answers.of(await self._track([], changes=False), [])
        return Account(self.config.instance)

    async def ensure_audience(self, name: str) -> Audience:
        """An attribute comes into being with its first user."""
        return Audience(name, ref=self.config.attribute_prefix + plain_word(name))

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        if any(audience.ref in person.fields for person in batch.add):
            raise RefusedError(f"{audience.ref}: the hub sets that attribute itself, map the field to another")
        people = [*batch.add, *batch.remove]
        if not people:
            return Result()
        rows = [*self._in(audience, batch.add), *self._out(audience, batch.remove)]
        return answers.of(await self._track(rows), people)

    async def erase(self, people: Sequence[Person]) -> Result:
        """Braze counts whom it deletes, and leaves out whom it does not know."""
        result = Result()
        for start in range(0, len(people), MOST_ERASED):
            answer = await self._call("/users/delete", self._named(people[start : start + MOST_ERASED]))
            told = answer.parse(answers.Deleted)
            result = result.merged(Result(rest=OutcomeKind.UNKNOWN if told.errors else OutcomeKind.ACCEPTED))
        return result

    def _in(self, audience: Audience, people: Sequence[Person]) -> Iterator[dict[str, Any]]:
        """A user whom Braze does not know comes into being, without an address or a device to write to. None clears an
        attribute."""
        for person in people:
            fields = json_fields(person, NEVER_SENT)
            yield {**fields, **self._name(person), audience.ref: True, "_update_existing_only": False}

    def _out(self, audience: Audience, people: Sequence[Person]) -> Iterator[dict[str, Any]]:
        """Nobody comes into being by leaving, least of all whoever was erased."""
        for person in people:
            yield {**self._name(person), audience.ref: False, "_update_existing_only": True}

    def _name(self, person: Person) -> dict[str, Any]:
        return {"user_alias": self._alias(person)} if self.config.alias_label else {"external_id": person.key}

    def _named(self, people: Sequence[Person]) -> dict[str, Any]:
        if self.config.alias_label:
            return {"user_aliases": [self._alias(person) for person in people]}
        return {"external_ids": [person.key for person in people]}

    def _alias(self, person: Person) -> dict[str, Any]:
        return {"alias_label": self.config.alias_label, "alias_name": person.key}

    async def _track(self, rows: Sequence[dict[str, Any]], *, changes: bool = True) -> Response:
        path = "/users/track/bulk" if self.config.bulk else "/users/track"
        body = {"attributes": rows}
        return await self._call(path, body, classify=answers.but_for_nothing_taken, changes=changes)

    async def _call(self, path: str, body: object, **how: Any) -> Response:
        base = (self.config.api_url or f"https://{self.config.instance}").rstrip("/")
        bearer = {"authorization": f"Bearer {self.config.api_key.get_secret_value()}"}
        return await self.http.request("POST", f"{base}{path}", json=body, headers=bearer, **how)
