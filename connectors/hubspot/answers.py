"""What HubSpot answers, and what it means: for a batch, for the rows in it, and for the day."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AliasPath, BaseModel, Field, ValidationError

from hub.sdk import (
    AuthError,
    ConnectorError,
    Outcome,
    OutcomeKind,
    Person,
    RefusedError,
    Response,
    TransientError,
    by_status,
    scrubbed,
)

NO_CONTACT = Outcome(OutcomeKind.REJECTED, "no such contact in HubSpot")
NOT_THERE = Outcome(OutcomeKind.NOOP)
SAID_NOTHING = Outcome(OutcomeKind.UNKNOWN, "HubSpot said nothing of this contact")

TEN_SECONDS = 10.0
# The contact, or the list, is being changed elsewhere; the account is being moved to another data centre.
_LOCKED, _MOVING = 423, 477
_WORD = re.compile(r"[A-Z][A-Z_]{1,40}|[0-9a-f-]{36}")


class Details(BaseModel):
    portal: int = Field(validation_alias="portalId")
    time_zone: str = Field("", validation_alias="timeZone")


class FoundList(BaseModel):
    id: str = Field(validation_alias=AliasPath("list", "listId"), min_length=1)
    name: str = Field(validation_alias=AliasPath("list", "name"))
    kind: str = Field(validation_alias=AliasPath("list", "processingType"))


class Contact(BaseModel):
    id: str
    properties: dict[str, str | None]
    trace: str | None = Field(None, validation_alias="objectWriteTraceId")

    @property
    def email(self) -> str:
        return (self.properties.get("email") or "").strip().lower()

    @property
    def addresses(self) -> list[str]:
        """The first is the contact's own; the others it has from contacts that were merged into it."""
        more = (self.properties.get("hs_additional_emails") or "").split(";")
        return [address for one in (self.email, *more) if (address := one.strip().lower())]


class RowError(BaseModel):
    category: str = ""
    message: str = ""
    # Lists of texts by name, says the description; HubSpot's own examples have other shapes too.
    context: Any = None
    errors: Any = None

    def about(self, person: Person) -> Outcome:
        return Outcome(OutcomeKind.REJECTED, scrubbed(self.message or self.category or "refused by HubSpot", person))


class Rows(BaseModel):
    """Of a batch: 200 where all went well, 207 where some did not."""

    status: Literal["COMPLETE"]
    results: list[Contact]
    errors: list[RowError] = []

    def insist_all_were_looked_up(self) -> None:
        """Whoever is missing for another reason than that there is no such contact may well be there."""
        if others := {one.category for one in self.errors} - {"OBJECT_NOT_FOUND", "VALIDATION_ERROR"}:
            raise TransientError(f"HubSpot could not look up every contact{_in_words(*sorted(others))}")


class Memberships(BaseModel):
    """Ids that are in none of these were as wanted before. The first name is HubSpot's own."""

    added: list[str] = Field(validation_alias="recordsIdsAdded")
    removed: list[str] = Field(validation_alias="recordIdsRemoved")
    missing: list[str] = Field(validation_alias="recordIdsMissing")


class Member(BaseModel):
    id: str = Field(validation_alias="recordId")


class Members(BaseModel):
    results: list[Member]
    following: str | None = Field(None, validation_alias=AliasPath("paging", "next", "after"))


class Problem(BaseModel):
    category: str = ""
    message: str = ""
    correlation: str = Field("", validation_alias="correlationId")
    policy: str = Field("", validation_alias="policyName")


@dataclass(frozen=True, slots=True)
class Written:
    """Of those who were sent: ids of the contacts, and who was refused; of anybody else nothing was said."""

    ids: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, Outcome] = field(default_factory=dict)

    def and_also(self, other: Written) -> Written:
        return Written({**self.ids, **other.ids}, {**self.refused, **other.refused})

    def tells_of(self, key: str) -> bool:
        return key in self.ids or key in self.refused


def of_rows(rows: Rows, people: Mapping[str, Person]) -> Written:
    """`people` by the trace ids that they were sent with. Results and errors tell those, or an address."""
    by_name = {**{person.key.lower(): person for person in people.values()}, **people}
    told = ((contact.trace or contact.email, contact.id) for contact in rows.results)
    ids = {by_name[name].key: native for name, native in told if name in by_name}
    errors = [(error, by_name.get(name.lower())) for error in rows.errors for name in _names(error)]
    return Written(ids, {person.key: error.about(person) for error, person in errors if person})


def by_meaning(response: Response, zone: str) -> ConnectorError | None:
    """A vanished list is for a person to look at: making it anew would hide who was in it."""
    said, problem = f"{response.host} answered {response.status}", problem_of(response)
    if response.status == 429:
        return TransientError(f"{said}{_in_words(problem.policy)}", _wait(response, problem, zone))
    if response.status in {_LOCKED, _MOVING}:
        return TransientError(said, response.retry_after())
    if response.status == 404:
        return AuthError(f"{said}: the list, or this version of the API, is gone")
    error = by_status(response)
    if isinstance(error, RefusedError):
        return RefusedError(f"{said}{_in_words(problem.category, problem.correlation)}", divisible=error.divisible)
    return error


def problem_of(response: Response) -> Problem:
    """What an answer says against a request; nothing, where it says it in another shape."""
    try:
        return Problem.model_validate_json(response.body)
    except ValidationError:
        return Problem()


def _wait(response: Response, problem: Problem, zone: str) -> float:
    """What is spent of a day comes back at midnight of the account; HubSpot's other limits roll over ten seconds."""
    asked = response.retry_after()
    if problem.policy == "DAILY":
        now = response.received_at.astimezone(ZoneInfo(zone))
        tomorrow = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), now.tzinfo)
        return max(tomorrow.timestamp() - now.timestamp(), asked or 0.0)
    return TEN_SECONDS if asked is None else asked


def _names(error: RowError) -> Iterator[str]:
    """Every text in the error's context, however deep."""
    unread = [error.context, error.errors]
    while unread:
        item = unread.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list | dict):
            unread += item if isinstance(item, list) else item.values()


def _in_words(*words: str) -> str:
    """HubSpot's codes, where they are codes: its sentences could name people."""
    told = [word for word in words if _WORD.fullmatch(word)]
    return f" ({', '.join(told)})" if told else ""


def shown(value: Any) -> str:
    """A property's value: all are texts; an empty one clears."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ";".join(map(str, value))
