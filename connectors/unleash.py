"""Unleash: an audience is a segment of the admin API, whose constraint on a context field lists its people.

A segment is always written as a whole: it is read, changed and written, by one call at a time. A constraint without
values is refused, and a segment without constraints is everybody: one that has nobody in it lists a name that is no
user's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from hub.sdk import (
    Account,
    Audience,
    AuthError,
    Batch,
    Capabilities,
    Channel,
    Connector,
    ConnectorConfig,
    ConnectorError,
    Outcome,
    OutcomeKind,
    Page,
    RefusedError,
    Response,
    Result,
    TransientError,
    Url,
    by_status,
    hookimpl,
)

SEGMENTS = "/api/admin/segments"
LONGEST_VALUE = 100


class Constraint(BaseModel):
    """Whatever else it says goes back as it came."""

    model_config = ConfigDict(extra="allow")
    context: str = Field(alias="contextName")
    operator: str
    values: list[str] = []
    inverted: bool = False


class Segment(BaseModel):
    id: int
    name: str
    description: str | None = None
    project: str | None = None
    constraints: list[Constraint]


class Segments(BaseModel):
    segments: list[Segment]


class UiConfig(BaseModel):
    """Old versions tell no limits."""

    version: str
    limits: dict[str, int | None] = Field({}, alias="resourceLimits")


class UnleashConfig(ConnectorConfig):
    url: Url = Field(description="The address of Unleash, with its base path where it has one.")
    token: SecretStr = Field(min_length=8, description="A service account's or personal access token.")
    context_field: str = Field(
        "userId", pattern=r"^[A-Za-z0-9_.-]{1,100}$", description="The field of the Unleash context that names people."
    )
    person: Literal["external_id", "user_id", "email", "device_id"] = Field(
        "external_id", description="What your application puts there: the hub's external id, or an identifier."
    )
    project: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_~.-]{1,100}$", description="The project that the segments belong to; else none."
    )
    values_limit: int = Field(
        1000, ge=1, le=100_000, description="How many values a segment may have: UNLEASH_SEGMENT_VALUES_LIMIT there."
    )
    nobody: str = Field(
        "nobody (kept by the audience hub)",
        min_length=1,
        max_length=LONGEST_VALUE,
        description="What a segment lists that has nobody in it: no user's name, since Unleash wants one value.",
    )


class Unleash(Connector[UnleashConfig]):
    key = "unleash"
    title = "Unleash"
    channel = Channel.CMS
    # One call at a time: two that read the same segment would each undo what the other wrote.
    capabilities = Capabilities(key="external_id", batch=1000, concurrency=1, read_back=True)
    Config = UnleashConfig
    scopes = ("CREATE_SEGMENT", "UPDATE_SEGMENT")

    def limits(self) -> Capabilities:
        return replace(self.capabilities, key=self.config.person)

    async def check(self) -> Account:
        answer = await self._call("GET", "/api/admin/ui-config")
        told, mine = answer.parse(UiConfig), self.config.values_limit
        most = told.limits.get("segmentValues")
        if most is not None and most < mine:
            raise AuthError(f"{answer.host} takes {most} values per segment: values_limit says {mine}")
        return Account(f"{answer.host}, Unleash {told.version}")

    async def ensure_audience(self, name: str) -> Audience:
        known = (await self._call("GET", SEGMENTS)).parse(Segments).segments
        found = next((segment for segment in known if segment.name == name), None)
        if found is None:
            found = (await self._call("POST", SEGMENTS, json=self._definition(name))).parse(Segment)
        elif self.config.project not in {None, found.project}:
            raise AuthError("there is a segment of that name, but not in the configured project")
        self._listing(found)
        return Audience(name, ref=str(found.id))

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        if any(person.fields for person in batch.add):
            raise RefusedError("segments of Unleash hold names alone: map no fields")
        if not len(batch):
            return Result()
        segment = await self._segment(audience)
        listing = self._listing(segment)
        people, left_over = _joined(self._people(listing), batch, self._room(segment, listing))
        values = people or [self.config.nobody]
        if values != listing.values:
            await self._write(segment, listing, values)
        return Result(dict.fromkeys(left_over, self._full))

    async def members_page(self, audience: Audience, cursor: str | None = None) -> Page:  # noqa: ARG002 - there is one
        people = self._people(self._listing(await self._segment(audience)))
        return Page(people, total=len(people))

    def _definition(self, name: str) -> dict[str, Any]:
        nobody = {"contextName": self.config.context_field, "operator": "IN", "values": [self.config.nobody]}
        made = {"name": name, "description": "An audience of the hub", "constraints": [nobody]}
        return {**made, "project": self.config.project} if self.config.project else made

    def _listing(self, segment: Segment) -> Constraint:
        """The constraint that lists people. Others beside it are the admin's: they narrow the segment, and stay."""
        wanted = (self.config.context_field, "IN", False)
        found = [one for one in segment.constraints if (one.context, one.operator, one.inverted) == wanted]
        if len(found) != 1:
            raise AuthError(f"the segment of that name must have one constraint `{wanted[0]} IN` that is not inverted")
        return found[0]

    def _people(self, listing: Constraint) -> list[str]:
        return [value for value in dict.fromkeys(listing.values) if value != self.config.nobody]

    def _room(self, segment: Segment, listing: Constraint) -> int:
        """Unleash counts the values of all constraints together."""
        return self.config.values_limit - sum(len(one.values) for one in segment.constraints if one is not listing)

    @property
    def _full(self) -> Outcome:
        said = f"the segment is full: Unleash takes {self.config.values_limit} values, see values_limit"
        return Outcome(OutcomeKind.REJECTED, said)

    async def _segment(self, audience: Audience) -> Segment:
        return (await self._call("GET", f"{SEGMENTS}/{audience.ref}")).parse(Segment)

    async def _write(self, segment: Segment, listing: Constraint, values: Sequence[str]) -> None:
        """What is left out of an update is lost: the project, for one."""
        constraints = [
            {**one.model_dump(by_alias=True, exclude_unset=True), **({"values": values} if one is listing else {})}
            for one in segment.constraints
        ]
        kept = {"name": segment.name, "description": segment.description, "project": segment.project}
        answer = await self._call("PUT", f"{SEGMENTS}/{segment.id}", json={**kept, "constraints": constraints})
        if answer.status != 204:
            raise TransientError(f"{answer.host} answered {answer.status} to a segment, not 204")

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        token = {"authorization": self.config.token.get_secret_value()}
        url = f"{self.config.url.rstrip('/')}{path}"
        return await self.http.request(method, url, headers=token, classify=_by_meaning, **request)


def _joined(held: Sequence[str], batch: Batch, room: int) -> tuple[list[str], list[str]]:
    """Who is in it afterwards, where whoever leaves makes room first; and whom there is no room for."""
    leaving = {person.key for person in batch.remove}
    staying = dict.fromkeys(key for key in held if key not in leaving)
    coming = [person.key for person in batch.add if person.key not in staying]
    free = max(0, room - len(staying))
    return [*staying, *coming[:free]], coming[free:]


def _by_meaning(response: Response) -> ConnectorError | None:
    """Unleash's own words repeat values, so nothing of them is shown but a number."""
    if response.status == 404:
        return AuthError(f"{response.host} answered 404: the segment is gone, or no Unleash stands there, see url")
    if response.status == 409:
        return AuthError(f"{response.host} answered 409: a segment of that name exists which the token may not see")
    if response.status == 400 and (told := re.search(rb"more than (\d{1,9}) values", response.body)):
        return RefusedError(
            f"{response.host} takes {int(told[1])} values per segment, see values_limit", divisible=True
        )
    return by_status(response)


@hookimpl
def hub_connectors() -> list[type[Unleash]]:
    return [Unleash]
