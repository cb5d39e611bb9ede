"""The calls to Microsoft Advertising. Each is for one kind of identifier and one direction, and answers row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from hub.sdk import Account, Audience, Capabilities, Channel, Connector, Person, RefreshedTokens, Response, Result

from . import answers
from .config import SCOPE, MicrosoftConfig

# The vendor's names of the kinds of identifiers.
SUBTYPES = {"email": "Email", "phone": "Phone", "user_id": "CRM"}
SPELLINGS = {"plain": "microsoft.email", "bare": "bare.email"}


class Microsoft(Connector[MicrosoftConfig]):
    key = "microsoft"
    title = "Microsoft Advertising Customer Match"
    channel = Channel.ADS
    capabilities = Capabilities(
        identifiers=tuple(SUBTYPES),
        spellings={"email": "microsoft.email", "phone": "microsoft.phone"},
        batch=1000,
        concurrency=2,
        least_audience=300,
        effect_within_s=172_800.0,
    )
    Config = MicrosoftConfig
    scopes = (SCOPE,)

    def limits(self) -> Capabilities:
        spellings = {**self.capabilities.spellings, "email": SPELLINGS[self.config.email_spelling]}
        return replace(
            self.capabilities, identifiers=self.config.identifiers, spellings=spellings, batch=self.config.batch
        )

    async def check(self) -> Account:
        await self._lists()
        return Account(f"ad account {self.config.account_id}")

    async def ensure_audience(self, name: str) -> Audience:
        found = [one.id for one in await self._lists() if one.name == name]
        if found:
            return Audience(name, ref=str(min(found)))
        wanted = {"Audiences": [{"Name": name, "Type": "CustomerList"}]}
        added = await self._call("/Audiences", wanted)
        return Audience(name, ref=answers.added_id(added, self.config.throttle_rest_s))

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._apply("Add", audience, people)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._apply("Remove", audience, people)

    async def _apply(self, action: str, audience: Audience, people: Sequence[Person]) -> Result:
        result = Result()
        for kind, subtype in SUBTYPES.items():
            if rows := [person for person in people if person.kind == kind]:
                data = {
                    "AudienceId": audience.ref,
                    "ActionType": action,
                    "CustomerListItemSubType": subtype,
                    "CustomerListItems": [person.value for person in rows],
                    **({"AcceptCustomerMatchTerm": True} if self.config.accept_terms else {}),
                }
                answer = await self._call("/CustomerListUserData/Apply", {"CustomerListUserData": data})
                result = result.merged(answers.outcomes(answer, rows))
        return result

    async def _lists(self) -> list[answers.CustomerList]:
        """All of them: asked without ids, Microsoft tells everything of the kind."""
        answer = await self._call("/Audiences/QueryByIds", {"Type": "CustomerList"}, changes=False)
        return answer.parse(answers.CustomerLists).lists or []

    @cached_property
    def _tokens(self) -> RefreshedTokens:
        return RefreshedTokens(self.http, self.config.oauth_url, self.config.form)

    async def _call(self, path: str, body: Any, **request: Any) -> Response:
        url, headers = f"{self.config.api_url.rstrip('/')}{path}", self.config.headers
        classify = partial(answers.by_code, rest_s=self.config.throttle_rest_s)
        return await self._tokens.request(
            self.http, "POST", url, json=body, headers=headers, classify=classify, **request
        )
