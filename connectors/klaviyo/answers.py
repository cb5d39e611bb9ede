"""What Klaviyo answers, and what its words about jobs and rows mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

from pydantic import AliasPath, BaseModel, Field

from hub.sdk import (
    AuthError,
    ConnectorError,
    Outcome,
    OutcomeKind,
    Response,
    Result,
    TransientError,
    by_status,
    cursor_in,
)

Item = TypeVar("Item")

NO_PROFILE = Outcome(OutcomeKind.REJECTED, "no such profile in Klaviyo, and none is to be created")
NOT_THERE = Outcome(OutcomeKind.NOOP)
# Some of its rows may have been imported before.
CANCELLED = Outcome(OutcomeKind.UNKNOWN, "Klaviyo cancelled the import job")

_ROW = re.compile(r"/profiles/data/(\d+)(?:/attributes/([\w/.$ -]{1,60}))?")


class Page(BaseModel, Generic[Item]):
    data: list[Item]
    following: str | None = Field(None, validation_alias=AliasPath("links", "next"))

    @property
    def cursor(self) -> str | None:
        return cursor_in(self.following, "page[cursor]")


class Owner(BaseModel):
    id: str
    type: Literal["account"]
    name: str | None = Field(None, validation_alias=AliasPath("attributes", "contact_information", "organization_name"))


class FoundList(BaseModel):
    id: str
    type: Literal["list"]
    name: str | None = Field(validation_alias=AliasPath("attributes", "name"))


class MadeList(BaseModel):
    data: FoundList


class Profile(BaseModel):
    id: str
    type: Literal["profile"]
    address: str | None = Field(validation_alias=AliasPath("attributes", "email"))

    @property
    def email(self) -> str:
        """As the hub spells it: Klaviyo repeats an address as somebody once wrote it. Some profiles have none."""
        return (self.address or "").strip().lower()


class Job(BaseModel):
    id: str = Field(validation_alias=AliasPath("data", "id"), min_length=1)
    type: Literal["profile-bulk-import-job"] = Field(validation_alias=AliasPath("data", "type"))
    status: Literal["queued", "processing", "complete", "cancelled"] = Field(
        validation_alias=AliasPath("data", "attributes", "status")
    )
    total: int = Field(validation_alias=AliasPath("data", "attributes", "total_count"))
    failed: int | None = Field(None, validation_alias=AliasPath("data", "attributes", "failed_count"))


class RowError(BaseModel):
    pointer: str | None = Field(None, validation_alias=AliasPath("attributes", "source", "pointer"))
    row: dict[str, Any] | None = Field(None, validation_alias=AliasPath("attributes", "original_payload"))

    def named(self) -> list[str]:
        """The address in the repeated row, which is bare or a JSON:API resource."""
        row = self.row or {}
        inner = row.get("attributes")
        told = (row.get("email"), inner.get("email") if isinstance(inner, dict) else None)
        return [text.lower() for text in told if isinstance(text, str)]


def of_job(job: Job, errors: Iterable[RowError], keys: Sequence[str]) -> Result:
    """What became of those who were sent in this order. `complete` says only that it is over."""
    if job.status == "cancelled":
        return Result(dict.fromkeys(keys, CANCELLED))
    refused = _refused(errors, keys)
    unnamed = max(0, (job.failed or 0) - len(refused))
    # Failures that name nobody, and rows that were never counted: then nobody knows whose they are.
    unclear = unnamed > 0 or job.total < len(keys)
    return Result(refused, OutcomeKind.UNKNOWN if unclear else OutcomeKind.ACCEPTED, invalid=unnamed)


def _refused(errors: Iterable[RowError], keys: Sequence[str]) -> Mapping[str, Outcome]:
    known, refused = frozenset(keys), {}
    for error in errors:
        place = _ROW.search(error.pointer or "")
        numbered = [keys[int(place[1])]] if place and int(place[1]) < len(keys) else []
        about = f"Klaviyo refused the profile: {place[2]}" if place and place[2] else "Klaviyo refused the profile"
        for who in [name for name in error.named() if name in known][:1] or numbered:
            refused[who] = Outcome(OutcomeKind.REJECTED, about)
    return refused


def by_meaning(response: Response) -> ConnectorError | None:
    """A vanished list is for a person to look at: making it anew would hide who was in it."""
    if response.status == 404:
        return AuthError(f"{response.host} answered 404: the list is gone")
    return by_status(response)


def but_for_404(response: Response) -> ConnectorError | None:
    return None if response.status == 404 else by_status(response)


def about_a_job(response: Response) -> ConnectorError | None:
    """Jobs are forgotten after a while; what became of this one then stays unknown."""
    return TransientError(f"{response.host} does not know the job") if response.status == 404 else by_status(response)


def insist_on(response: Response, status: int) -> None:
    """Klaviyo says nothing but this status where all went well; any other success is somebody else's."""
    if response.status != status:
        raise TransientError(f"{response.host} answered {response.status} where Klaviyo says {status}")
