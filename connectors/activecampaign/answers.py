"""What ActiveCampaign answers. Its ids are texts, as are all its numbers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hub.sdk import ConnectorError, Response, by_status


class User(BaseModel):
    username: str


class Me(BaseModel):
    user: User


class Tag(BaseModel):
    id: str
    tag: str


class Tags(BaseModel):
    tags: list[Tag]


class Made(BaseModel):
    tag: Tag


class Queued(BaseModel):
    batch_id: str = Field(alias="batchId", min_length=1)


class Import(BaseModel):
    """`status` is false for about a second after the import was handed in. `failure` holds addresses."""

    status: Literal[False, "waiting", "claimed", "active", "completed", "failed", "interrupted"]
    failure: list[str] = []

    @property
    def broken(self) -> bool:
        return self.status in {"failed", "interrupted"}


class Contact(BaseModel):
    id: str
    email: str


class Tagging(BaseModel):
    """A tag on a contact, a thing of its own there: who takes the tag off deletes it."""

    id: str
    contact: str
    tag: str


class Contacts(BaseModel):
    contacts: list[Contact]

    def of(self, email: str) -> Contact | None:
        return next((contact for contact in self.contacts if contact.email.lower() == email), None)


class TaggedContacts(Contacts):
    """Required, though a vendor who finds nobody has nothing to say: without it everybody would count as untagged."""

    taggings: list[Tagging] = Field(alias="contactTags")

    def taggings_of(self, email: str, tag: str) -> list[Tagging]:
        contact = self.of(email)
        return [one for one in self.taggings if contact and (one.contact, one.tag) == (contact.id, tag)]


class Deleted(BaseModel):
    """An empty object, and nothing else."""

    model_config = ConfigDict(extra="forbid")


def gone_already(response: Response) -> ConnectorError | None:
    return None if response.status == 404 else by_status(response)
