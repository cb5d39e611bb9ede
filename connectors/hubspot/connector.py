"""The calls to HubSpot.

Nobody's subscription is touched: lists say nothing about it, and the properties that do are never written.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any
from urllib.parse import quote

from hub.sdk import (
    Account,
    ApiVersion,
    Audience,
    Batch,
    Capabilities,
    Channel,
    Connector,
    ConnectorError,
    DailyBudget,
    Feedback,
    Inbound,
    Notice,
    Page,
    Person,
    RefusedError,
    Remaining,
    Response,
    Result,
    TransientError,
    Unverified,
    Window,
)

from . import answers, notices
from .answers import Written
from .config import HubSpotConfig

AT_ONCE = 100
ROLLING = Remaining("x-hubspot-ratelimit-remaining", resets_in_s=answers.TEN_SECONDS)
# Unsubscribes, the legal basis, and whether a contact may be mailed at all.
NOT_OURS = re.compile(r"hs_email_optout|hs_emailconfirmation|hs_legal_basis|hs_marketable", re.IGNORECASE)


class HubSpot(Connector[HubSpotConfig]):
    key = "hubspot"
    title = "HubSpot"
    channel = Channel.EMAIL
    capabilities = Capabilities(
        key="email",
        batch=AT_ONCE,
        concurrency=4,
        read_back=True,
        erase=True,
        feedback=True,
        limits=(Window(100, seconds=answers.TEN_SECONDS), DailyBudget(250_000), ROLLING),
    )
    Config = HubSpotConfig
    scopes = ("crm.lists.read", "crm.lists.write", "crm.objects.contacts.read", "crm.objects.contacts.write")
    # HubSpot ends its support of v3 in September 2027.
    versions = (ApiVersion("2026-03"), ApiVersion("v3", until=date(2027, 8, 31)))

    def limits(self) -> Capabilities:
        allowed = (
            Window(self.config.requests_per_10s, seconds=answers.TEN_SECONDS),
            DailyBudget(self.config.requests_per_day, self.config.time_zone),
            ROLLING,
        )
        return replace(self.capabilities, limits=allowed)

    async def check(self) -> Account:
        found = (await self._call("GET", self.config.account_url)).parse(answers.Details)
        return Account(f"account {found.portal}" + (f" ({found.time_zone})" if found.time_zone else ""))

    async def ensure_audience(self, name: str) -> Audience:
        path = f"/object-type-id/{notices.CONTACT}/name/{quote(name, safe='')}"
        answer = await self._call("GET", f"{self.config.lists_url}{path}", passing=(404,))
        found = None if answer.status == 404 else answer.parse(answers.FoundList)
        if found is None or found.name != name:
            wanted = {"name": name, "objectTypeId": notices.CONTACT, "processingType": "MANUAL"}
            found = (await self._call("POST", self.config.lists_url, json=wanted)).parse(answers.FoundList)
        if found.kind == "DYNAMIC":
            raise RefusedError("HubSpot fills the list of that name by itself: give the audience another name")
        return Audience(name, ref=found.id)

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        """Look up the contacts, write their fields, then change the list. Whoever's fields are refused leaves it, so
        that a rejected person is not left in the audience."""
        there = await self._find([person.key for person in (*batch.add, *batch.remove)])
        written = await self._write_fields(batch.add, there)
        add = {key: native for key, native in written.ids.items() if key not in written.refused}
        leaving = [*(person.key for person in batch.remove), *written.refused]
        # An old and a new address may be of one contact by now: whoever is to be in stays in.
        remove = {there[key] for key in leaving if key in there} - set(add.values())
        missing = await self._change(audience, set(add.values()), remove)
        gone = {key: answers.NO_CONTACT for key, native in add.items() if native in missing}
        absent = {p.key: answers.NOT_THERE for p in batch.remove if p.key not in there or there[p.key] in missing}
        return Result({**written.refused, **gone, **absent})

    async def members_page(self, audience: Audience, cursor: str | None = None) -> Page:
        """Lists name record ids; another request makes addresses of them. Contacts without one are nobody of ours."""
        asked: dict[str, str | int] = {"limit": AT_ONCE, **({"after": cursor} if cursor else {})}
        found = (await self._call("GET", _members(self.config, audience), params=asked)).parse(answers.Members)
        contacts = await self._read([member.id for member in found.results])
        return Page([contact.email for contact in contacts if contact.email], found.following)

    async def erase(self, people: Sequence[Person]) -> Result:
        """By record id: of an address that it does not know, HubSpot would keep that it must never be used."""
        there = await self._find([person.key for person in people])
        for native in dict.fromkeys(there.values()):
            gone = await self._call(
                "POST", f"{self.config.contacts_url}/gdpr-delete", json={"objectId": native}, passing=(404,)
            )
            if gone.status not in {204, 404}:
                raise TransientError(f"{gone.host} answered {gone.status} where HubSpot says 204")
        return Result({person.key: answers.NOT_THERE for person in people if person.key not in there})

    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        if self.config.client_secret is None:
            raise Unverified("no client_secret is configured")
        address = self.config.signed_address or request.url
        notices.insist_hubspots(self.config.client_secret.get_secret_value(), address, request)
        meant = {
            self.config.unsubscribed_property: Notice.UNSUBSCRIBED,
            self.config.bounced_property: Notice.BOUNCED,
        }
        return list(notices.heard(request, meant))

    async def recognised(self, heard: Sequence[Feedback]) -> Sequence[Feedback]:
        """Under every address that the contact has."""
        contacts = await self._read(list(dict.fromkeys(one.value for one in heard if one.kind == "native")))
        known = {contact.id: contact.addresses for contact in contacts}
        named = [replace(one, kind="email", value=a) for one in heard for a in known.get(one.value, ())]
        return [*(one for one in heard if one.kind != "native"), *named]

    async def _find(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Record ids by address. Asked anew each time, since contacts are merged; a batch is one request."""
        found = {address: one.id for one in await self._read(keys, "email") for address in one.addresses}
        return {key: found[key] for key in keys if key in found}

    async def _read(self, names: Sequence[str], by: str = "") -> list[answers.Contact]:
        found: list[answers.Contact] = []
        for start in range(0, len(names), AT_ONCE):
            wanted = {
                "inputs": [{"id": name} for name in names[start : start + AT_ONCE]],
                "properties": ["email", "hs_additional_emails"],
                "propertiesWithHistory": [],
                **({"idProperty": by} if by else {}),
            }
            url = f"{self.config.contacts_url}/batch/read"
            rows = (await self._call("POST", url, json=wanted, changes=False)).parse(answers.Rows)
            rows.insist_all_were_looked_up()
            found += rows.results
        return found

    async def _write_fields(self, people: Sequence[Person], there: Mapping[str, str]) -> Written:
        """Contacts who are there are updated by id, which never makes new ones; the others are made, if at all."""
        known = {there[person.key]: person for person in people if person.key in there}
        updates = {
            person.key: {"id": native, **_properties(person)} for native, person in known.items() if person.fields
        }
        updated = await self._write("update", updates, people)
        new = [person for person in people if person.key not in there]
        if self.config.new_contacts == "reject":
            made = Written(refused={person.key: answers.NO_CONTACT for person in new})
        else:
            rows = {p.key: {"id": p.key, "idProperty": "email", **_properties(p)} for p in new}
            made = await self._write("upsert", rows, people)
        as_they_are = Written({person.key: there[person.key] for person in people if person.key in there})
        return as_they_are.and_also(updated).and_also(made)

    async def _write(self, action: str, rows: Mapping[str, dict[str, Any]], people: Sequence[Person]) -> Written:
        """Of whom the answer says nothing, or nothing clear, is sent once more, alone."""
        if not rows:
            return Written()
        named = {person.key: person for person in people}
        traced = {str(number): named[key] for number, key in enumerate(rows)}
        inputs = [{**row, "objectWriteTraceId": str(number)} for number, row in enumerate(rows.values())]
        url = f"{self.config.contacts_url}/batch/{action}"
        answer = await self._call("POST", url, json={"inputs": inputs}, passing=(404,))
        # 404: one of them has been deleted since they were looked up.
        written = answers.of_rows(answer.parse(answers.Rows), traced) if answer.ok else Written()
        for key in (key for key in rows if not written.tells_of(key)):
            written = written.and_also(await self._write_alone(action, rows[key], named[key]))
        return written

    async def _write_alone(self, action: str, row: Mapping[str, Any], person: Person) -> Written:
        url, body = f"{self.config.contacts_url}/batch/{action}", {"inputs": [row]}
        answer = await self._call("POST", url, json=body, passing=(400, 404, 409))
        if not answer.ok:
            problem = answers.problem_of(answer)
            error = answers.RowError(category=problem.category, message=problem.message)
            return Written(refused={person.key: error.about(person)})
        rows = answer.parse(answers.Rows)
        if rows.results:
            return Written({person.key: rows.results[0].id})
        return Written(refused={person.key: rows.errors[0].about(person) if rows.errors else answers.SAID_NOTHING})

    async def _change(self, audience: Audience, add: Collection[str], remove: Collection[str]) -> Collection[str]:
        """The ids among these that HubSpot does not know."""
        if not add and not remove:
            return ()
        body = {"recordIdsToAdd": sorted(add), "recordIdsToRemove": sorted(remove)}
        answer = await self._call("PUT", f"{_members(self.config, audience)}/add-and-remove", json=body)
        return answer.parse(answers.Memberships).missing

    async def _call(self, method: str, url: str, *, passing: tuple[int, ...] = (), **request: Any) -> Response:
        """`passing` are the refusals that the caller reads itself."""

        def classify(response: Response) -> ConnectorError | None:
            return None if response.status in passing else answers.by_meaning(response, self.config.time_zone)

        bearer = {"authorization": f"Bearer {self.config.access_token.get_secret_value()}"}
        return await self.http.request(method, url, headers=bearer, classify=classify, **request)


def _members(config: HubSpotConfig, audience: Audience) -> str:
    return f"{config.lists_url}/{quote(audience.ref, safe='')}/memberships"


def _properties(person: Person) -> dict[str, dict[str, str]]:
    if any(NOT_OURS.match(name) for name in person.fields):
        raise RefusedError("a field is mapped to a property that says who may be mailed: the hub never writes those")
    return {"properties": {name: answers.shown(value) for name, value in person.fields.items()}}
