"""The calls to The Trade Desk. Every id of a person is an item; a membership lasts for so long, and for no time at all
where somebody is removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from hub.sdk import (
    Account,
    Audience,
    Capabilities,
    Channel,
    Connector,
    ConnectorError,
    Outcome,
    OutcomeKind,
    Person,
    RefusedError,
    Response,
    Result,
)

from . import answers
from .config import TradeDeskConfig

MINUTES_A_DAY = 1440
DATA, DELETION = "/data/advertiser", "/data/deletion-optout/advertiser"
UNTYPED = Outcome(OutcomeKind.REJECTED, "the configuration says no more which type of id this is")


class TradeDesk(Connector[TradeDeskConfig]):
    key = "tradedesk"
    title = "The Trade Desk first-party data"
    channel = Channel.ADS
    capabilities = Capabilities(
        identifiers=("ad_id", "device_id", "user_id"),
        batch=1600,
        concurrency=4,
        erase=True,
    )
    Config = TradeDeskConfig
    scopes = ("Data API for first-party data",)

    def limits(self) -> Capabilities:
        return replace(self.capabilities, identifiers=tuple(self.config.identifiers), batch=self.config.batch)

    async def check(self) -> Account:
        """No call only asks: one without items changes nothing, and 400 says that the advertiser was recognised."""
        nobody = {"AdvertiserId": self.config.advertiser_id, "Items": []}
        answer = await self._call(DATA, nobody, classify=_but_for_nobody, changes=False)
        if answer.ok:
            answer.parse(answers.Taken)
        return Account(f"advertiser {self.config.advertiser_id}")

    async def ensure_audience(self, name: str) -> Audience:
        """A data element comes into being with its first person."""
        return Audience(name, ref=name)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._keep(audience, people, self.config.membership_days * MINUTES_A_DAY)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._keep(audience, people, 0)

    async def erase(self, people: Sequence[Person]) -> Result:
        """Out of all that the advertiser shared, whoever shared it. Ids of types that are configured no more were sent
        before, and cannot be named."""
        result = Result()
        for start in range(0, len(people), self.config.batch):
            some = people[start : start + self.config.batch]
            result = result.merged(await self._send(DELETION, some, {}, leaving=True, RequestType="Deletion"))
        return result

    async def _keep(self, audience: Audience, people: Sequence[Person], minutes: int) -> Result:
        data = {"Data": [{"Name": audience.ref, "TtlInMinutes": minutes}]}
        return await self._send(DATA, people, data, leaving=not minutes)

    async def _send(
        self, path: str, people: Sequence[Person], data: Mapping[str, Any], *, leaving: bool, **more: str
    ) -> Result:
        types: Mapping[str, str] = dict(self.config.identifiers.items())
        typed = [person for person in people if person.kind in types]
        untyped = Result({person.key: UNTYPED for person in people if person.kind not in types})
        if not typed:
            return untyped
        items = [{types[person.kind]: person.value, **data} for person in typed]
        body = {"AdvertiserId": self.config.advertiser_id, "Items": items, **more}
        answer = await self._call(path, body, classify=answers.by_lines)
        return untyped.merged(answers.outcomes(answer, typed, leaving=leaving))

    async def _call(self, path: str, body: Mapping[str, Any], **request: Any) -> Response:
        """What is signed is what is sent, byte by byte."""
        content = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        headers = {"content-type": "application/json", **self.config.proof(content)}
        url = f"{self.config.base}{path}"
        return await self.http.request("POST", url, content=content, headers=headers, **request)


def _but_for_nobody(response: Response) -> ConnectorError | None:
    error = answers.by_lines(response)
    return None if response.status == 400 and isinstance(error, RefusedError) else error
