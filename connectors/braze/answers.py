"""What Braze answers: what it takes it only queues, and what it does not take it names by place, if at all.

https://www.braze.com/docs/api/endpoints/user_data/post_user_track
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from hub.sdk import ConnectorError, Outcome, OutcomeKind, Person, Response, Result, by_status, scrubbed

UNCLEAR = Outcome(OutcomeKind.RETRY, "Braze did not take everybody, and does not say whom")

# "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields": nothing in the request was taken.
_NOTHING_TAKEN = re.compile(r"^Valid data must be provided", re.IGNORECASE)
# Ids that Braze blocks as those of bots and dummies.
_BLOCKED = re.compile(r"blacklisted|blocklisted", re.IGNORECASE)


class Complaint(BaseModel):
    type: str | None = None
    array: str = Field("attributes", alias="input_array")
    index: int | None = None


class Tracked(BaseModel):
    """`queued` is said while Braze is being maintained, and of nobody in particular."""

    message: Literal["success", "queued"]
    processed: int | None = Field(None, alias="attributes_processed")
    errors: list[Complaint | str] = []


class NothingTaken(BaseModel):
    message: str = Field(pattern=_NOTHING_TAKEN)
    errors: list[Complaint | str] = []


class Deleted(BaseModel):
    deleted: int = Field(ge=0)
    errors: list[Complaint | str] = []


def but_for_nothing_taken(response: Response) -> ConnectorError | None:
    return None if nothing_taken(response) else by_status(response)


def nothing_taken(response: Response) -> NothingTaken | None:
    """The refusal of a request in which nothing was valid, where it is one."""
    if response.status != 400:
        return None
    try:
        return NothingTaken.model_validate_json(response.body)
    except ValidationError:
        return None


def of(response: Response, people: Sequence[Person]) -> Result:
    """What became of those who were sent in this order."""
    if refusal := nothing_taken(response):
        return _unclear_but_for(_named(refusal.errors, people), people)
    told = response.parse(Tracked)
    named = _named(told.errors, people)
    if told.message == "queued":
        return Result(named, OutcomeKind.UNKNOWN)
    too_few = told.processed is not None and told.processed < len(people) - len(named)
    return _unclear_but_for(named, people) if too_few or len(told.errors) > len(named) else Result(named)


def _unclear_but_for(named: Mapping[str, Outcome], people: Sequence[Person]) -> Result:
    return Result({person.key: named.get(person.key, UNCLEAR) for person in people})


def _named(errors: Sequence[Complaint | str], people: Sequence[Person]) -> dict[str, Outcome]:
    placed = [error for error in errors if isinstance(error, Complaint) and error.array == "attributes"]
    about = [(people[at], error) for error in placed if (at := error.index) is not None and at in range(len(people))]
    return {person.key: _refused(error, person) for person, error in about}


def _refused(error: Complaint, person: Person) -> Outcome:
    said = error.type or "refused by Braze"
    return Outcome(OutcomeKind.SUPPRESSED if _BLOCKED.search(said) else OutcomeKind.REJECTED, scrubbed(said, person))
