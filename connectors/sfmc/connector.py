"""The calls to Marketing Cloud's REST API.

Rows are written by requests that are carried out later: jobs, whose results come row by row. There is no such way to
delete a row, so whoever leaves stays as a row that says no. Nobody's subscription is touched: it lives in All
Subscribers, and a data extension is none of that.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any
from urllib.parse import quote

from hub.sdk import (
    AccessTokens,
    Account,
    Audience,
    AuthError,
    Capabilities,
    Channel,
    Connector,
    FieldValue,
    Page,
    Person,
    RefusedError,
    Response,
    Result,
    Token,
    TransientError,
    granted,
)

from . import answers
from .config import MarketingCloudConfig

PAGE = 1000
# Without the hash behind it. Other people's code has had trouble with names of many more.
LONGEST_NAME = 40
EXTENSIONS = "/data/v1/customobjects"


class MarketingCloud(Connector[MarketingCloudConfig]):
    key = "sfmc"
    title = "Salesforce Marketing Cloud"
    channel = Channel.EMAIL
    # Quotas are by the year, no limit by the second is known. Requests side by side lose rows to deadlocks.
    capabilities = Capabilities(
        key="email", batch=1000, concurrency=1, jobs=True, job_deadline_s=21_600.0, read_back=True
    )
    Config = MarketingCloudConfig
    scopes = ("data_extensions_read", "data_extensions_write")

    def limits(self) -> Capabilities:
        mine = self.config
        return replace(
            self.capabilities, key=mine.person, batch=mine.batch, job_deadline_s=mine.deadline_hours * 3600.0
        )

    async def check(self) -> Account:
        await self._extensions("_", 1)
        unit = f", business unit {self.config.account_id}" if self.config.account_id else ""
        return Account(f"{self.config.subdomain}{unit}")

    async def ensure_audience(self, name: str) -> Audience:
        """The data extension of exactly that name, or the one that the hub would make."""
        for wanted in dict.fromkeys((name, _label(name))):
            if found := await self._extension(wanted):
                await self._insist_on_columns(found)
                return Audience(name, ref=found.key)
        return Audience(name, ref=await self._make(_label(name)))

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        if taken := {name for one in people for name in one.fields if name.lower() in self._ours}:
            raise RefusedError(f"{', '.join(sorted(taken))}: the hub fills that column itself, map the field elsewhere")
        values = [{name: _value(value) for name, value in one.fields.items()} for one in people]
        return await self._write(audience, people, values, member=True)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._write(audience, people, [{}] * len(people), member=False)

    async def poll(self, audience: Audience, job: str, keys: Sequence[str]) -> Result:  # noqa: ARG002 - known by its id
        told = await self._call("GET", f"/data/v1/async/{quote(job, safe='')}/status")
        status = told.parse(answers.Progress).status
        if status is None or not status.over:
            return Result(job=job)
        return Result() if status.well else answers.verdict(await self._results(job), keys)

    async def members_page(self, audience: Audience, cursor: str | None = None) -> Page:
        """All rows, of which those that say yes are members. A page of fewer rows than were asked for would leave
        people out."""
        number, mine = int(cursor or 1), self.config
        asked = {"$page": number, "$pageSize": PAGE, "$orderBy": f"{mine.person_column} asc"}
        path = f"/data/v1/customobjectdata/key/{quote(audience.ref, safe='')}/rowset"
        rows = (await self._call("GET", path, params=asked)).parse(answers.Rows)
        before = (number - 1) * PAGE
        if rows.page != number or len(rows.items) != min(PAGE, max(0, rows.count - before)):
            raise TransientError("Marketing Cloud did not tell the rows that were asked for")
        members = [str(row[mine.person_column]) for row in rows.items if _says_yes(row[mine.member_column])]
        spelled = [name.lower() for name in members] if mine.person == "email" else members
        return Page(spelled, str(number + 1) if before + PAGE < rows.count else None)

    async def _write(
        self, audience: Audience, people: Sequence[Person], values: Sequence[Mapping[str, Any]], *, member: bool
    ) -> Result:
        said, mine = {self.config.member_column: member}, self.config.person_column
        rows = [{**value, **said, mine: person.key} for person, value in zip(people, values, strict=True)]
        path = f"/data/v1/async/dataextensions/key:{quote(audience.ref, safe='')}/rows"
        return Result(job=(await self._call("PUT", path, json={"items": rows})).parse(answers.Taken).request)

    async def _results(self, job: str) -> list[answers.RowResult]:
        """However many pages they fill; a page that is answered twice would shift everybody."""
        rows: list[answers.RowResult] = []
        path, number = f"/data/v1/async/{quote(job, safe='')}/results", 1
        while True:
            told = (await self._call("GET", path, params={"page": number})).parse(answers.RowResults)
            rows += told.items
            if told.page != number or (len(rows) < told.count and not told.items):
                raise TransientError("Marketing Cloud did not tell all results")
            if len(rows) >= told.count:
                return rows
            number += 1

    async def _extension(self, name: str) -> answers.Extension | None:
        """The search finds parts of names too."""
        number, seen = 1, 0
        while True:
            told = await self._extensions(name, number)
            seen += len(told.items)
            if found := next((one for one in told.items if one.name == name), None):
                return found
            if not told.items or seen >= told.count:
                return None
            number += 1

    async def _extensions(self, wanted: str, page: int) -> answers.Extensions:
        asked = {"$search": wanted, "$page": page, "$pageSize": PAGE}
        return (await self._call("GET", EXTENSIONS, params=asked)).parse(answers.Extensions)

    async def _insist_on_columns(self, extension: answers.Extension) -> None:
        told = await self._call("GET", f"{EXTENSIONS}/{quote(extension.id, safe='')}/fields")
        columns, mine = told.parse(answers.Columns), self.config
        if columns.primary != {mine.person_column.lower()} or mine.member_column.lower() not in columns.booleans:
            raise AuthError(
                f"the data extension of that name must have {mine.person_column} as its only primary key"
                f" and a Boolean column {mine.member_column}"
            )

    async def _make(self, name: str) -> str:
        if not self.config.create_data_extensions:
            raise AuthError("there is no data extension of that name: make it, or allow create_data_extensions")
        key = f"hub-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
        made = await self._call("POST", EXTENSIONS, json=self.config.definition(name, key))
        return made.parse(answers.Extension).key

    @cached_property
    def _ours(self) -> frozenset[str]:
        """Columns are told apart without case."""
        return frozenset({self.config.person_column.lower(), self.config.member_column.lower()})

    @cached_property
    def _tokens(self) -> AccessTokens:
        return AccessTokens(self._ask)

    async def _ask(self) -> Token:
        return await granted(self.http, self.config.auth_url, self.config.grant)

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        url = f"{self.config.api_url}{path}"
        return await self._tokens.request(self.http, method, url, classify=answers.by_meaning, **request)


def _label(name: str) -> str:
    """A name that Marketing Cloud takes, which compares them without case: a hash keeps two audiences apart."""
    plain = re.sub(r"[^A-Za-z0-9_ -]+", " ", name).strip()[:LONGEST_NAME]
    return name if name == plain.lower() else f"{plain} {hashlib.sha256(name.encode()).hexdigest()[:8]}".strip()


def _value(value: FieldValue) -> str | float | bool | None:
    return value if value is None or isinstance(value, str | int | float) else ", ".join(value)


def _says_yes(value: object) -> bool:
    return str(value).lower() in {"true", "1"}
