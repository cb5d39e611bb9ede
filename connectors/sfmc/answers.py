"""What Marketing Cloud answers, and what its answers mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from hub.sdk import AuthError, ConnectorError, Outcome, OutcomeKind, Response, Result, TransientError, by_status

# A row that lost against another statement of theirs, in SQL Server's words for it.
DEADLOCK = "Rerun the transaction"
LOST_AGAINST_ANOTHER = Outcome(OutcomeKind.RETRY, "the row lost against another change at Marketing Cloud")


class Extension(BaseModel):
    """Named by its external key in all further requests."""

    key: str = Field(min_length=1)
    name: str
    id: str


class Extensions(BaseModel):
    count: int
    items: list[Extension]


class Column(BaseModel):
    name: str
    type: str
    is_primary_key: bool = Field(alias="isPrimaryKey")


class Columns(BaseModel):
    fields: list[Column]

    @property
    def primary(self) -> set[str]:
        return {column.name.lower() for column in self.fields if column.is_primary_key}

    @property
    def booleans(self) -> set[str]:
        return {column.name.lower() for column in self.fields if column.type.lower() == "boolean"}


class Taken(BaseModel):
    request: str = Field(alias="requestId", min_length=1)


class Status(BaseModel):
    """`Error` is no last word: such requests have been seen to end well a moment later."""

    request: Literal["Pending", "Executing", "Error", "Complete", "Completed"] = Field(alias="requestStatus")
    result: str | None = Field(None, alias="resultStatus")
    has_errors: bool = Field(False, alias="hasErrors")

    @property
    def over(self) -> bool:
        return self.request in {"Complete", "Completed"}

    @property
    def well(self) -> bool:
        return self.result == "OK" and not self.has_errors


class Progress(BaseModel):
    """Without a status for as long as nobody at Marketing Cloud has picked the request up."""

    status: Status | None = None


class RowResult(BaseModel):
    status: str
    code: str | int | None = Field(None, alias="errorCode")
    message: str | None = None

    @property
    def outcome(self) -> Outcome | None:
        """Their message may repeat the row: only its code is shown."""
        if self.status == "OK":
            return None
        if DEADLOCK in (self.message or ""):
            return LOST_AGAINST_ANOTHER
        word = str(self.code) if re.fullmatch(r"\w{1,40}", str(self.code or "")) else "without a code"
        return Outcome(OutcomeKind.REJECTED, f"Marketing Cloud could not write the row: {word}")


class RowResults(BaseModel):
    page: int
    count: int
    items: list[RowResult]


class Row(BaseModel):
    """Columns under their names in lower case; every value may be a text."""

    keys: dict[str, Any]
    values: dict[str, Any]

    def __getitem__(self, column: str) -> Any:
        told = {name.lower(): value for name, value in {**self.values, **self.keys}.items()}
        return told.get(column.lower())


class Rows(BaseModel):
    page: int
    count: int
    items: list[Row]


class Problem(BaseModel):
    code: int | str = Field("", alias="errorcode")
    more: list[Any] = Field([], alias="additionalErrors")


def verdict(rows: Sequence[RowResult], keys: Sequence[str]) -> Result:
    """Results come in the order of the rows: where they are not as many, nobody knows whose is whose."""
    if len(rows) != len(keys):
        return Result(rest=OutcomeKind.UNKNOWN)
    told = ((key, row.outcome) for key, row in zip(keys, rows, strict=True))
    return Result({key: outcome for key, outcome in told if outcome})


def by_meaning(response: Response) -> ConnectorError | None:
    if response.status == 404:
        return AuthError(f"{response.host} answered 404: the data extension is gone, or the account may not see it")
    if response.status == 400 and _is_passing(response):
        return TransientError(f"{response.host} could not take the request at the moment")
    return by_status(response)


def _is_passing(response: Response) -> bool:
    """Code 10006 without more to it is about their side, not about ours."""
    try:
        problem = Problem.model_validate_json(response.body)
    except ValidationError:
        return False
    return str(problem.code) == "10006" and not problem.more
