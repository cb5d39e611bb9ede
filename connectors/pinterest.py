"""Pinterest customer lists: an audience is a customer list of one ad account, and the targetable audience made of it.

Pinterest makes no list that is empty. So one comes into being with the first people who are added: until then there is
nothing that could be removed from, and an audience is known by its name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, Field

from hub.sdk import (
    Account,
    Audience,
    AuthError,
    Capabilities,
    Channel,
    Connector,
    ConnectorError,
    DailyBudget,
    NativeIds,
    OAuthConfig,
    Outcome,
    OutcomeKind,
    Person,
    RefreshedTokens,
    RefusedError,
    Response,
    Result,
    TransientError,
    Url,
    Window,
    by_status,
    hookimpl,
    pages,
)

PAGE = 250
KINDS = ("email", "ad_id")
A_SECOND = Window(100, 1.0)
NOBODY_IN = Outcome(OutcomeKind.NOOP, "Pinterest has no list of this name, so nobody was in it")


class PinterestConfig(OAuthConfig):
    ad_account_id: str = Field(pattern=r"^[0-9]{1,18}$", description="The ad account's number, from Ads Manager.")
    list_type: Literal["EMAIL", "MAID", "IDFA"] = Field(
        "EMAIL", description="What new lists are declared to hold; Pinterest takes addresses and ad ids in any of them."
    )
    make_audience: bool = Field(
        True, description="Whether a list is made an audience too, without which no ad can be aimed at it."
    )
    batch: int = Field(10_000, ge=1, le=100_000, description="The most identifiers in one request.")
    requests_per_minute: int = Field(400, ge=1, description="What Pinterest allows you to write a minute.")
    requests_per_day: int | None = Field(
        None,
        ge=1,
        description="What Pinterest allows a day: 1,000 with trial access, and no number with standard access.",
    )
    api_url: Url = Field("https://api.pinterest.com/v5", description="The API's address; change it only for a gateway.")


class Named(BaseModel):
    id: str = Field(min_length=1)
    name: str


class CustomerList(Named):
    """As it is after a change, too: what went wrong then stands in `exceptions`, and names nobody."""

    exceptions: Mapping[str, Any] | None = None


class CustomerLists(BaseModel):
    items: list[CustomerList]
    bookmark: str | None = None


class Rule(BaseModel):
    customer_list_id: str | None = None


class Targetable(BaseModel):
    id: str = Field(min_length=1)
    rule: Rule | None = None


class Targetables(BaseModel):
    items: list[Targetable]
    bookmark: str | None = None


class Pinterest(Connector[PinterestConfig]):
    key = "pinterest"
    title = "Pinterest Customer Lists"
    channel = Channel.ADS
    # One call at a time: two that found no list would make two.
    capabilities = Capabilities(
        identifiers=KINDS,
        spellings={kind: f"pinterest.{kind}" for kind in KINDS},
        batch=10_000,
        concurrency=1,
        limits=(A_SECOND, Window(400, 60.0)),
        least_audience=100,
        effect_within_s=172_800.0,
    )
    Config = PinterestConfig
    scopes = ("ads:read", "ads:write")

    def limits(self) -> Capabilities:
        mine = self.config
        daily = (DailyBudget(mine.requests_per_day),) if mine.requests_per_day else ()
        allowed = (A_SECOND, Window(mine.requests_per_minute, 60.0), *daily)
        return replace(self.capabilities, batch=mine.batch, limits=allowed)

    async def check(self) -> Account:
        return Account((await self._call("GET", "")).parse(Named).name)

    async def ensure_audience(self, name: str) -> Audience:
        """By its name alone: the list may have to wait for its first people."""
        self._ids.forget([name])
        await self._list_id(name)
        return Audience(name, ref=name)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        if list_id := await self._list_id(audience.ref):
            return await self._change("ADD", audience, list_id, people)
        wanted = {"name": audience.ref, "records": _records(people), "list_type": self.config.list_type}
        made = (await self._call("POST", "/customer_lists", json=wanted)).parse(CustomerList)
        self._ids.learn({audience.ref: made.id})
        return _read(made)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        if list_id := await self._list_id(audience.ref):
            return await self._change("REMOVE", audience, list_id, people)
        return Result({person.key: NOBODY_IN for person in people})

    async def finish(self, audience: Audience, run: str) -> None:  # noqa: ARG002
        """Only an audience can be aimed at. Pinterest makes none of a list that it finds too small, or is still
        matching: that is no fault of the run, and the next one asks again."""
        list_id = await self._list_id(audience.ref)
        if not (self.config.make_audience and list_id) or list_id in self._targetable:
            return
        if list_id not in {
            one.rule.customer_list_id async for one in self._items("/audiences", Targetables) if one.rule
        }:
            wanted = {"name": audience.name, "audience_type": "CUSTOMER_LIST", "rule": {"customer_list_id": list_id}}
            try:
                (await self._call("POST", "/audiences", json=wanted)).parse(Targetable)
            except RefusedError:
                return
        self._targetable.add(list_id)

    async def _change(self, operation: str, audience: Audience, list_id: str, people: Sequence[Person]) -> Result:
        body = {"operation_type": operation, "records": _records(people)}
        try:
            answer = await self._call("PATCH", f"/customer_lists/{list_id}", json=body)
        except AuthError:
            self._ids.forget([audience.ref])
            raise
        changed = answer.parse(CustomerList)
        if changed.id != list_id:
            raise TransientError(f"{answer.host} answers about another list")
        return _read(changed)

    async def _list_id(self, name: str) -> str | None:
        return (await self._ids.of([name], self._find)).get(name)

    async def _find(self, names: Sequence[str]) -> dict[str, str]:
        """Names need not be unique there: the oldest is ours."""
        found: dict[str, str] = {}
        async for one in self._items("/customer_lists", CustomerLists):
            if one.name in names:
                found.setdefault(one.name, one.id)
        return found

    async def _items(self, path: str, shape: type[CustomerLists] | type[Targetables]) -> AsyncIterator[Any]:
        async def ask(bookmark: str | None) -> CustomerLists | Targetables:
            marked = {"bookmark": bookmark} if bookmark else {}
            answer = await self._call("GET", path, params={"page_size": PAGE, "order": "ASCENDING", **marked})
            return answer.parse(shape)

        async for page in pages(ask, lambda page: page.bookmark):
            for one in page.items:
                yield one

    @cached_property
    def _ids(self) -> NativeIds:
        """Of the lists, by name."""
        return NativeIds()

    @cached_property
    def _targetable(self) -> set[str]:
        return set()

    @cached_property
    def _tokens(self) -> RefreshedTokens:
        """Pinterest wants the app's name and secret in the header alone."""
        form = {name: self.config.grant[name] for name in ("grant_type", "refresh_token")}
        app = (self.config.client_id, self.config.client_secret.get_secret_value())
        return RefreshedTokens(self.http, f"{self._base}/oauth/token", form, app)

    @property
    def _base(self) -> str:
        return self.config.api_url.rstrip("/")

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        url = f"{self._base}/ad_accounts/{self.config.ad_account_id}{path}"
        return await self._tokens.request(self.http, method, url, classify=_by_meaning, **request)


def _records(people: Sequence[Person]) -> str:
    return ",".join(person.value for person in people)


def _read(changed: CustomerList) -> Result:
    return Result(rest=OutcomeKind.UNKNOWN if changed.exceptions else OutcomeKind.ACCEPTED)


def _by_meaning(response: Response) -> ConnectorError | None:
    if response.status == 404:
        return AuthError(f"{response.host} answered 404: the ad account or the list is gone, or not for this token")
    return by_status(response)


@hookimpl
def hub_connectors() -> list[type[Pinterest]]:
    return [Pinterest]
