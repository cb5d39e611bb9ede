"""What Google answers, and what became of a request that it took."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from hub.sdk import (
    AuthError,
    ConnectorError,
    Outcome,
    OutcomeKind,
    RefusedError,
    Response,
    Result,
    TransientError,
    by_status,
)

# https://developers.google.com/data-manager/api/reference/rest/v1/ErrorReason
_WORD = re.compile(r"[A-Z][A-Z0-9_]{2,100}")
_DURATION = re.compile(r"\d{1,6}(\.\d{1,9})?s")
_MEMBER = re.compile(r"audience_?members\[(\d{1,5})\]", re.IGNORECASE)
_FOR_A_PERSON = {
    "TERMS_AND_CONDITIONS_NOT_SIGNED": "the account has not accepted the Customer Match terms",
    "INVALID_USER_LIST_ID": "the list is gone",
    "INVALID_USER_LIST_TYPE": "the list is of another kind than what is sent",
    "INVALID_DESTINATION": "the account is not one that takes audiences",
}
# What the quota of a minute needs, where Google does not say.
THROTTLED_S = 60.0
_PREFIX = "PROCESSING_ERROR_REASON_"
_PASSES = frozenset({"UNSPECIFIED", "INTERNAL_ERROR", "DESTINATION_TOO_RECENTLY_CREATED"})


class Violation(BaseModel):
    field: str = ""
    reason: str = ""


class Detail(BaseModel):
    reason: str = ""
    violations: list[Violation] = Field([], alias="fieldViolations")
    delay: str = Field("", alias="retryDelay")


class Problem(BaseModel):
    status: str = ""
    details: list[Detail] = []

    @property
    def reasons(self) -> list[str]:
        said = [word for detail in self.details for word in (detail.reason, *(v.reason for v in detail.violations))]
        return [word for word in dict.fromkeys(said) if _WORD.fullmatch(word)]

    @property
    def delay(self) -> float | None:
        waits = [float(detail.delay[:-1]) for detail in self.details if _DURATION.fullmatch(detail.delay)]
        return max(waits, default=None)


class Failed(BaseModel):
    error: Problem


class UserList(BaseModel):
    id: str = Field(min_length=1)
    code: str = Field("", alias="integrationCode")


class UserLists(BaseModel):
    lists: list[UserList] = Field([], alias="userLists")
    following: str = Field("", alias="nextPageToken")


class Taken(BaseModel):
    request: str = Field(min_length=1, alias="requestId")


class Count(BaseModel):
    reason: str = f"{_PREFIX}UNSPECIFIED"
    records: int = Field(0, ge=0, alias="recordCount")
    indices: list[int] = Field([], alias="recordIndices")

    @property
    def word(self) -> str:
        return self.reason.removeprefix(_PREFIX)


class Counts(BaseModel):
    counts: list[Count] = Field([], alias="errorCounts")


class Destined(BaseModel):
    status: Literal["REQUEST_STATUS_UNKNOWN", "SUCCESS", "PROCESSING", "FAILED", "PARTIAL_SUCCESS"] = Field(
        "REQUEST_STATUS_UNKNOWN", alias="requestStatus"
    )
    errors: Counts = Field(Counts(), alias="errorInfo")


class Progress(BaseModel):
    destinations: list[Destined] = Field(min_length=1, alias="requestStatusPerDestination")

    @property
    def running(self) -> bool:
        return any(one.status in {"REQUEST_STATUS_UNKNOWN", "PROCESSING"} for one in self.destinations)

    @property
    def failed(self) -> bool:
        return any(one.status == "FAILED" for one in self.destinations)

    @property
    def counts(self) -> list[Count]:
        return [count for one in self.destinations for count in one.errors.counts]


class RowsRefusedError(RefusedError):
    """One malformed row fails a whole request, which then has done nothing. `rows` are Google's words by number."""

    def __init__(self, reason: str, rows: dict[int, str]) -> None:
        self.rows = rows
        super().__init__(reason, divisible=True)


def by_meaning(response: Response) -> ConnectorError | None:
    """Google says in a word what is wrong; what a person has to see to pauses the destination."""
    if (error := by_status(response)) is None:
        return None
    problem = _problem(response)
    said = f"{response.host} answered {response.status}: {', '.join(problem.reasons[:3]) or 'it says not why'}"
    if meaning := _for_a_person(response.status, problem):
        return AuthError(f"{said}: {meaning}")
    if response.status == 429 or problem.status == "ABORTED":
        return TransientError(said, response.retry_after() or problem.delay or THROTTLED_S)
    if rows := _malformed(problem):
        return RowsRefusedError(said, rows)
    return AuthError(said) if isinstance(error, AuthError) else error


def about_a_request(response: Response) -> ConnectorError | None:
    """One that Google does not know (any more) says nothing of the account: it is asked for again, to its deadline."""
    if response.status in {400, 404}:
        return TransientError(f"{response.host} answered {response.status}: it does not know the request")
    return by_meaning(response)


def _for_a_person(status: int, problem: Problem) -> str | None:
    known = [meaning for word, meaning in _FOR_A_PERSON.items() if word in problem.reasons]
    return next(iter(known), "the list or the account is gone" if status == 404 else None)


def _malformed(problem: Problem) -> dict[int, str]:
    named = ((_MEMBER.search(one.field), one.reason) for detail in problem.details for one in detail.violations)
    return {int(row[1]): reason if _WORD.fullmatch(reason) else "INVALID" for row, reason in named if row}


def verdict(progress: Progress, keys: Sequence[str], *, by_index: bool) -> Result:
    """What is said for good of those in a request: of everybody where it failed, else counts by reason, and names only
    where the rows are numbered and their numbers are believed."""
    if progress.failed:
        words = [count.word for count in progress.counts]
        passes = not words or not _PASSES.isdisjoint(words)
        kind = OutcomeKind.RETRY if passes else OutcomeKind.REJECTED
        return Result(dict.fromkeys(keys, Outcome(kind, f"Google's request failed: {_told(words)}")))
    named = dict(_named(progress.counts, keys)) if by_index else {}
    return Result(named, invalid=max(0, sum(count.records for count in progress.counts) - len(named)))


def _named(counts: Sequence[Count], keys: Sequence[str]) -> Iterator[tuple[str, Outcome]]:
    for count in counts:
        rows = {*count.indices}
        if len(rows) == count.records and all(0 <= row < len(keys) for row in rows):
            kind = OutcomeKind.RETRY if count.word in _PASSES else OutcomeKind.REJECTED
            yield from ((keys[row], Outcome(kind, _told([count.word]))) for row in rows)


def _told(words: Sequence[str]) -> str:
    return ", ".join(word for word in dict.fromkeys(words) if _WORD.fullmatch(word)) or "it says not why"


def _problem(response: Response) -> Problem:
    try:
        return Failed.model_validate_json(response.body).error
    except ValidationError:
        return Problem()
