"""What Brevo answers. It names those for whom a change failed, and does not say why."""

from __future__ import annotations

import re

from pydantic import BaseModel, Field

from hub.sdk import (
    AuthError,
    ConnectorError,
    Outcome,
    OutcomeKind,
    Person,
    Response,
    TransientError,
    by_status,
    scrubbed,
)

MISSING = Outcome(OutcomeKind.REJECTED, "no such contact in this account")
NOT_TAKEN = Outcome(OutcomeKind.REJECTED, "Brevo did not take the contact onto the list, and does not say why")
UNSUBSCRIBED = Outcome(OutcomeKind.SUPPRESSED, "unsubscribed or blocked at Brevo")
NOTHING_TO_DO = Outcome(OutcomeKind.NOOP)
STILL_THERE = Outcome(OutcomeKind.RETRY, "Brevo did not take the contact off the list")

# "Contact already in list and/or does not exist", "Contact already removed from list and/or does not exist"
_NOBODY_CHANGED = re.compile(r"already (in|removed)|does not exist", re.IGNORECASE)


class AccountFound(BaseModel):
    email: str
    company: str = Field("", alias="companyName")


class Made(BaseModel):
    id: int


class Named(Made):
    name: str


class Listing(BaseModel):
    """Of lists or of folders; where there are none, only the count is sure to be there."""

    count: int
    lists: list[Named] = []
    folders: list[Named] = []


class Contact(BaseModel):
    lists: list[int] = Field(alias="listIds")
    blocked: bool = Field(False, alias="emailBlacklisted")
    left: list[int] | None = Field(None, alias="listUnsubscribed")


class Member(Made):
    email: str | None = None


class Members(BaseModel):
    count: int
    contacts: list[Member]


class Told(BaseModel):
    success: list[str | int] = []


class Changed(BaseModel):
    contacts: Told


class Problem(BaseModel):
    code: str
    message: str = ""


def about_the_list(response: Response) -> ConnectorError | None:
    """A vanished list is for a person to look at: making it anew would hide who was in it."""
    if response.status == 404:
        return AuthError(f"{response.host} answered 404: the list is gone")
    return None if changed_nobody(response) else by_status(response)


def about_contacts(response: Response) -> ConnectorError | None:
    return None if response.status in {400, 404} else by_status(response)


def changed_nobody(response: Response) -> bool:
    """Brevo refuses a call as a whole where there was nothing to do for anybody in it."""
    return response.status == 400 and bool(_NOBODY_CHANGED.search(_said(response)))


def refusal(response: Response, person: Person) -> Outcome | None:
    """What Brevo says against a call about one contact, if it says anything."""
    if response.status == 404:
        response.parse(Problem)
        return MISSING
    if response.status == 400:
        return Outcome(OutcomeKind.REJECTED, scrubbed(response.parse(Problem).message, person) or "refused by Brevo")
    return None


def insist_done(response: Response) -> None:
    """Changes of contacts are answered with 204; anything else is somebody else's answer."""
    if response.status != 204:
        raise TransientError(f"{response.host} answered {response.status}, which is not what it says when it is done")


def _said(response: Response) -> str:
    try:
        return response.parse(Problem).message
    except TransientError:
        return ""
