"""The calls to ActiveCampaign (https://developers.activecampaign.com/reference).

Nobody's subscription is touched: it is the status on a list, and lists stand in no request. Tags are put on by bulk
imports, which are jobs; they are taken off one by one, since there is no other way.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hub.sdk import (
    Account,
    Audience,
    Capabilities,
    Channel,
    Connector,
    FieldValue,
    Outcome,
    OutcomeKind,
    Page,
    Person,
    RefusedError,
    Response,
    Result,
    Window,
)

from . import answers
from .config import MOST_IN_ONE_IMPORT, ActiveCampaignConfig

PAGE = 100
OWN_FIELDS = frozenset({"first_name", "last_name", "phone", "customer_acct_name"})
NOT_IMPORTED = Outcome(OutcomeKind.REJECTED, "ActiveCampaign could not import this address")
NOT_TAGGED = Outcome(OutcomeKind.NOOP, "the contact does not have the tag")
# Else contacts who unsubscribed or bounced are left out: they are in the audience too.
WHATEVER_STATUS = {"status": -1}


class ActiveCampaign(Connector[ActiveCampaignConfig]):
    key = "activecampaign"
    title = "ActiveCampaign"
    channel = Channel.EMAIL
    # One call at a time: whoever is removed takes two requests, so that one call spends what a second allows.
    capabilities = Capabilities(
        key="email",
        batch=MOST_IN_ONE_IMPORT,
        concurrency=1,
        jobs=True,
        job_deadline_s=7200,
        read_back=True,
        erase=True,
        limits=(Window(5, seconds=1.0),),
    )
    Config = ActiveCampaignConfig

    def limits(self) -> Capabilities:
        allowed = Window(self.config.requests_per_second, seconds=1.0)
        return replace(self.capabilities, batch=self.config.batch, limits=(allowed,))

    async def check(self) -> Account:
        return Account((await self._call("GET", "/users/me")).parse(answers.Me).user.username)

    async def ensure_audience(self, name: str) -> Audience:
        if (tag := await self._tag(name)) is None:
            wanted = {"tag": name, "tagType": "contact", "description": "An audience of the hub"}
            tag = (await self._call("POST", "/tags", json={"tag": wanted})).parse(answers.Made).tag
        return Audience(name, ref=tag.id)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        """Imports call a tag by its name."""
        contacts = [{"email": person.key, "tags": [audience.name], **_fields(person)} for person in people]
        body = {"contacts": contacts, "exclude_automations": not self.config.run_automations}
        return Result(job=(await self._call("POST", "/import/bulk_import", json=body)).parse(answers.Queued).batch_id)

    async def poll(self, audience: Audience, job: str, keys: Sequence[str]) -> Result:  # noqa: ARG002 - known by its id
        told = (await self._call("GET", "/import/info", params={"batchId": job})).parse(answers.Import)
        if told.broken:
            return Result({key: Outcome(OutcomeKind.RETRY, f"the import {told.status}") for key in keys})
        if told.status != "completed":
            return Result(job=job)
        failed = {email.lower() for email in told.failure}
        # Who is named otherwise than we named them cannot be told from those who went in.
        rest = OutcomeKind.UNKNOWN if failed - set(keys) else OutcomeKind.ACCEPTED
        return Result({key: NOT_IMPORTED for key in keys if key in failed}, rest)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        tagged = {person.key: await self._untag(audience, person.key) for person in people}
        return Result({key: NOT_TAGGED for key, was_tagged in tagged.items() if not was_tagged})

    async def members_page(self, audience: Audience, cursor: str | None = None) -> Page:
        """By ascending ids: whoever comes or goes meanwhile moves nobody onto another page."""
        after = {"orders[id]": "ASC", "id_greater": cursor or "0", "limit": str(PAGE)}
        found = (await self._contacts({"tagid": audience.ref, **after})).parse(answers.Contacts).contacts
        following = found[-1].id if len(found) == PAGE else None
        return Page([contact.email.lower() for contact in found], following)

    async def erase(self, people: Sequence[Person]) -> Result:
        for person in people:
            found = (await self._contacts({"email": person.key})).parse(answers.Contacts)
            if contact := found.of(person.key):
                await self._delete(f"/contacts/{contact.id}")
        return Result()

    async def _tag(self, name: str) -> answers.Tag | None:
        """The tag of exactly that name: the search finds parts of names too."""
        for offset in itertools.count(0, PAGE):
            asked = {"search": name, "limit": PAGE, "offset": offset}
            tags = (await self._call("GET", "/tags", params=asked)).parse(answers.Tags).tags
            found = next((tag for tag in tags if tag.tag == name), None)
            if found or len(tags) < PAGE:
                return found
        return None

    async def _untag(self, audience: Audience, email: str) -> bool:
        """Whether there was anything to take off."""
        found = await self._contacts({"email": email, "include": "contactTags"})
        taggings = found.parse(answers.TaggedContacts).taggings_of(email, audience.ref)
        for tagging in taggings:
            await self._delete(f"/contactTags/{tagging.id}")
        return bool(taggings)

    async def _contacts(self, asked: Mapping[str, str]) -> Response:
        return await self._call("GET", "/contacts", params={**asked, **WHATEVER_STATUS})

    async def _delete(self, path: str) -> None:
        answer = await self._call("DELETE", path, classify=answers.gone_already)
        if answer.ok:
            answer.parse(answers.Deleted)

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        url = f"{self.config.api_url.rstrip('/')}/api/3{path}"
        token = {"api-token": self.config.token.get_secret_value()}
        return await self.http.request(method, url, headers=token, **request)


def _fields(person: Person) -> dict[str, Any]:
    """Own fields go by their names, custom fields by their numbers."""
    strange = [name for name in person.fields if name not in OWN_FIELDS and not name.isdecimal()]
    if strange:
        raise RefusedError(f"{', '.join(strange)}: no field of ActiveCampaign's own, nor a custom field's number")
    texts = {name: _text(value) for name, value in person.fields.items()}
    own = {name: text for name, text in texts.items() if name in OWN_FIELDS}
    custom = [{"id": int(name), "value": text} for name, text in texts.items() if name not in OWN_FIELDS]
    return {**own, "fields": custom} if custom else own


def _text(value: FieldValue) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else f"||{'||'.join(value)}||"
