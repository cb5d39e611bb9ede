"""The calls to Brevo.

Nobody's subscription is touched: lists say nothing about it, and neither of the two block lists is ever sent.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from hub.sdk import (
    Account,
    Audience,
    Capabilities,
    Channel,
    Connector,
    Feedback,
    FieldValue,
    Inbound,
    Limit,
    Outcome,
    OutcomeKind,
    Page,
    Person,
    Remaining,
    Response,
    Result,
    TransientError,
    Window,
    insist_secret,
)

from . import answers
from .config import BrevoConfig
from .notices import notices

ADD, REMOVE = "/contacts/add", "/contacts/remove"
LISTED = 50
MEMBERS = 500
DESCRIBED = 100


def allowed(each_second: int) -> tuple[Limit, ...]:
    """For everything under /contacts. All else has 100 an hour: only `check` asks for it, at `/account`."""
    announced = Remaining("x-sib-ratelimit-remaining", reset="x-sib-ratelimit-reset")
    return Window(each_second, 1.0), Window(each_second * 3600, 3600.0), announced


class Brevo(Connector[BrevoConfig]):
    key = "brevo"
    title = "Brevo"
    channel = Channel.EMAIL
    # One call at a time: those who need a request each are asked about in turn, which alone comes near to 10 a second.
    capabilities = Capabilities(
        key="email", batch=150, concurrency=1, read_back=True, erase=True, feedback=True, limits=allowed(10)
    )
    Config = BrevoConfig

    def limits(self) -> Capabilities:
        return replace(self.capabilities, limits=allowed(self.config.requests_per_second))

    async def check(self) -> Account:
        found = (await self._call("GET", "/account")).parse(answers.AccountFound)
        return Account(found.company or found.email)

    async def ensure_audience(self, name: str) -> Audience:
        number = await self._find("/contacts/lists", name)
        if number is None:
            folder = await self._find("/contacts/folders", self.config.folder)
            if folder is None:
                folder = await self._make("/contacts/folders", {"name": self.config.folder})
            number = await self._make("/contacts/lists", {"name": name, "folderId": folder})
        return Audience(name, ref=str(number))

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        """All at once, and then one by one whom Brevo has not put on the list: because they are on it already, or
        because it does not have them."""
        taken, others = await self._change(audience, ADD, people)
        undescribed = await self._describe(audience, [person for person in taken if person.fields])
        placed = await self._one_by_one(others, lambda person: self._place(audience, person))
        return Result({**undescribed, **placed})

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        _, others = await self._change(audience, REMOVE, people)
        return Result(await self._one_by_one(others, lambda person: self._gone(audience, person)))

    async def members_page(self, audience: Audience, cursor: str | None = None) -> Page:
        """A contact may have no address, only a telephone number: it counts, and is called by its own number."""
        start = int(cursor or 0)
        path, wanted = f"{_list(audience)}/contacts", {"limit": MEMBERS, "offset": start, "sort": "asc"}
        found = (await self._call("GET", path, params=wanted, classify=answers.about_the_list)).parse(answers.Members)
        following = str(start + MEMBERS) if len(found.contacts) == MEMBERS else None
        named = [contact.email.lower() if contact.email else str(contact.id) for contact in found.contacts]
        return Page(named, following, found.count)

    async def erase(self, people: Sequence[Person]) -> Result:
        return Result(await self._one_by_one(people, self._erase))

    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        insist_secret(self.config.webhook_secret, request)
        return notices(request.body)

    # -- people at once -----------------------------------------------------------------------------------------------

    async def _change(
        self, audience: Audience, how: str, people: Sequence[Person]
    ) -> tuple[list[Person], list[Person]]:
        """Put them on the list or take them off it: those for whom that was done, and the others."""
        path, body = f"{_list(audience)}{how}", {"emails": [person.key for person in people]}
        response = await self._call("POST", path, json=body, classify=answers.about_the_list)
        if answers.changed_nobody(response):
            return [], list(people)
        named = {str(one).casefold() for one in response.parse(answers.Changed).contacts.success}
        done = [person for person in people if person.key.casefold() in named]
        return done, [person for person in people if person.key.casefold() not in named]

    async def _describe(self, audience: Audience, people: Sequence[Person]) -> dict[str, Outcome]:
        """Set the attributes of contacts; where Brevo refuses those of one, it refuses all, and they go one by one."""
        refused: dict[str, Outcome | None] = {}
        for start in range(0, len(people), DESCRIBED):
            some = people[start : start + DESCRIBED]
            body = {"contacts": [{"email": person.key, "attributes": _attributes(person)} for person in some]}
            response = await self._call("POST", "/contacts/batch", json=body, classify=answers.about_contacts)
            if response.status in {400, 404}:
                refused |= {person.key: await self._update(audience, person) for person in some}
            else:
                answers.insist_done(response)
        return {key: outcome for key, outcome in refused.items() if outcome}

    # -- one person ---------------------------------------------------------------------------------------------------

    async def _one_by_one(
        self, people: Sequence[Person], call: Callable[[Person], Awaitable[Outcome | None]]
    ) -> dict[str, Outcome]:
        """What is done stays done when Brevo stops us in the middle: so each attempt leaves fewer to the next."""
        said: dict[str, Outcome | None] = {}
        for person in people:
            try:
                said[person.key] = await call(person)
            except TransientError as error:
                if not said:
                    raise
                said |= {one.key: Outcome(OutcomeKind.RETRY, error.reason) for one in people[len(said) :]}
                break
        return {key: outcome for key, outcome in said.items() if outcome}

    async def _place(self, audience: Audience, person: Person) -> Outcome | None:
        """Someone whom Brevo has not put on the list."""
        found = await self._contact(person)
        if isinstance(found, Outcome):
            creating = found == answers.MISSING and self.config.new_contacts == "create"
            return await self._create(audience, person) if creating else found
        if int(audience.ref) in found.lists:
            return await self._update(audience, person) if person.fields else answers.NOTHING_TO_DO
        gone = found.blocked or int(audience.ref) in (found.left or ())
        return answers.UNSUBSCRIBED if gone else answers.NOT_TAKEN

    async def _gone(self, audience: Audience, person: Person) -> Outcome:
        """Someone whom Brevo has not taken off the list."""
        found = await self._contact(person)
        if isinstance(found, Outcome):
            return answers.NOTHING_TO_DO if found == answers.MISSING else found
        return answers.STILL_THERE if int(audience.ref) in found.lists else answers.NOTHING_TO_DO

    async def _contact(self, person: Person) -> answers.Contact | Outcome:
        response = await self._about(person, "GET")
        return answers.refusal(response, person) or response.parse(answers.Contact)

    async def _create(self, audience: Audience, person: Person) -> Outcome | None:
        """Never an update: somebody who comes into being meanwhile is found there by the next attempt."""
        contact = {"email": person.key, "listIds": [int(audience.ref)], "attributes": _attributes(person)}
        try:
            response = await self._call(
                "POST", "/contacts", json={**contact, "updateEnabled": False}, classify=answers.about_contacts
            )
            if refused := answers.refusal(response, person):
                return refused
            response.parse(answers.Made)
        except TransientError as error:
            # They may be on the list by now, which an attempt that comes to nothing must not hide.
            return Outcome(OutcomeKind.UNKNOWN, error.reason)
        return None

    async def _update(self, audience: Audience, person: Person) -> Outcome | None:
        """Whoever's fields are refused leaves the list again, so that a rejected person is not left in the audience."""
        response = await self._about(person, "PUT", json={"attributes": _attributes(person)})
        refused = answers.refusal(response, person)
        if refused is None:
            answers.insist_done(response)
        elif refused != answers.MISSING:
            await self._change(audience, REMOVE, [person])
        return refused

    async def _erase(self, person: Person) -> Outcome | None:
        response = await self._about(person, "DELETE")
        refused = answers.refusal(response, person)
        if refused is None:
            answers.insist_done(response)
        return answers.NOTHING_TO_DO if refused == answers.MISSING else refused

    async def _about(self, person: Person, method: str, **request: Any) -> Response:
        path, named = f"/contacts/{quote(person.key, safe='')}", {"identifierType": "email_id"}
        return await self._call(method, path, params=named, classify=answers.about_contacts, **request)

    # -- lists and folders --------------------------------------------------------------------------------------------

    async def _find(self, path: str, name: str) -> int | None:
        """The oldest of that name, so that it stays the same one."""
        for offset in itertools.count(0, LISTED):
            wanted = {"limit": LISTED, "offset": offset, "sort": "asc"}
            page = (await self._call("GET", path, params=wanted)).parse(answers.Listing)
            items = [*page.lists, *page.folders]
            found = next((item.id for item in items if item.name == name), None)
            if found is not None or len(items) < LISTED:
                return found
        return None

    async def _make(self, path: str, what: dict[str, Any]) -> int:
        return (await self._call("POST", path, json=what)).parse(answers.Made).id

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        key = {"api-key": self.config.api_key.get_secret_value()}
        return await self.http.request(method, f"{self.config.api_url.rstrip('/')}{path}", headers=key, **request)


def _list(audience: Audience) -> str:
    return f"/contacts/lists/{quote(audience.ref, safe='')}"


def _attributes(person: Person) -> dict[str, Any]:
    return {name: _attribute(value) for name, value in person.fields.items()}


def _attribute(value: FieldValue) -> str | float | list[str]:
    """An empty text clears an attribute."""
    if value is None:
        return ""
    return value if isinstance(value, str | int | float) else list(value)
