"""What SendGrid answers, and whom its sentences are about: it names people in them and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, Field

from hub.sdk import AuthError, ConnectorError, Outcome, OutcomeKind, Response, TransientError, by_status

Classifier = Callable[[Response], ConnectorError | None]

INVALID = Outcome(OutcomeKind.REJECTED, "SendGrid says that the address is not valid")
REFUSED = Outcome(OutcomeKind.REJECTED, "SendGrid's job ended with an error for this contact")
FAILED = Outcome(OutcomeKind.RETRY, "SendGrid's job failed as a whole")
NOT_FOUND_YET = Outcome(OutcomeKind.RETRY, "added a short while ago, and SendGrid does not find the contact yet")
NOT_REMOVED = Outcome(OutcomeKind.RETRY, "SendGrid could not remove the contact")
NOTHING_TO_DO = Outcome(OutcomeKind.NOOP)

_NOT_AN_ADDRESS = re.compile(r"e-?mail.*(not valid|invalid)|invalid.*e-?mail", re.IGNORECASE)
_NOT_FOUND = re.compile(r"not found|not exist", re.IGNORECASE)


class Scopes(BaseModel):
    scopes: list[str]


class Count(BaseModel):
    contact_count: int


class Made(BaseModel):
    id: str
    name: str


class Links(BaseModel):
    next: str | None = None


class Lists(BaseModel):
    result: list[Made]
    links: Links = Field(Links(), alias="_metadata")

    @property
    def following(self) -> str | None:
        """The token of the next page: SendGrid gives the page's whole address, which the hub does not follow."""
        return next(iter(parse_qs(urlsplit(self.links.next or "").query).get("page_token", [])), None)


class FieldDefinition(BaseModel):
    name: str
    kind: str = Field(alias="field_type")
    id: str = ""
    read_only: bool = False


class FieldDefinitions(BaseModel):
    custom: list[FieldDefinition] = Field(alias="custom_fields")
    reserved: list[FieldDefinition] = Field(alias="reserved_fields")


class Accepted(BaseModel):
    job_id: str | dict[str, Any]


class Submitted(BaseModel):
    job_id: str = Field(min_length=1)


class JobResults(BaseModel):
    errored_count: int = 0
    errors_url: str = ""


class Job(BaseModel):
    status: Literal["pending", "completed", "errored", "failed"]
    finished_at: datetime | Literal[""] | None = None
    results: JobResults | None = None


class Contact(BaseModel):
    id: str = Field(min_length=1)
    list_ids: list[str]


class Answer(BaseModel):
    contact: Contact | None = None
    error: str | None = None


class Searched(BaseModel):
    result: dict[str, Answer]


class Complaint(BaseModel):
    message: str


class Complaints(BaseModel):
    errors: list[Complaint] = Field(min_length=1)


def about_the_list(response: Response) -> ConnectorError | None:
    """A vanished list is for a person to look at: making it anew would hide who was in it."""
    if response.status == 404:
        return AuthError(f"{response.host} answered 404: the list is gone")
    return by_status(response)


def about_an_upsert(response: Response) -> ConnectorError | None:
    return None if response.status == 400 else about_the_list(response)


def passing(*statuses: int) -> Classifier:
    """Reads all answers but those as usual: what these mean, the caller knows."""
    return lambda response: None if response.status in statuses else by_status(response)


def known_at_all(what: str) -> Classifier:
    """What was made a moment ago, SendGrid may not know of yet; what was removed, not any more. It says nothing about
    anybody, and is asked again."""

    def read(response: Response) -> ConnectorError | None:
        if response.status == 404:
            return TransientError(f"{response.host} does not know the {what}, or not yet")
        return by_status(response)

    return read


def about_a_file(response: Response) -> ConnectorError | None:
    """The file of errors lies elsewhere, behind an address that lapses: no word about our credentials."""
    return None if response.status == 200 else TransientError(f"{response.host} does not hand out the file of errors")


def said(response: Response) -> str:
    """All that SendGrid has to say against a request."""
    return " ".join(complaint.message for complaint in response.parse(Complaints).errors)


def about_the_address(response: Response, key: str) -> bool:
    text = said(response)
    return bool(named(text, [key]) or _NOT_AN_ADDRESS.search(text))


def named(text: str, keys: Iterable[str]) -> list[str]:
    """Those of `keys` that stand in a text as words of their own, and not in the words of another."""
    text, found = text.casefold(), list[str]()
    for key in sorted((key for key in keys if key.casefold() in text), key=len, reverse=True):
        alone = re.compile(rf"(?<![\w.+@-]){re.escape(key.casefold())}(?![\w@-]|\.\w)")
        text, times = alone.subn(" ", text)
        found += [key] if times else []
    return found


def found(response: Response, keys: Iterable[str]) -> dict[str, Contact]:
    """Contacts by key. Raises TransientError unless SendGrid says of everybody else that it does not find them: one
    whom it only leaves out may be there."""
    if response.status == 404:
        response.parse(Complaints)
        return {}
    told = {address.casefold(): answer for address, answer in response.parse(Searched).result.items()}
    contacts = {key: answer.contact for key in keys if (answer := told.get(key.casefold())) and answer.contact}
    for key in keys:
        answer = told.get(key.casefold(), Answer())
        if key not in contacts and not _NOT_FOUND.search(answer.error or ""):
            raise TransientError(f"{response.host} does not say of everybody whether it knows them")
    return contacts
