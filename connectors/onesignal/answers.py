"""What OneSignal answers, and what it means for the person it is about."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from hub.sdk import ConnectorError, Outcome, OutcomeKind, Response, TransientError, by_status

WITH_ERRORS = Outcome(OutcomeKind.UNKNOWN, "accepted with errors")
UNKNOWN_USER = Outcome(OutcomeKind.REJECTED, "no such user in this app")


class Segment(BaseModel):
    name: str


class Segments(BaseModel):
    segments: list[Segment]


class Defined(BaseModel):
    success: Literal[True]


class Answered(BaseModel):
    errors: Any = None


class Changed(Answered):
    """The change, repeated. OneSignal promises nothing of the object, so an empty one will do; but one that says other
    things, and nothing of the change, is a gateway's."""

    model_config = ConfigDict(extra="allow")
    properties: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _is_of_a_change(self) -> Changed:
        if self.properties is None and self.model_extra:
            raise ValueError("an object of somebody else's")
        return self


def by_meaning(response: Response) -> ConnectorError | None:
    if response.status == 409:
        return TransientError(f"{response.host} answered 409: the user is being changed elsewhere")
    return by_status(response)
