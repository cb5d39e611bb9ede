"""The calls to Meta. Every identifier of a person is a row; Meta finds the person by any of them, or does not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote

from hub.sdk import (
    Account,
    ApiVersion,
    Audience,
    Batch,
    Capabilities,
    Channel,
    Connector,
    Gauge,
    OutcomeKind,
    Person,
    Response,
    Result,
    pages,
)

from . import answers
from .config import MetaConfig
from .table import IDENTIFIERS, SIGNAL, SPELLINGS, payload, session

PAGE = 200

# How much of the account's hourly allowance is used, by kind of use. The allowance grows with the audiences, so that it
# cannot be counted from here.
USAGE = Gauge(
    "x-business-use-case-usage",
    fields=("call_count", "total_cputime", "total_time"),
    regain="estimated_time_to_regain_access",
)


class Meta(Connector[MetaConfig]):
    key = "meta"
    title = "Meta Custom Audiences"
    channel = Channel.ADS
    capabilities = Capabilities(
        identifiers=tuple(IDENTIFIERS),
        spellings=SPELLINGS,
        signals=(SIGNAL,),
        batch=10_000,
        concurrency=2,
        erase=True,
        limits=(USAGE,),
        least_audience=100,
        effect_within_s=86_400.0,
    )
    Config = MetaConfig
    scopes = ("ads_management",)
    versions = (ApiVersion("v25.0"), ApiVersion("v24.0"))

    async def check(self) -> Account:
        found = await self._call("GET", f"/{self.config.account}", params={"fields": "id,name"})
        account = found.parse(answers.AdAccount)
        return Account(account.name or account.id)

    async def ensure_audience(self, name: str) -> Audience:
        """Names need not be unique there: the oldest is ours, however many there are."""
        found = [one.id async for one in self._audiences() if one.name == name and one.subtype == "CUSTOM"]
        if found:
            return Audience(name, ref=min(found, key=lambda ref: (len(ref), ref)))
        wanted = {"name": name, "subtype": "CUSTOM", "customer_file_source": self.config.customer_file_source}
        made = await self._call("POST", f"/{self.config.account}/customaudiences", json=wanted)
        return Audience(name, ref=made.parse(answers.Made).id)

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        added = await self._change("POST", audience, batch.add, batch.run)
        removed = await self._change("DELETE", audience, batch.remove, batch.run)
        return added.merged(removed)

    async def erase(self, people: Sequence[Person]) -> Result:
        """Out of every audience of the ad account, also those that the hub knows nothing of."""
        body = {"payload": payload(people)}
        answer = await self._call("DELETE", f"/{self.config.account}/usersofanyaudience", json=body)
        answer.parse(answers.Erased)
        return Result()

    async def _change(self, method: str, audience: Audience, people: Sequence[Person], run: str) -> Result:
        if not people:
            return Result()
        body = {"payload": payload(people), "session": session(run, people), **self._consent()}
        answer = await self._call(method, f"/{quote(audience.ref, safe='')}/users", json=body)
        received = answer.parse(answers.Received)
        # Fewer than were sent: nobody knows which.
        rest = OutcomeKind.ACCEPTED if received.num_received >= len(people) else OutcomeKind.UNKNOWN
        return Result(rest=rest, invalid=received.num_invalid_entries)

    def _consent(self) -> dict[str, bool]:
        said = self.config.customer_consent
        return {} if said is None else {"customer_consent": said}

    async def _audiences(self) -> AsyncIterator[answers.Found]:
        async for page in pages(self._page, lambda page: page.paging.after):
            for found in page.data:
                yield found

    async def _page(self, after: str | None) -> answers.Audiences:
        wanted: dict[str, str | int] = {
            "fields": "id,name,subtype",
            "limit": PAGE,
            **({"after": after} if after else {}),
        }
        return (await self._call("GET", f"/{self.config.account}/customaudiences", params=wanted)).parse(
            answers.Audiences
        )

    async def _call(
        self, method: str, path: str, *, params: dict[str, str | int] | None = None, json: Any = None
    ) -> Response:
        bearer = {"authorization": f"Bearer {self.config.access_token.get_secret_value()}"}
        asked = {**(params or {}), **self.config.proof}
        return await self.http.request(
            method, f"{self.config.base}{path}", params=asked, json=json, headers=bearer, classify=answers.by_code
        )
