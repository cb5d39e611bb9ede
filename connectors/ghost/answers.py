"""What Ghost answers, and what it tells by its webhooks."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from hub.sdk import AuthError, ConnectorError, Response, by_status


class Label(BaseModel):
    id: str
    name: str
    slug: str


class Member(BaseModel):
    id: str
    email: str
    labels: list[Label]
    name: str | None = None
    note: str | None = None


class Members(BaseModel):
    members: list[Member]


class Pagination(BaseModel):
    next: int | None
    total: int


class Meta(BaseModel):
    pagination: Pagination


class MembersPage(Members):
    meta: Meta


class Labels(BaseModel):
    labels: list[Label]


class LabelsPage(Labels):
    meta: Meta


class Problem(BaseModel):
    message: str
    context: str | None = None


class Problems(BaseModel):
    errors: list[Problem]


class State(BaseModel):
    """A member as a webhook shows them: `previous` holds only what has changed."""

    model_config = ConfigDict(extra="ignore")
    id: str = ""
    email: str = ""
    updated_at: str = ""
    newsletters: list[Any] | None = None


class Edit(BaseModel):
    current: State
    previous: State


class Edited(BaseModel):
    member: Edit

    @property
    def took_the_last_newsletter(self) -> bool:
        return self.member.current.newsletters == [] and bool(self.member.previous.newsletters)


def about_the_site(response: Response) -> ConnectorError | None:
    if response.status == 404:
        return AuthError(f"{response.host} answered 404: no Admin API of Ghost stands there, see url")
    return by_status(response)


def about_one_member(response: Response) -> ConnectorError | None:
    """404: the member has gone meanwhile. 422: Ghost does not take what was sent of them."""
    return None if response.status in {404, 422} else by_status(response)
