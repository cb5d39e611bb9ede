"""What The Trade Desk answers: an empty object where it took everybody, else those lines that failed, by their number.

https://open.thetradedesk.com/advertiser/docsApp/GuidesAdvertiser/data/doc/post-data-advertiser-firstparty
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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

# Codes of a line that are not about its person: nobody would be taken.
OF_THE_ADVERTISER = frozenset(
    {
        "InvalidDataOwnerId",
        "TargetingDataCreationLimitExceeded",
        "TargetingDataCountLimitExceeded",
        "TenantRestrictionsExternalData",
        "TargetingDataDisabled",
    }
)
OF_THE_AUDIENCE = frozenset({"DataNameTooLong", "InvalidTtlInMinutes"})
# What it takes for no id, it never took before: of whoever is to go, that is as good as gone.
UNHEARD_OF = "InvalidUserId"
# The only words of theirs that are repeated.
OF_A_PERSON = frozenset(
    {
        "MissingUserId",
        "UserNotMapped",
        "ItemDeserializationError",
        "InvalidUserId",
        "InvalidParameterFormat",
        "Uid2Error",
    }
)
UNEXPLAINED = "Unknown"


class Line(BaseModel):
    """Its number counts from 1, as the vendor's own client does."""

    code: str = Field(UNEXPLAINED, alias="ErrorCode")
    number: int | None = Field(None, alias="ItemNumber")

    def outcome(self, *, leaving: bool) -> Outcome:
        if self.code == UNEXPLAINED:
            return Outcome(OutcomeKind.RETRY, "The Trade Desk did not take it, and does not say why")
        kind = OutcomeKind.NOOP if leaving and self.code == UNHEARD_OF else OutcomeKind.REJECTED
        return Outcome(kind, f"The Trade Desk says {_word(self.code)} of it")


class Taken(BaseModel):
    """Nothing else is ever in it: anything else is no answer of theirs."""

    model_config = ConfigDict(extra="forbid")

    failed: list[Line] | None = Field(None, alias="FailedLines")


def by_lines(response: Response) -> ConnectorError | None:
    """Lines that say what is wrong with everybody, or that have no number: halving tells whom those are about."""
    if response.status not in {200, 400}:
        return by_status(response)
    said = f"{response.host} answered {response.status}"
    lines = _lines(response)
    if codes := sorted({line.code for line in lines} & OF_THE_ADVERTISER):
        return AuthError(f"{said} with {', '.join(codes)}: see to the advertiser's data at The Trade Desk")
    if codes := sorted({line.code for line in lines} & OF_THE_AUDIENCE):
        return RefusedError(f"{said} with {', '.join(codes)}: of this audience it takes nobody")
    unnumbered = {line.code for line in lines if line.number is None}
    if response.status == 200 and unnumbered == {UNEXPLAINED}:
        return TransientError(f"{said} and that it did not take everybody, and says neither whom nor why")
    if response.status == 400 or unnumbered:
        told = ", ".join(sorted({_word(line.code) for line in lines})) or "no word why"
        return RefusedError(f"{said} with {told}", divisible=True)
    return None


def outcomes(response: Response, people: Sequence[Person], *, leaving: bool) -> Result:
    """Everybody was taken but those whose number is told; a number that was not sent may mean anybody."""
    lines = response.parse(Taken).failed or []
    placed = [(line.number - 1, line) for line in lines if line.number and 1 <= line.number <= len(people)]
    told = {people[place].key: line.outcome(leaving=leaving) for place, line in placed}
    return Result(told, OutcomeKind.ACCEPTED if len(placed) == len(lines) else OutcomeKind.UNKNOWN)


def _lines(response: Response) -> list[Line]:
    try:
        return Taken.model_validate_json(response.body).failed or []
    except ValidationError:
        return []


def _word(code: str) -> str:
    return code if code in OF_A_PERSON else "a code that is not known here"
