"""What Microsoft answers: faults, and errors by the place of what was sent. Their texts may repeat identifiers, so only
codes are ever told.

https://learn.microsoft.com/advertising/guides/handle-service-errors-exceptions
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field, ValidationError

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
)

# Too many calls a minute, or at once.
THROTTLED = frozenset({117, 207})
# An error of theirs, by any name.
TRY_AGAIN = frozenset({0, *THROTTLED})
MEANS_NO_ACCESS = {
    105: "the token or the developer token holds no longer",
    106: "the user may not do this in the ad account",
    109: "the token has lapsed",
    8003: "the Customer Match terms are not accepted: accept them in the web interface, or say so in accept_terms",
}


class Fault(BaseModel):
    code: int = Field(alias="Code")


class PartialFault(Fault):
    index: int | None = Field(None, alias="Index")


class Faults(BaseModel):
    """Either list, by the kind of the fault; neither in an answer that is none."""

    errors: list[Fault] | None = Field(None, alias="Errors")
    of_the_operation: list[Fault] | None = Field(None, alias="OperationErrors")
    of_the_batch: list[Fault] | None = Field(None, alias="BatchErrors")

    @property
    def codes(self) -> list[int]:
        lists = (self.errors, self.of_the_operation, self.of_the_batch)
        return [fault.code for faults in lists for fault in faults or []]


class Applied(BaseModel):
    """The list is there in each answer, and null or empty where all went well."""

    failed: list[PartialFault] | None = Field(alias="PartialErrors")


class CustomerList(BaseModel):
    id: int = Field(alias="Id")
    name: str = Field(alias="Name")


class CustomerLists(Applied):
    lists: list[CustomerList] | None = Field(alias="Audiences")


class Added(Applied):
    ids: list[int | None] = Field(alias="AudienceIds", min_length=1)


def by_code(response: Response, rest_s: float) -> ConnectorError | None:
    """Faults are told by their codes; by status only where there are none. `rest_s` is for a throttle that names no
    wait."""
    try:
        codes = Faults.model_validate_json(response.body).codes
    except ValidationError:
        codes = []
    return _meaning(response, codes, rest_s) or by_status(response)


def outcomes(response: Response, people: Sequence[Person]) -> Result:
    """Everybody was taken but those whose place is named. An error without a place may be anybody's."""
    failed = response.parse(Applied).failed or []
    if refusal := _no_access(response, [fault.code for fault in failed]):
        raise refusal
    named = {fault.index: _outcome(fault.code) for fault in failed}
    placed = {place: outcome for place, outcome in named.items() if place is not None and 0 <= place < len(people)}
    rest = OutcomeKind.ACCEPTED if len(placed) == len(named) else OutcomeKind.UNKNOWN
    return Result({people[place].key: outcome for place, outcome in placed.items()}, rest)


def added_id(response: Response, rest_s: float) -> str:
    added = response.parse(Added)
    if added.ids[0] is None:
        codes = [fault.code for fault in added.failed or []]
        raise _meaning(response, codes, rest_s) or TransientError(f"{response.host} made no list and does not say why")
    return str(added.ids[0])


def _meaning(response: Response, codes: Sequence[int], rest_s: float) -> ConnectorError | None:
    if not codes:
        return None
    said = _said(response, codes)
    if THROTTLED & {*codes}:
        return TransientError(said, response.retry_after() or rest_s)
    if refusal := _no_access(response, codes):
        return refusal
    if TRY_AGAIN & {*codes}:
        return TransientError(said)
    by_itself = by_status(response)
    return RefusedError(said, divisible=True) if by_itself is None or isinstance(by_itself, RefusedError) else by_itself


def _no_access(response: Response, codes: Sequence[int]) -> AuthError | None:
    meanings = (MEANS_NO_ACCESS[code] for code in codes if code in MEANS_NO_ACCESS)
    found = next(meanings, None)
    return AuthError(f"{_said(response, codes)}: {found}") if found else None


def _said(response: Response, codes: Sequence[int]) -> str:
    return f"{response.host} answered {response.status} with code {', '.join(map(str, sorted({*codes})[:5]))}"


def _outcome(code: int) -> Outcome:
    kind = OutcomeKind.RETRY if code in TRY_AGAIN else OutcomeKind.REJECTED
    return Outcome(kind, f"Microsoft says code {code} of it")
