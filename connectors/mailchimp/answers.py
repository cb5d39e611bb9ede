"""What Mailchimp answers, and what its sentences about people mean: it has few error codes for them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field

from hub.sdk import AuthError, ConnectorError, Outcome, OutcomeKind, Person, Response, by_status, scrubbed

Item = TypeVar("Item")

MISSING = Outcome(OutcomeKind.REJECTED, "not a contact of this list")
NOTHING_TO_DO = Outcome(OutcomeKind.NOOP)

_SAYS_LATER = re.compile(r"signed up to a lot of lists|try again later", re.IGNORECASE)
_SAYS_SUPPRESSED = re.compile(r"compliance state|unsubscribed|cleaned|bounce|forgotten|permanently deleted", re.I)
_SAYS_MISSING = re.compile(
    r"not (currently )?(a |on |in )?(subscribed|(list )?member|contact|the list|exist)|not found", re.IGNORECASE
)


class ListFound(BaseModel):
    name: str


class Tag(BaseModel):
    id: int
    name: str


class Contact(BaseModel):
    email_address: str


class Page(BaseModel, Generic[Item]):
    """One page of a listing: each kind calls its items differently."""

    items: list[Item]


class Tags(Page[Tag]):
    items: list[Tag] = Field(alias="segments")


class Contacts(Page[Contact]):
    items: list[Contact] = Field(alias="members")
    total_items: int | None = None


class TagError(BaseModel):
    email_addresses: list[str]
    error: str


class Tagged(BaseModel):
    members_added: list[Any]
    members_removed: list[Any]
    errors: list[TagError]
    error_count: int = 0

    @property
    def named(self) -> list[tuple[str, str]]:
        return [(address, error.error) for error in self.errors for address in error.email_addresses]


class UpdateError(BaseModel):
    email_address: str
    error: str


class Updated(BaseModel):
    updated_members: list[Any]
    errors: list[UpdateError]
    error_count: int = 0


class Problem(BaseModel):
    title: str = ""
    detail: str = ""


def about_the_list(response: Response) -> ConnectorError | None:
    """A vanished list or tag is for a person to look at: making it anew would hide who was in it."""
    if response.status == 404:
        return AuthError(f"{response.host} answered 404: the list or the tag is gone")
    return by_status(response)


def about_one_contact(response: Response) -> ConnectorError | None:
    return None if response.status in {400, 404} else by_status(response)


def outcomes(errors: Iterable[tuple[str, str]], people: Iterable[Person]) -> dict[str, Outcome]:
    """Outcomes of those of `people` whom Mailchimp names, in whatever case it writes their addresses."""
    known = {person.key.casefold(): person for person in people}
    named = ((known.get(address.casefold()), text) for address, text in errors)
    return {person.key: outcome(text, person) for person, text in named if person}


def outcome(text: str, person: Person) -> Outcome:
    reason = scrubbed(text, person)
    if _SAYS_LATER.search(text):
        return Outcome(OutcomeKind.RETRY, reason)
    if _SAYS_SUPPRESSED.search(text):
        return Outcome(OutcomeKind.SUPPRESSED, reason)
    return MISSING if _SAYS_MISSING.search(text) else Outcome(OutcomeKind.REJECTED, reason)
