"""What Meta answers, and what its error codes mean: the status tells little, a throttle comes as 400 or 403."""

from __future__ import annotations

from pydantic import BaseModel, Field, ValidationError, model_validator

from hub.sdk import AuthError, ConnectorError, RefusedError, Response, TransientError, by_status

# Meta says in a header when the account may go on, which the hub waits for; where it does not, this long.
THROTTLED_S = 300.0

TRY_AGAIN = frozenset({1, 2, 341, 368, 5000, 21009})
THROTTLED = frozenset({4, 17, 32, 613, *range(80000, 80015)})
INVALID_PARAMETER = 100
# Whatever a person has to see to: by code or subcode, whichever is known.
MEANS_NO_ACCESS = {
    10: "the token lacks a permission",
    102: "the token holds no longer",
    190: "the token holds no longer",
    200: "the token lacks a permission, or its user a role in the ad account",
    294: "the token lacks the permission ads_management",
    2655: "the terms of Custom Audiences are to be accepted in Ads Manager first",
    2663: "the terms of Custom Audiences are to be accepted in Ads Manager first",
    1487301: "the audience is not available any more",
    1487366: "the audience was deleted",
    33: "the audience is gone, or the token may not see it",
    1713230: "uploads are blocked since Meta found something against its terms: see Ads Manager",
}


class Fault(BaseModel):
    code: int
    error_subcode: int = 0
    is_transient: bool = False


class Failed(BaseModel):
    error: Fault


class AdAccount(BaseModel):
    id: str
    name: str = ""


class Made(BaseModel):
    id: str = Field(min_length=1)


class Found(Made):
    name: str
    subtype: str = "CUSTOM"


class Cursors(BaseModel):
    after: str = ""


class Paging(BaseModel):
    cursors: Cursors = Cursors()
    next: str = ""

    @property
    def after(self) -> str:
        """Never the address itself, which holds the token."""
        return self.cursors.after if self.next else ""


class Audiences(BaseModel):
    data: list[Found]
    paging: Paging = Paging()


class Received(BaseModel):
    """Counts, and nobody's name: who was invalid is not said."""

    audience_id: str | int
    num_received: int = Field(ge=0)
    num_invalid_entries: int = Field(ge=0)


class Erased(BaseModel):
    """Meta describes this answer as an object and no further: it says success, or counts as the others do."""

    success: bool = False
    num_received: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _is_of_an_erasure(self) -> Erased:
        if not self.success and self.num_received is None:
            raise ValueError("neither success nor a count")
        return self


def by_code(response: Response) -> ConnectorError | None:
    """Errors are told by code and subcode; by status only where there is none."""
    try:
        fault = Failed.model_validate_json(response.body).error
    except ValidationError:
        return by_status(response)
    said = f"{response.host} answered {response.status} with code {fault.code}, subcode {fault.error_subcode}"
    if fault.code in THROTTLED:
        return TransientError(said, response.retry_after() or THROTTLED_S)
    if meaning := MEANS_NO_ACCESS.get(fault.error_subcode) or MEANS_NO_ACCESS.get(fault.code):
        return AuthError(f"{said}: {meaning}")
    if fault.is_transient or fault.code in TRY_AGAIN:
        return TransientError(said, response.retry_after())
    if fault.code == INVALID_PARAMETER:
        return RefusedError(said, divisible=True)
    return by_status(response) or TransientError(said)
