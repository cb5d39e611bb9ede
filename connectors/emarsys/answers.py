"""What Emarsys answers: an envelope whose reply code tells, whatever the status, and errors by what names the person.

https://dev.emarsys.com/docs/core-api-reference
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AliasChoices, AliasPath, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hub.sdk import (
    AuthError,
    ConnectorError,
    Outcome,
    OutcomeKind,
    Person,
    RefusedError,
    Response,
    Result,
    TransientError,
    by_status,
    cursor_in,
    scrubbed,
)

Data = TypeVar("Data")
# Emarsys writes an empty object as an empty list.
Errors = Annotated[Mapping[str, Mapping[str, str]], BeforeValidator(lambda value: value or {})]

NOTHING_TO_DO = Outcome(OutcomeKind.NOOP)
MISSING = Outcome(OutcomeKind.REJECTED, "no such contact in this account")
NOT_YET = Outcome(OutcomeKind.RETRY, "Emarsys does not find the contact yet")
UNCLEAR = Outcome(OutcomeKind.RETRY, "Emarsys refused somebody, and does not say whom")
_SHARED = Outcome(OutcomeKind.REJECTED, "several contacts of this account have the same key")
_AT_ONCE = Outcome(OutcomeKind.RETRY, "somebody else is creating the contact")

NO_CONTACT, SEVERAL = 2008, 2010
NAME_TAKEN, NAME_INVALID = 3005, 3004
NO_SUCH_KEY = 2004
_NO_LIST = frozenset({2020, 3004, 3006})
# Of one contact's key or value; said of the whole request where it holds nobody else.
_OF_ONE = frozenset({2005, 2006, 2007, NO_CONTACT, 2009, SEVERAL})
_LATER = frozenset({1003, 2001})


class Reply(BaseModel):
    code: int = Field(0, alias="replyCode")
    text: str = Field("", alias="replyText")

    @property
    def misses_the_list(self) -> bool:
        """Some of Emarsys's codes mean several things."""
        return self.code in _NO_LIST or "list does not exist" in self.text.lower()


class Envelope(BaseModel, Generic[Data]):
    code: Literal[0] = Field(alias="replyCode")
    data: Data


class FoundList(BaseModel):
    id: int
    name: str


class MadeList(BaseModel):
    id: int


class Upserted(BaseModel):
    ids: list[Any]
    errors: Errors = {}


class Added(BaseModel):
    count: int = Field(alias="inserted_contacts")
    errors: Errors = {}


class Removed(BaseModel):
    count: int = Field(alias="deleted_contacts")
    errors: Errors = {}


class Erased(BaseModel):
    errors: Errors


class Ids(BaseModel):
    """One page of a list. Its description has it bare, everything else of Emarsys's comes in an envelope."""

    ids: list[int] = Field(validation_alias=AliasChoices(AliasPath("data", "value"), "value"))
    following: str | None = Field(validation_alias=AliasChoices(AliasPath("data", "next"), "next"))

    @property
    def cursor(self) -> str | None:
        return cursor_in(self.following, "$skiptoken")


class Contact(BaseModel):
    """The fields that were asked for stand beside the id, by their numbers."""

    model_config = ConfigDict(extra="allow")
    id: int

    def field(self, number: str) -> str | None:
        value = (self.model_extra or {}).get(number)
        return str(value) if value else None


class Contacts(BaseModel):
    """No list but `false` where nobody was found."""

    result: list[Contact] | Literal[False]


def about(people: Sequence[Person], key_field: str) -> Callable[[Response], ConnectorError | None]:
    """Reads what Emarsys says against a request about these people; of a single one, the connector hears it itself."""

    def classify(response: Response) -> ConnectorError | None:
        code = said_in(response).code
        if code in _OF_ONE and len(people) == 1 and response.status in {200, 400}:
            return None
        if code == NO_SUCH_KEY:
            return AuthError(f"{response.host} finds nobody by field {key_field}: see key_field, which needs an index")
        return refusal(response)

    return classify


def about_a_name(response: Response) -> ConnectorError | None:
    """Taken: somebody else has just made a list of that name."""
    code = said_in(response).code
    if code == NAME_INVALID:
        return RefusedError(f"{response.host} does not take this name for a contact list")
    return None if code == NAME_TAKEN else refusal(response)


def refusal(response: Response) -> ConnectorError | None:
    """A vanished list is for a person to look at: making it anew would hide who was in it."""
    told, said = said_in(response), f"{response.host} answered {response.status}"
    if response.status not in {200, 202, 400, 404}:
        return by_status(response)
    if told.misses_the_list:
        return AuthError(f"{said}: the contact list is gone")
    if response.status == 404:
        return AuthError(f"{said}: no API of Emarsys stands there, see api_url")
    if told.code in _LATER:
        return TransientError(f"{said} with reply code {told.code}")
    return RefusedError(f"{said} with reply code {told.code}", divisible=True) if told.code else by_status(response)


def said_in(response: Response) -> Reply:
    """Code 0 also where there is no envelope."""
    try:
        return Reply.model_validate_json(response.body)
    except ValidationError:
        return Reply()


def outcomes(
    response: Response, shape: type[Upserted | Added | Removed | Erased], people: Sequence[Person], missing: Outcome
) -> Result:
    """What became of these people, of whom those who are `missing` at Emarsys may mean something else each time."""
    if (reply := said_in(response)).code:
        return Result({person.key: _outcome(str(reply.code), reply.text, person, missing) for person in people})
    told: Envelope[Any] = response.parse(Envelope[shape])  # type: ignore[valid-type]
    found = dict(_named(told.data.errors, people, missing))
    return Result(found, OutcomeKind.UNKNOWN if len(found) < len(told.data.errors) else OutcomeKind.ACCEPTED)


def _named(
    errors: Mapping[str, Mapping[str, str]], people: Sequence[Person], missing: Outcome
) -> Iterator[tuple[str, Outcome]]:
    known = {person.key: person for person in people}
    for name, said in errors.items():
        if person := known.get(name) or known.get(name.lower()):
            code, text = next(iter(said.items()), ("", ""))
            yield person.key, _outcome(code, text, person, missing)


def _outcome(code: str, text: str, person: Person, missing: Outcome) -> Outcome:
    if code == str(NO_CONTACT):
        return missing
    if code == str(SEVERAL):
        return _SHARED
    if "already exists" in text:
        return _AT_ONCE
    return Outcome(OutcomeKind.REJECTED, scrubbed(text, person) or f"refused by Emarsys with code {code}")
