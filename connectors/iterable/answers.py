"""What Iterable answers: whom it could not take stands in lists of names, one list for each reason."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from hub.sdk import (
    AuthError,
    ConnectorError,
    Outcome,
    OutcomeKind,
    Page,
    Person,
    RefusedError,
    Response,
    Result,
    TransientError,
    by_status,
    scrubbed,
)

NOTHING_TO_DO = Outcome(OutcomeKind.NOOP)

_FORGOTTEN = Outcome(OutcomeKind.SUPPRESSED, "forgotten at Iterable, which takes nothing more about this person")
_MISSING = Outcome(OutcomeKind.REJECTED, "no such user in this project")
# By the list's name without what it lists: forgottenEmails, forgottenUserIds, …
_ADDING = {
    "forgotten": _FORGOTTEN,
    "notFound": _MISSING,
    "conflict": Outcome(OutcomeKind.REJECTED, "Iterable has this address and this user id with different users"),
    "invalid": Outcome(OutcomeKind.REJECTED, "Iterable finds the address or user id malformed"),
    "invalidData": Outcome(OutcomeKind.REJECTED, "a field is of another type in Iterable"),
}
# Whoever is not known to the project is not on its list.
_REMOVING = {**_ADDING, "forgotten": NOTHING_TO_DO, "notFound": NOTHING_TO_DO}
_FAILED = Outcome(OutcomeKind.RETRY, "Iterable could not carry it out")
_GONE = frozenset({"ForgottenUserError", "UnknownEmailError", "UnknownUserIdError"})
_LISTED = re.compile(r"(Emails|UserIds)$")
# Its description says that it is a text in JSON; others have seen the bare number.
_COUNT = re.compile(rb'("?)(?P<number>[0-9]{1,12})\1')


class FoundList(BaseModel):
    id: int
    name: str
    kind: str = Field(alias="listType")


class FoundLists(BaseModel):
    lists: list[FoundList]


class MadeList(BaseModel):
    id: int = Field(alias="listId")


class Changed(BaseModel):
    """`invalid…` stood outside of `failedUpdates` once, and still do."""

    succeeded: int = Field(alias="successCount", ge=0)
    failed: int = Field(alias="failCount", ge=0)
    failures: dict[str, list[str]] = Field({}, alias="failedUpdates")
    emails: list[str] = Field([], alias="invalidEmails")
    ids: list[str] = Field([], alias="invalidUserIds")

    def named(self) -> Iterator[tuple[str, str]]:
        """Who failed, and why."""
        yield from ((name, "invalid") for name in (*self.emails, *self.ids))
        for listed, names in self.failures.items():
            yield from ((name, _LISTED.sub("", listed)) for name in names)


class Done(BaseModel):
    code: Literal["Success"]


class Problem(BaseModel):
    code: str = Field("", pattern=r"^\w{0,60}$")
    msg: str = ""


def of_adding(response: Response, people: Sequence[Person]) -> Result:
    return _read(response, people, _ADDING)


def of_removing(response: Response, people: Sequence[Person]) -> Result:
    return _read(response, people, _REMOVING)


def _read(response: Response, people: Sequence[Person], meaning: Mapping[str, Outcome]) -> Result:
    told, known = response.parse(Changed), {person.key for person in people}
    found = ((name if name in known else name.lower(), why) for name, why in told.named())
    outcomes = {name: meaning.get(why, _FAILED) for name, why in found if name in known}
    # Failures that name nobody, and people of whom nothing is said: then nobody knows who they are.
    unclear = told.failed > len(outcomes) or told.succeeded < len(people) - len(outcomes)
    return Result(outcomes, OutcomeKind.UNKNOWN if unclear else OutcomeKind.ACCEPTED)


def of_members(users: Response, size: Response) -> Page:
    """A name on each line, and their number: texts both, so that each must bear the other out."""
    try:
        names, counted = users.body.decode().split("\n"), _COUNT.fullmatch(size.body.strip())
    except UnicodeDecodeError:
        counted = None
    if counted is None:
        raise TransientError(f"{users.host} answered {users.status} with no list of users")
    total = int(counted["number"])
    members = [name.strip() for name in names if name.strip()]
    if len(members) > total:
        raise TransientError(f"{users.host} named more users than it counts")
    return Page([name.lower() if "@" in name else name for name in members], None, total)


def by_meaning(response: Response) -> ConnectorError | None:
    """A vanished list is for a person to look at: making it anew would hide who was in it."""
    told = problem(response)
    if response.status == 404 or (response.status == 400 and "invalidListId" in told.msg):
        return AuthError(f"{response.host} answered {response.status}: the list is gone")
    if response.status == 400 and told.code:
        return RefusedError(f"{response.host} answered 400: {told.code}", divisible=True)
    return by_status(response)


def about_one(response: Response) -> ConnectorError | None:
    return None if response.status in {400, 409} else by_status(response)


def of_forgetting(response: Response, person: Person) -> Outcome | None:
    """Of whoever is forgotten, or is not known, there is nothing left to erase."""
    if response.ok:
        response.parse(Done)
        return None
    told = problem(response)
    if told.code in _GONE:
        return NOTHING_TO_DO
    return Outcome(OutcomeKind.REJECTED, scrubbed(told.msg or told.code, person) or "refused by Iterable")


def problem(response: Response) -> Problem:
    try:
        return Problem.model_validate_json(response.body)
    except ValidationError:
        return Problem()
