"""The calls to Ghost, which changes one member per request.

Newsletters are never sent of a member who is there, so nobody's subscription changes; whoever is created gets none. The
labels of a member are always replaced as a whole: they are read, changed and written by one task at a time.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote
from weakref import WeakValueDictionary

import jwt
from pydantic import ValidationError

from hub.sdk import (
    Account,
    ApiVersion,
    Audience,
    Capabilities,
    Channel,
    Connector,
    Feedback,
    Inbound,
    Notice,
    Outcome,
    OutcomeKind,
    Page,
    PerSecond,
    Person,
    RefusedError,
    Response,
    Result,
    TransientError,
    Unverified,
    insist_fresh,
    same,
    scrubbed,
)

from . import answers
from .config import GhostConfig

PAGE = 100
TOKEN_S = 240
FIELDS = frozenset({"name", "note"})

_NO_MEMBER = Outcome(OutcomeKind.REJECTED, "no member of this site")
_NOTHING_TO_DO = Outcome(OutcomeKind.NOOP)
_SIGNATURE = re.compile(r"sha256=([0-9a-f]{64}), ?t=([0-9]{13})")

Said = Outcome | None


class Ghost(Connector[GhostConfig]):
    key = "ghost"
    title = "Ghost"
    channel = Channel.CMS
    # Ghost names no limits; sites are small, and every change of a member wakes its webhooks.
    capabilities = Capabilities(
        key="email",
        batch=10,
        concurrency=2,
        read_back=True,
        erase=True,
        feedback=True,
        limits=(PerSecond(10, burst=10),),
    )
    Config = GhostConfig
    scopes = ("a custom integration's Admin API key",)
    versions = (ApiVersion("v6.0"), ApiVersion("v5.0"))

    async def check(self) -> Account:
        found = await self._call("GET", "/members/", params={"limit": 1})
        found.parse(answers.MembersPage)
        return Account(found.host)

    async def ensure_audience(self, name: str) -> Audience:
        label, page = _label(name), 1
        while page:
            found = (await self._call("GET", "/labels/", params={"limit": PAGE, "page": page})).parse(
                answers.LabelsPage
            )
            for one in found.labels:
                if one.name.lower() == label.lower():
                    return Audience(name, ref=one.slug)
            page = found.meta.pagination.next or 0
        made = (await self._call("POST", "/labels/", json={"labels": [{"name": label}]})).parse(answers.Labels)
        return Audience(name, ref=_only(made.labels).slug)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        if unheard := {name for person in people for name in person.fields} - FIELDS:
            raise RefusedError(f"of {len(unheard)} mapped fields Ghost knows nothing: members have name and note")
        return await self._each(people, lambda person: self._add(audience, person))

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._each(people, lambda person: self._remove(audience, person))

    async def erase(self, people: Sequence[Person]) -> Result:
        return await self._each(people, self._erase)

    async def members_page(self, audience: Audience, cursor: str | None = None) -> Page:
        wanted = {"filter": f"label:{_quoted(audience.ref)}", "order": "created_at asc", "limit": PAGE}
        query = {**wanted, "page": int(cursor or 1)}
        found = (await self._call("GET", "/members/", params=query)).parse(answers.MembersPage)
        following = found.meta.pagination.next
        emails = [member.email.lower() for member in found.members]
        return Page(emails, str(following) if following else None, found.meta.pagination.total)

    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        """Whoever takes leave of their last newsletter. Somebody who had none is edited by ourselves too."""
        at = self._insist_signed(request)
        try:
            told = answers.Edited.model_validate_json(request.body)
        except ValidationError:
            return []
        now = told.member.current
        if not told.took_the_last_newsletter or not now.email:
            return []
        return [Feedback(Notice.UNSUBSCRIBED, "email", now.email.lower(), f"{now.id} {now.updated_at}", at)]

    @cached_property
    def _locks(self) -> WeakValueDictionary[str, asyncio.Lock]:
        """By member, for as long as a task holds or awaits one."""
        return WeakValueDictionary()

    async def _each(self, people: Sequence[Person], call: Callable[[Person], Awaitable[Said]]) -> Result:
        outcomes: dict[str, Outcome] = {}
        for person in people:
            async with self._locks.setdefault(person.key, asyncio.Lock()):
                said = await call(person)
            if said is not None:
                outcomes[person.key] = said
        return Result(outcomes)

    async def _add(self, audience: Audience, person: Person) -> Said:
        member = await self._find(person)
        if member is None:
            return await self._create(audience, person)
        held = {"name": member.name or "", "note": member.note or ""}
        changed = {name: value for name, value in _fields(person).items() if held[name] != value}
        if any(label.slug == audience.ref for label in member.labels) and not changed:
            return None
        others = [label for label in member.labels if label.slug != audience.ref]
        labels = [*map(_as_sent, others), {"name": _label(audience.name)}]
        return await self._about(person, "PUT", f"/members/{quote(member.id, safe='')}/", {**changed, "labels": labels})

    async def _remove(self, audience: Audience, person: Person) -> Said:
        member = await self._find(person)
        if member is None or all(label.slug != audience.ref for label in member.labels):
            return _NOTHING_TO_DO
        labels = [_as_sent(label) for label in member.labels if label.slug != audience.ref]
        said = await self._about(person, "PUT", f"/members/{quote(member.id, safe='')}/", {"labels": labels})
        return _NOTHING_TO_DO if said == _NO_MEMBER else said

    async def _create(self, audience: Audience, person: Person) -> Said:
        if self.config.new_members == "reject":
            return _NO_MEMBER
        # Without any word on newsletters Ghost would subscribe them to its default ones.
        whole = {"email": person.key, "newsletters": [], "labels": [{"name": _label(audience.name)}]}
        return await self._about(person, "POST", "/members/", {**_fields(person), **whole})

    async def _erase(self, person: Person) -> Said:
        member = await self._find(person)
        if member is None:
            return _NOTHING_TO_DO
        path = f"/members/{quote(member.id, safe='')}/"
        answer = await self._call("DELETE", path, classify=answers.about_one_member)
        if answer.status not in {204, 404}:
            raise TransientError(f"{answer.host} answered {answer.status} to an erasure, not 204")
        return None

    async def _find(self, person: Person) -> answers.Member | None:
        query = {"filter": f"email:{_quoted(person.key)}", "limit": 1}
        found = (await self._call("GET", "/members/", params=query)).parse(answers.Members).members
        return next((member for member in found if member.email.lower() == person.key.lower()), None)

    async def _about(self, person: Person, method: str, path: str, member: Mapping[str, Any]) -> Said:
        answer = await self._call(method, path, json={"members": [member]}, classify=answers.about_one_member)
        if answer.status == 404:
            return _NO_MEMBER
        if answer.status == 422:
            said = "; ".join(f"{one.message} {one.context or ''}" for one in answer.parse(answers.Problems).errors)
            return Outcome(OutcomeKind.REJECTED, scrubbed(said, person))
        _only(answer.parse(answers.Members).members)
        return None

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        headers = {"authorization": f"Ghost {self._token()}", "accept-version": self.config.api_version}
        request.setdefault("classify", answers.about_the_site)
        return await self.http.request(method, f"{self.config.api}{path}", headers=headers, **request)

    def _token(self) -> str:
        """Of one request: Ghost takes none that lasts longer than five minutes."""
        number, _, secret = self.config.admin_api_key.get_secret_value().partition(":")
        now = int(time.time())
        claims = {"iat": now, "exp": now + TOKEN_S, "aud": "/admin/"}
        return jwt.encode(claims, bytes.fromhex(secret), "HS256", headers={"kid": number})

    def _insist_signed(self, request: Inbound) -> datetime:
        """Ghost signs the body with its time in milliseconds behind it."""
        if self.config.webhook_secret is None:
            raise Unverified("no webhook_secret is configured")
        signature = _SIGNATURE.fullmatch(request.headers.get("x-ghost-signature", ""))
        if signature is None:
            raise Unverified("it lacks the header X-Ghost-Signature")
        digest, moment = signature.groups()
        at = datetime.fromtimestamp(int(moment) / 1000, UTC)
        insist_fresh(at, request)
        secret = self.config.webhook_secret.get_secret_value().encode()
        if not same(digest, hmac.new(secret, request.body + moment.encode(), "sha256").hexdigest()):
            raise Unverified("its signature is not by our secret")
        return at


def _label(name: str) -> str:
    """Ghost compares the names of labels without case and trims them: a hash keeps two audiences apart."""
    plain = re.sub(r"[\s,]+", " ", name).strip()[:170]
    return name if name == plain.lower() else f"{plain} {hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _fields(person: Person) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in person.fields.items()}


def _as_sent(label: answers.Label) -> dict[str, str]:
    return {"id": label.id, "name": label.name, "slug": label.slug}


def _quoted(text: str) -> str:
    """A text in Ghost's query language."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _only(items: Sequence[Any]) -> Any:
    if len(items) != 1:
        raise TransientError("Ghost answered with other than the one that it was asked for")
    return items[0]
