"""The calls to Klaviyo.

Nobody's subscription is touched: profiles are imported without `subscriptions`, and the bulk subscription jobs, which
lift suppressions and unsubscribe from all lists, are never used.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from hub.sdk import (
    Account,
    ApiVersion,
    Audience,
    AuthError,
    Capabilities,
    Channel,
    Connector,
    Feedback,
    Inbound,
    NativeIds,
    Outcome,
    Person,
    RefusedError,
    Remaining,
    Response,
    Result,
    Unverified,
    Window,
    in_turn,
    pages,
)
from hub.sdk import Page as Listing

from . import answers, notices
from .config import KlaviyoConfig

Item = TypeVar("Item", bound=BaseModel)
Params = Mapping[str, str | int]

PAGE = 100
REMOVED_AT_ONCE = 1000
# They travel in the address, which must not grow too long.
ASKED_AT_ONCE = 50
JSON_API = "application/vnd.api+json"
OWN = frozenset(
    {"email", "phone_number", "external_id", "first_name", "last_name", "organization", "locale", "title", "image"}
)


class Klaviyo(Connector[KlaviyoConfig]):
    key = "klaviyo"
    title = "Klaviyo"
    channel = Channel.EMAIL
    # Klaviyo counts per endpoint; this is what it grants imports and removals, and what remains is announced.
    capabilities = Capabilities(
        key="email",
        batch=1000,
        concurrency=2,
        read_back=True,
        erase=True,
        feedback=True,
        jobs=True,
        job_deadline_s=10_800,
        limits=(Window(10, seconds=1), Window(150, seconds=60), Remaining("ratelimit-remaining", "ratelimit-reset")),
    )
    Config = KlaviyoConfig
    scopes = (
        "accounts:read",
        "lists:read",
        "lists:write",
        "profiles:read",
        "profiles:write",
        "data-privacy:write",
    )
    versions = (ApiVersion("2026-07-15"),)

    @cached_property
    def _ids(self) -> NativeIds:
        return NativeIds()

    def limits(self) -> Capabilities:
        return replace(self.capabilities, batch=self.config.batch)

    async def check(self) -> Account:
        owners = (await self._call("GET", "/accounts")).parse(answers.Page[answers.Owner]).data
        if not owners:
            raise AuthError("the key is of no account")
        return Account(owners[0].name or f"account {owners[0].id}")

    async def ensure_audience(self, name: str) -> Audience:
        """Names are not unique in Klaviyo: of several lists, the oldest."""
        wanted = {"filter": f"equals(name,{_quoted(name)})", "fields[list]": "name", "sort": "created"}
        async for found in self._pages("/lists", wanted, answers.FoundList):
            if found.name == name:
                return Audience(name, ref=found.id)
        made = await self._call("POST", "/lists", json={"data": {"type": "list", "attributes": {"name": name}}})
        return Audience(name, ref=made.parse(answers.MadeList).data.id)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        """One import job, which creates or updates the profiles and puts them on the list."""
        unknown = await self._unwanted(people)
        rows = [_profile(person) for person in people if person.key not in unknown]
        if not rows:
            return Result(unknown)
        job = {
            "type": "profile-bulk-import-job",
            "attributes": {"profiles": {"data": rows}},
            "relationships": {"lists": {"data": [{"type": "list", "id": audience.ref}]}},
        }
        made = await self._call("POST", "/profile-bulk-import-jobs", json={"data": job})
        return Result(unknown, job=made.parse(answers.Job).id)

    async def poll(self, audience: Audience, job: str, keys: Sequence[str]) -> Result:  # noqa: ARG002 - known by its id
        path = f"/profile-bulk-import-jobs/{quote(job, safe='')}"
        said = (await self._call("GET", path, classify=answers.about_a_job)).parse(answers.Job)
        if said.status in {"queued", "processing"}:
            return Result(job=job)
        errors: list[answers.RowError] = []
        if said.failed:
            wanted = {"page[size]": PAGE}
            errors = [error async for error in self._pages(f"{path}/import-errors", wanted, answers.RowError)]
        return answers.of_job(said, errors, keys)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        keys = [person.key for person in people]
        there = await self._take_off(audience, keys)
        if there is None:
            # A profile whose id was remembered may have been deleted or merged since; otherwise it is the list.
            self._ids.forget(keys)
            there = await self._take_off(audience, keys)
        if there is None:
            raise AuthError("Klaviyo does not know the list any more")
        return Result({key: answers.NOT_THERE for key in keys if key not in there})

    async def members_page(self, audience: Audience, cursor: str | None = None) -> Listing:
        wanted: Params = {"fields[profile]": "email", "page[size]": PAGE}
        found = await self._page(_members(audience, "/profiles"), wanted, answers.Profile, cursor)
        # Whoever has no address was put there by other means, and is nobody of ours.
        return Listing([one.email for one in found.data if one.email], found.cursor)

    async def erase(self, people: Sequence[Person]) -> Result:
        """Deletions are allowed 60 a minute, each by itself."""
        return await in_turn(people, self._erase)

    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        if self.config.webhook_secret is None:
            raise Unverified("no webhook_secret is configured")
        notices.insist_klaviyos(self.config.webhook_secret.get_secret_value(), self.config.signed_content, request)
        return notices.heard(request)

    async def recognised(self, heard: Sequence[Feedback]) -> Sequence[Feedback]:
        """Events that name only the profile: whose it is."""
        found: dict[str, str] = {}
        ids = [one.value for one in heard if one.kind == "native"]
        for start in range(0, len(ids), ASKED_AT_ONCE):
            some = await self._profiles("id", ids[start : start + ASKED_AT_ONCE])
            found |= {profile.id: profile.email for profile in some if profile.email}
        named = [replace(one, kind="email", value=found[one.value]) for one in heard if one.value in found]
        return [*(one for one in heard if one.kind != "native"), *named]

    async def _erase(self, person: Person) -> None:
        profile = {"type": "profile", "attributes": {"email": person.key}}
        job = {"type": "data-privacy-deletion-job", "attributes": {"profile": {"data": profile}}}
        answers.insist_on(await self._call("POST", "/data-privacy-deletion-jobs", json={"data": job}), 202)
        self._ids.forget([person.key])

    async def _unwanted(self, people: Sequence[Person]) -> Mapping[str, Outcome]:
        """Whom Klaviyo does not know, where nobody is to be created. Asked anew each time: an import would bring back
        whoever has been deleted."""
        if self.config.new_profiles == "create":
            return {}
        there = await NativeIds().of([person.key for person in people], self._find, ASKED_AT_ONCE)
        self._ids.learn(there)
        return {person.key: answers.NO_PROFILE for person in people if person.key not in there}

    async def _take_off(self, audience: Audience, keys: Sequence[str]) -> Mapping[str, str] | None:
        """The ids of those who are off the list now; None where Klaviyo does not know one of them, or the list."""
        there = await self._ids.of(keys, self._find, ASKED_AT_ONCE)
        rows = [{"type": "profile", "id": one} for one in there.values()]
        for start in range(0, len(rows), REMOVED_AT_ONCE):
            body = {"data": rows[start : start + REMOVED_AT_ONCE]}
            path = _members(audience, "/relationships/profiles")
            gone = await self._call("DELETE", path, json=body, classify=answers.but_for_404)
            if gone.status == 404:
                return None
            answers.insist_on(gone, 204)
        return there

    async def _find(self, keys: Sequence[str]) -> Mapping[str, str]:
        found = {profile.email: profile.id for profile in await self._profiles("email", keys)}
        return {key: found[key] for key in keys if key in found}

    async def _profiles(self, attribute: str, values: Sequence[str]) -> list[answers.Profile]:
        named = f"any({attribute},[{','.join(map(_quoted, values))}])"
        wanted: Params = {"filter": named, "fields[profile]": "email", "page[size]": PAGE}
        return [profile async for profile in self._pages("/profiles", wanted, answers.Profile)]

    async def _pages(self, path: str, params: Params, shape: type[Item]) -> AsyncIterator[Item]:
        async for page in pages(partial(self._page, path, params, shape), lambda page: page.cursor):
            for item in page.data:
                yield item

    async def _page(self, path: str, params: Params, shape: type[Item], cursor: str | None) -> answers.Page[Item]:
        asked = {**params, **({"page[cursor]": cursor} if cursor else {})}
        return (await self._call("GET", path, params=asked)).parse(answers.Page[shape])  # type: ignore[valid-type]

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        headers = {
            "authorization": f"Klaviyo-API-Key {self.config.api_key.get_secret_value()}",
            "revision": self.config.api_version,
            "accept": JSON_API,
            **({"content-type": JSON_API} if "json" in request else {}),
        }
        request.setdefault("classify", answers.by_meaning)
        return await self.http.request(method, f"{self.config.api_url.rstrip('/')}{path}", headers=headers, **request)


def _members(audience: Audience, rest: str) -> str:
    return f"/lists/{quote(audience.ref, safe='')}{rest}"


def _quoted(text: str) -> str:
    """A text in Klaviyo's filters."""
    return json.dumps(text, ensure_ascii=False)


def _profile(person: Person) -> dict[str, Any]:
    """Fields by Klaviyo's names for its own attributes, `location.city` among them; all others are custom properties.
    None clears."""
    if any(name.startswith("$") for name in person.fields):
        raise RefusedError("Klaviyo keeps names that begin with $ for itself: map the field to another name")
    placed = {name: value for name, value in person.fields.items() if name.startswith("location.")}
    own = {name: value for name, value in person.fields.items() if name in OWN}
    custom = {name: value for name, value in person.fields.items() if name not in own and name not in placed}
    location = {name.removeprefix("location."): value for name, value in placed.items()}
    groups = {"location": location, "properties": custom}
    told = {name: group for name, group in groups.items() if group}
    return {"type": "profile", "attributes": {**own, **told, "email": person.key}}
