"""The calls to Emarsys.

Whoever is put on a list must be a contact first. Nobody's subscription is touched: it is the opt-in, field 31, which is
never sent, and lists say nothing about it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import cached_property
from typing import Any, ClassVar

from hub.sdk import (
    AccessTokens,
    Account,
    ApiVersion,
    Audience,
    Capabilities,
    Channel,
    Connector,
    Outcome,
    OutcomeKind,
    Page,
    Person,
    RefusedError,
    Remaining,
    Response,
    Result,
    Token,
    Window,
    granted,
    json_fields,
)

from . import answers
from .config import FIELD, OPT_IN, EmarsysConfig
from .wsse import username_token

PAGE = 1000


def allowed(each_minute: int) -> tuple[Window, Remaining]:
    return Window(each_minute, seconds=60.0), Remaining()


class Emarsys(Connector[EmarsysConfig]):
    key = "emarsys"
    title = "SAP Emarsys"
    channel = Channel.EMAIL
    capabilities = Capabilities(
        key="email", batch=1000, concurrency=2, read_back=True, erase=True, limits=allowed(1000)
    )
    Config = EmarsysConfig
    scopes: ClassVar = (
        "contact.update", "contact.getdata", "contact.delete", "contactlist.list", "contactlist.create",
        "contactlist.contact.add", "contactlist.contact.delete", "contactlist.contact.ids",
    )  # fmt: skip
    # WSSE ends with 2026.
    versions: ClassVar = (ApiVersion("v3"), ApiVersion("v2", until=date(2026, 12, 31)))

    def limits(self) -> Capabilities:
        return replace(self.capabilities, key=self.config.person, limits=allowed(self.config.requests_per_minute))

    async def check(self) -> Account:
        await self._lists()
        return Account(self.config.user)

    async def ensure_audience(self, name: str) -> Audience:
        if (found := await self._list(name)) is None:
            wanted = {"key_id": self.config.key_field, "name": name, "external_ids": []}
            made = await self._call("POST", "/contactlist", json=wanted, classify=answers.about_a_name)
            if answers.said_in(made).code != answers.NAME_TAKEN:
                found = made.parse(answers.Envelope[answers.MadeList]).data.id
            elif (found := await self._list(name)) is None:
                raise RefusedError("Emarsys has a contact list of almost this name, which it takes for the same")
        return Audience(name, ref=str(found))

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        described = await self._describe(people)
        others = [person for person in people if person.key not in described]
        missing = answers.NOT_YET if self.config.new_contacts == "create" else answers.MISSING
        placed = await self._change(audience, "add", others, missing) if others else Result()
        return replace(placed, outcomes={**described, **placed.outcomes})

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._change(audience, "delete", people, answers.NOTHING_TO_DO)

    async def members_page(self, audience: Audience, cursor: str | None = None) -> Page:
        """Lists hold Emarsys's own ids; a contact without a key counts, and is called by theirs, as nobody else is."""
        path, asked = f"/contactlist/{audience.ref}/contactIds", {"$skiptoken": cursor or "0", "$top": PAGE}
        page = (await self._call("GET", path, params=asked)).parse(answers.Ids)
        keys = {one.id: one.field(self.config.key_field) for one in await self._contacts(page.ids)}
        named = [keys.get(number) or f"contact {number}" for number in page.ids]
        spelled = [name.lower() for name in named] if self.config.person == "email" else named
        return Page(spelled, page.cursor)

    async def erase(self, people: Sequence[Person]) -> Result:
        """Of contacts who share a key Emarsys deletes none, and says so."""
        gone = {"key_id": self.config.key_field, self.config.key_field: [person.key for person in people]}
        answer = await self._about(people, "POST", "/contact/delete", json=gone)
        return answers.outcomes(answer, answers.Erased, people, answers.NOTHING_TO_DO)

    async def _describe(self, people: Sequence[Person]) -> Mapping[str, Outcome]:
        """Create who is missing, if that is wanted, and set the fields; who is refused here."""
        creating = self.config.new_contacts == "create"
        told = [person for person in people if creating or person.fields]
        if not told:
            return {}
        key = self.config.key_field
        body = {"key_id": key, "contacts": [{**self._fields(person), key: person.key} for person in told]}
        how = {"create_if_not_exists": int(creating)}
        answer = await self._about(told, "PUT", "/contact/", params=how, json=body)
        result = answers.outcomes(answer, answers.Upserted, told, answers.MISSING)
        # Errors that name nobody: then nobody knows whom they are about.
        unclear = {} if result.rest is OutcomeKind.ACCEPTED else dict.fromkeys((p.key for p in told), answers.UNCLEAR)
        return {**unclear, **result.outcomes}

    async def _change(self, audience: Audience, how: str, people: Sequence[Person], missing: Outcome) -> Result:
        path = f"/contactlist/{audience.ref}/{how}"
        body = {"key_id": self.config.key_field, "external_ids": [person.key for person in people]}
        shape = answers.Added if how == "add" else answers.Removed
        return answers.outcomes(await self._about(people, "POST", path, json=body), shape, people, missing)

    async def _contacts(self, ids: Sequence[int]) -> list[answers.Contact]:
        if not ids:
            return []
        asked = {"keyId": "id", "keyValues": [str(one) for one in ids], "fields": [self.config.key_field]}
        answer = await self._call("POST", "/contact/getdata", json=asked, changes=False)
        return answer.parse(answers.Envelope[answers.Contacts]).data.result or []

    async def _list(self, name: str) -> int | None:
        """The oldest of that name, so that it stays the same one."""
        return min((one.id for one in await self._lists() if one.name == name), default=None)

    async def _lists(self) -> list[answers.FoundList]:
        return (await self._call("GET", "/contactlist")).parse(answers.Envelope[list[answers.FoundList]]).data

    def _fields(self, person: Person) -> dict[str, Any]:
        """By their numbers; what has no value is emptied."""
        if strange := [name for name in person.fields if not re.fullmatch(FIELD, name)]:
            raise RefusedError(f"{', '.join(strange)}: a field of Emarsys's goes by its number")
        fields = json_fields(person, {OPT_IN, self.config.key_field})
        return {name: _value(value) for name, value in fields.items()}

    async def _about(self, people: Sequence[Person], method: str, path: str, **request: Any) -> Response:
        return await self._call(method, path, classify=answers.about(people, self.config.key_field), **request)

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        url = f"{self.config.api_url.rstrip('/')}/{self.config.api_version}{path}"
        request = {"classify": answers.refusal, **request}
        if self.config.api_version == "v2":
            token = username_token(self.config.user, self.config.secret.get_secret_value())
            return await self.http.request(method, url, headers={"x-wsse": token}, **request)
        return await self._tokens.request(self.http, method, url, **request)

    @cached_property
    def _tokens(self) -> AccessTokens:
        return AccessTokens(self._ask)

    async def _ask(self) -> Token:
        client = (self.config.user, self.config.secret.get_secret_value())
        return await granted(self.http, self.config.oauth_url, {"grant_type": "client_credentials"}, client)


def _value(value: Any) -> Any:
    """Emarsys has neither booleans nor empty lists."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value == [] else value
