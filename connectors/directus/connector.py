"""The calls to Directus.

A row's primary key follows from its person and its audience, so that adding twice is adding once. Directus carries a
request out as one transaction: one row that it refuses spoils all, and the hub halves the batch.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from pydantic import BaseModel

from hub.sdk import (
    Account,
    Audience,
    AuthError,
    Capabilities,
    Channel,
    Connector,
    ConnectorError,
    Page,
    Person,
    RefusedError,
    Response,
    Result,
    TransientError,
    by_status,
)

from .config import DirectusConfig

PAGE = 1000
# Any namespace will do, as long as it never changes: with another one, rows that are there would not be found.
NAMESPACE = uuid.UUID("6f1d3a3e-7a55-4d0f-9c0e-2f4f9a1b7c58")
# What Directus says of one row: https://directus.io/docs/guides/connect/errors
OF_A_ROW = frozenset(
    "FAILED_VALIDATION INVALID_PAYLOAD RECORD_NOT_UNIQUE VALUE_TOO_LONG VALUE_OUT_OF_RANGE NOT_NULL_VIOLATION"
    " CONTAINS_NULL_VALUES INVALID_FOREIGN_KEY UNPROCESSABLE_CONTENT CONTENT_TOO_LARGE".split()
)
OF_THE_ACCOUNT = frozenset({"INVALID_CREDENTIALS", "TOKEN_EXPIRED", "INVALID_TOKEN", "USER_SUSPENDED"})


class Me(BaseModel):
    id: str
    email: str | None = None


class Named(BaseModel):
    data: Me


class Rows(BaseModel):
    data: list[dict[str, Any]]


class Counted(BaseModel):
    filter_count: int


class Listed(Rows):
    meta: Counted


class Extensions(BaseModel):
    code: str


class Fault(BaseModel):
    extensions: Extensions


class Faults(BaseModel):
    errors: list[Fault]


class Directus(Connector[DirectusConfig]):
    key = "directus"
    title = "Directus"
    channel = Channel.CMS
    capabilities = Capabilities(key="external_id", batch=250, concurrency=2, read_back=True, erase=True)
    Config = DirectusConfig
    scopes = ("create, read, update and delete on the collection",)

    def limits(self) -> Capabilities:
        return replace(self.capabilities, key=self.config.person, batch=self.config.batch)

    async def check(self) -> Account:
        me = (await self._call("GET", "/users/me", params={"fields": "id,email"})).parse(Named).data
        return Account(me.email or me.id)

    async def ensure_audience(self, name: str) -> Audience:
        """An audience begins with its first row; what must be there is the collection."""
        if not await self._is_there():
            if not self.config.create_collection:
                raise AuthError(
                    f"the collection {self.config.collection} with its three fields is not there, or the token may not"
                    " read it: make it, or allow create_collection"
                )
            made = await self._call("POST", "/collections", json=self.config.definition())
            if made.parse(Made).data.collection != self.config.collection:
                raise TransientError("Directus answered with another collection")
        return Audience(name, ref=name)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        rows = {str(row[self.config.id_field]): row for row in (self._row(audience, person) for person in people)}
        there = await self._there(list(rows), sorted({name for person in people for name in person.fields}))
        for method, ours in (("POST", [key for key in rows if key not in there]), ("PATCH", sorted(there))):
            if ours:
                await self._write(method, [rows[key] for key in ours])
        return Result()

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        await self._delete({self.config.id_field: {"_in": [_row_id(audience.ref, person.key) for person in people]}})
        return Result()

    async def erase(self, people: Sequence[Person]) -> Result:
        await self._delete({self.config.person_field: {"_in": [person.key for person in people]}})
        return Result()

    async def members_page(self, audience: Audience, cursor: str | None = None) -> Page:
        start, wanted = int(cursor or 0), self.config.person_field
        query = {
            "fields": wanted,
            "filter": _text({self.config.segment_field: {"_eq": audience.ref}}),
            "sort": self.config.id_field,
            "limit": PAGE,
            "offset": start,
            "meta": "filter_count",
        }
        found = (await self._call("GET", self._items, params=query)).parse(Listed)
        total, seen = found.meta.filter_count, start + len(found.data)
        if any(not isinstance(row.get(wanted), str) for row in found.data):
            raise TransientError("Directus listed rows without the person's field")
        return Page([row[wanted] for row in found.data], str(seen) if found.data and seen < total else None, total)

    def _row(self, audience: Audience, person: Person) -> dict[str, Any]:
        named = {self.config.person_field: person.key, self.config.segment_field: audience.ref}
        return {**person.fields, **named, self.config.id_field: _row_id(audience.ref, person.key)}

    @property
    def _items(self) -> str:
        return f"/items/{self.config.collection}"

    async def _is_there(self) -> bool:
        """Directus says 403 of what is missing and of what is forbidden alike."""
        ours = (self.config.id_field, self.config.person_field, self.config.segment_field)
        query: dict[str, str | int] = {"fields": ",".join(ours), "limit": 1}
        found = await self._call("GET", self._items, params=query, classify=_unless_missing)
        return found.ok and bool(found.parse(Rows))

    async def _there(self, ids: list[str], mapped: list[str]) -> set[str]:
        """Those of the rows that are there: POST takes only new ones, and PATCH only known ones. Asked by SEARCH, which
        has room for them, and changes nothing; with the mapped fields, since one that is no column is complained of
        only when it is read: written by an administrator, Directus drops it without a word."""
        ours = self.config.id_field
        query = {"fields": [ours, *mapped], "filter": {ours: {"_in": ids}}, "limit": len(ids)}
        answer = await self._call("SEARCH", self._items, json={"query": query}, changes=False)
        return {str(row.get(ours)) for row in answer.parse(Rows).data} & set(ids)

    async def _write(self, method: str, rows: list[dict[str, Any]]) -> None:
        answer = await self._call(method, self._items, json=rows, params={"fields": self.config.id_field})
        written = {str(row.get(self.config.id_field)) for row in answer.parse(Rows).data}
        if missing := {str(row[self.config.id_field]) for row in rows} - written:
            raise TransientError(f"Directus does not name {len(missing)} of the rows that it was to write")

    async def _delete(self, wanted: Mapping[str, Any]) -> None:
        answer = await self._call("DELETE", self._items, json={"query": {"filter": wanted, "limit": -1}})
        if answer.status != 204:
            raise TransientError(f"{answer.host} answered {answer.status} to a removal, not 204")

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        bearer = {"authorization": f"Bearer {self.config.token.get_secret_value()}"}
        request.setdefault("classify", _by_code)
        return await self.http.request(method, f"{self.config.url.rstrip('/')}{path}", headers=bearer, **request)


class MadeCollection(BaseModel):
    collection: str


class Made(BaseModel):
    data: MadeCollection


def _row_id(segment: str, person: str) -> str:
    return str(uuid.uuid5(NAMESPACE, _text([segment, person])))


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _unless_missing(response: Response) -> ConnectorError | None:
    return None if response.status == 403 and "FORBIDDEN" in _codes(response) else _by_code(response)


def _by_code(response: Response) -> ConnectorError | None:
    """By its codes where it gives one: a row's fault is worth halving the batch for."""
    codes = _codes(response)
    if of_the_account := codes & OF_THE_ACCOUNT:
        return AuthError(f"{response.host} answered {', '.join(sorted(of_the_account))}")
    if response.status < 500 and (of_a_row := codes & OF_A_ROW):
        return RefusedError(f"{response.host} answered {', '.join(sorted(of_a_row))}", divisible=True)
    if response.status == 403:
        return AuthError(f"{response.host} answered 403: the token may not do it, or a mapped field is not there")
    return by_status(response)


def _codes(response: Response) -> frozenset[str]:
    if response.ok:
        return frozenset()
    try:
        return frozenset(fault.extensions.code for fault in Faults.model_validate_json(response.body).errors)
    except ValueError:
        return frozenset()
