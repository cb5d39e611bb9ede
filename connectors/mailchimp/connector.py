"""The calls to Mailchimp.

Nobody's subscription is touched: tags say nothing about it, a contact who is there keeps their status, and one who is
not there yet is created, if at all, with `status_if_new`, which Mailchimp ignores for everybody else.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from hub.sdk import (
    Account,
    Audience,
    Batch,
    Capabilities,
    Channel,
    Connector,
    Feedback,
    FieldValue,
    Inbound,
    Outcome,
    OutcomeKind,
    Person,
    Response,
    Result,
    insist_secret,
)
from hub.sdk import Page as Listing

from . import answers
from .config import MailchimpConfig
from .notices import notices

Item = TypeVar("Item")
Shape = TypeVar("Shape", bound=BaseModel)

PAGE = 1000
IN_FLIGHT = 4


class Mailchimp(Connector[MailchimpConfig]):
    key = "mailchimp"
    title = "Mailchimp"
    channel = Channel.EMAIL
    # Ten connections an account, and no other limit: two calls of `apply` with at most four requests each, and one call
    # about the audience.
    capabilities = Capabilities(key="email", batch=500, concurrency=2, read_back=True, erase=True, feedback=True)
    Config = MailchimpConfig
    # Keys have no scopes: they may do what their user may, and this is the least role that may do it all.
    scopes: ClassVar = ("Manager",)

    async def check(self) -> Account:
        return Account((await self._call("GET", "", params={"fields": "id,name"})).parse(answers.ListFound).name)

    async def ensure_audience(self, name: str) -> Audience:
        wanted = {"type": "static", "fields": "segments.id,segments.name"}
        async for tag in self._pages("/segments", wanted, answers.Tags):
            if tag.name == name:
                return Audience(name, ref=str(tag.id))
        made = await self._call("POST", "/segments", json={"name": name, "static_segment": []})
        return Audience(name, ref=str(made.parse(answers.Tag).id))

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        """Tag, create who is missing if that is wanted, and last the fields of those who were there. Whoever's fields
        are refused loses the tag again, so that a rejected person is not left in the audience."""
        tagged = await self._tag(audience, batch.add, batch.remove)
        missing = [person for person in batch.add if tagged.outcomes.get(person.key) == answers.MISSING]
        if missing and self.config.new_contacts != "reject":
            tagged = (await self._create_and_tag(audience, missing)).merged(_without(tagged, missing))
        there = [person for person in batch.add if person.key not in tagged.outcomes and person not in missing]
        undescribed = await self._describe([person for person in there if person.fields])
        if undescribed:
            await self._tag(audience, (), [person for person in there if person.key in undescribed])
        return replace(tagged, outcomes={**tagged.outcomes, **undescribed})

    async def members_page(self, audience: Audience, cursor: str | None = None) -> Listing:
        """Whatever their subscription says: who is tagged is in the audience."""
        everyone = {f"include_{status}": "true" for status in ("cleaned", "transactional", "unsubscribed")}
        wanted = {"fields": "members.email_address,total_items", **everyone}
        start = int(cursor or 0)
        found = await self._page(_tag_path(audience, "/members"), start, wanted, answers.Contacts)
        following = str(start + PAGE) if len(found.items) == PAGE else None
        return Listing([contact.email_address.lower() for contact in found.items], following, found.total_items)

    async def erase(self, people: Sequence[Person]) -> Result:
        return Result(await self._each(people, self._erase))

    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        insist_secret(self.config.webhook_secret, request)
        return notices(request.body, self.config.list_id)

    async def _tag(self, audience: Audience, add: Sequence[Person], remove: Sequence[Person]) -> Result:
        if not add and not remove:
            return Result()
        body = {"members_to_add": [p.key for p in add], "members_to_remove": [p.key for p in remove]}
        answer = (await self._call("POST", _tag_path(audience), json=body)).parse(answers.Tagged)
        outcomes = answers.outcomes(answer.named, [*add, *remove])
        gone = {person.key: answers.NOTHING_TO_DO for person in remove if outcomes.get(person.key) == answers.MISSING}
        # Errors that name nobody: then nobody knows whom they are about.
        unnamed = answer.error_count > len(answer.named)
        return Result({**outcomes, **gone}, OutcomeKind.UNKNOWN if unnamed else OutcomeKind.ACCEPTED)

    async def _create_and_tag(self, audience: Audience, people: Sequence[Person]) -> Result:
        refused = await self._each(people, self._create)
        return Result(refused).merged(await self._tag(audience, [p for p in people if p.key not in refused], ()))

    async def _describe(self, people: Sequence[Person]) -> Mapping[str, Outcome]:
        """Set the merge fields of contacts who are on the list: without a status, so theirs stays."""
        if not people:
            return {}
        members = [{"email_address": person.key, "merge_fields": _merge_fields(person)} for person in people]
        body = {"members": members, "update_existing": True}
        response = await self._call("POST", "", json=body, params={"skip_merge_validation": "true"})
        return answers.outcomes(((e.email_address, e.error) for e in response.parse(answers.Updated).errors), people)

    async def _create(self, person: Person) -> Outcome | None:
        contact = {"email_address": person.key, "status_if_new": self.config.new_contacts}
        body = {**contact, "merge_fields": _merge_fields(person)}
        return await self._about(person, "PUT", "", json=body, params={"skip_merge_validation": "true"})

    async def _erase(self, person: Person) -> Outcome | None:
        said = await self._about(person, "POST", "/actions/delete-permanent")
        return answers.NOTHING_TO_DO if said == answers.MISSING else said

    async def _about(self, person: Person, method: str, rest: str, **request: Any) -> Outcome | None:
        """A call about one contact; what Mailchimp says against it is about them alone."""
        # Mailchimp names a contact by the MD5 of the lower-cased address; nothing is kept secret by it.
        contact = hashlib.md5(person.key.lower().encode(), usedforsecurity=False).hexdigest()
        response = await self._call(method, f"/members/{contact}{rest}", classify=answers.about_one_contact, **request)
        if response.status == 404:
            return answers.MISSING
        if response.status == 400:
            problem = response.parse(answers.Problem)
            return answers.outcome(f"{problem.title}: {problem.detail}", person)
        if response.status != 204:
            response.parse(answers.Contact)
        return None

    async def _each(
        self, people: Sequence[Person], call: Callable[[Person], Awaitable[Outcome | None]]
    ) -> dict[str, Outcome]:
        """A call for each, a few at a time; stops at the first few among whom one concerns the whole batch."""
        said: dict[str, Outcome | None] = {}
        for start in range(0, len(people), IN_FLIGHT):
            some = people[start : start + IN_FLIGHT]
            for person, answer in zip(
                some, await asyncio.gather(*map(call, some), return_exceptions=True), strict=True
            ):
                if isinstance(answer, BaseException):
                    raise answer
                said[person.key] = answer
        return {key: outcome for key, outcome in said.items() if outcome is not None}

    async def _pages(
        self, path: str, params: Mapping[str, str], shape: type[answers.Page[Item]]
    ) -> AsyncIterator[Item]:
        for offset in itertools.count(0, PAGE):
            items = (await self._page(path, offset, params, shape)).items
            for item in items:
                yield item
            if len(items) < PAGE:
                return

    async def _page(self, path: str, offset: int, params: Mapping[str, str], shape: type[Shape]) -> Shape:
        return (await self._call("GET", path, params={**params, "count": PAGE, "offset": offset})).parse(shape)

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        account = ("hub", self.config.api_key.get_secret_value())
        request.setdefault("classify", answers.about_the_list)
        return await self.http.request(method, f"{self.config.list_url}{path}", auth=account, **request)


def _tag_path(audience: Audience, rest: str = "") -> str:
    return f"/segments/{quote(audience.ref, safe='')}{rest}"


def _without(result: Result, people: Sequence[Person]) -> Result:
    named = {person.key for person in people}
    return replace(result, outcomes={key: outcome for key, outcome in result.outcomes.items() if key not in named})


def _merge_fields(person: Person) -> dict[str, str | float]:
    return {name: _merge_value(value) for name, value in person.fields.items()}


def _merge_value(value: FieldValue) -> str | float:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str | int | float) else ", ".join(value)
