"""Mailchimp against a fake that keeps contacts, statuses and tags, and against the vendor's own description."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.mailchimp import Mailchimp, MailchimpConfig
from hub.sdk import AuthError, Batch, Outcome, OutcomeKind, Person, TransientError
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpConnectorContract, HttpVendor, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.descriptions import Swagger2

BASE = "/3.0/lists/abc123"
CONFIG = {"api_key": "0123456789abcdef-us21", "list_id": "abc123"}
FIELDS = {"FNAME": "Annabella-Private", "AGE": 30}


def contact_id(email: str) -> str:
    return hashlib.md5(email.lower().encode()).hexdigest()


class FakeMailchimp(HttpVendor):
    """One list: `subscriptions` are its contacts with their status."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[int, dict[str, Any]] = {}
        self.merge_fields: dict[str, dict[str, Any]] = {}
        self.bad_fields: set[str] = set()

    def members(self, audience: Audience) -> set[str]:
        return set(self.tags[int(audience.ref)]["members"])

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "us21.api.mailchimp.com" and request.headers["authorization"].startswith("Basic ")
        body, path = json_body(request), request.url.path.removeprefix(BASE)
        if match := re.fullmatch(r"/segments/(\d+)(/members)?", path):
            tag = self.tags.get(int(match[1]))
            if tag is None:
                return problem(404, "Resource Not Found")
            return self._list_members(tag, request) if match[2] else self._tag(tag, body)
        if match := re.fullmatch(r"/members/([0-9a-f]{32})(/actions/delete-permanent)?", path):
            return self._erase(match[1]) if match[2] else self._put(match[1], body)
        return {
            ("GET", ""): lambda: httpx.Response(200, json={"id": "abc123", "name": "Customers"}),
            ("POST", ""): lambda: self._batch(body),
            ("GET", "/segments"): lambda: self._list_tags(request),
            ("POST", "/segments"): lambda: self._make_tag(body),
        }[request.method, path]()

    def _list_tags(self, request: httpx.Request) -> httpx.Response:
        start = int(request.url.params["offset"])
        tags = list(self.tags.values())[start : start + int(request.url.params["count"])]
        return httpx.Response(200, json={"segments": [{"id": tag["id"], "name": tag["name"]} for tag in tags]})

    def _make_tag(self, body: Any) -> httpx.Response:
        tag = {"id": 1000 + len(self.tags), "name": body["name"], "members": set(body["static_segment"])}
        self.tags[tag["id"]] = tag
        return httpx.Response(200, json={"id": tag["id"], "name": tag["name"], "member_count": 0})

    def _tag(self, tag: dict[str, Any], body: Any) -> httpx.Response:
        add, remove = body["members_to_add"], body["members_to_remove"]
        if len(add) > 500 or len(remove) > 500:
            return problem(400, "Invalid Resource")
        errors = [
            {"email_addresses": [key], "error": self.refused[key]} for key in add if key in self.refused
        ] + [
            {"email_addresses": [key.upper()], "error": f"{key} is not subscribed to the list."}
            for key in (*add, *remove) if key not in self.subscriptions and key not in self.refused
        ]  # fmt: skip
        added = [key for key in add if key in self.subscriptions and key not in self.refused]
        tag["members"] |= set(added)
        tag["members"] -= set(remove)
        return httpx.Response(
            200,
            json={
                "members_added": [{"email_address": key} for key in added],
                "members_removed": [{"email_address": key} for key in remove],
                "errors": errors,
                "error_count": len(errors),
            },
        )

    def _list_members(self, tag: dict[str, Any], request: httpx.Request) -> httpx.Response:
        start, count = int(request.url.params["offset"]), int(request.url.params["count"])
        found = sorted(tag["members"])[start : start + count]
        members = [{"email_address": key.title()} for key in found]
        return httpx.Response(200, json={"members": members, "total_items": len(tag["members"])})

    def _batch(self, body: Any) -> httpx.Response:
        assert body["update_existing"] is True and all("status" not in member for member in body["members"])
        errors = []
        for member in body["members"]:
            key = member["email_address"]
            if key in self.bad_fields:
                errors.append({"email_address": key, "error": f"Your merge fields of {key} were invalid."})
            elif key in self.subscriptions:
                self.merge_fields[key] = member["merge_fields"]
        return httpx.Response(200, json={"new_members": [], "updated_members": [], "errors": errors})

    def _put(self, number: str, body: Any) -> httpx.Response:
        key = body["email_address"]
        assert number == contact_id(key)
        if key in self.refused:
            return problem(400, "Member In Compliance State", f"{key} is in a compliance state")
        self.subscriptions.setdefault(key, body["status_if_new"])
        self.merge_fields[key] = body["merge_fields"]
        return httpx.Response(200, json={"id": number, "email_address": key, "status": self.subscriptions[key]})

    def _erase(self, number: str) -> httpx.Response:
        key = next((key for key in self.subscriptions if contact_id(key) == number), None)
        if key is None:
            return problem(404, "Resource Not Found")
        del self.subscriptions[key]
        for tag in self.tags.values():
            tag["members"].discard(key)
        return httpx.Response(204)


def problem(status: int, title: str, detail: str = "") -> httpx.Response:
    return httpx.Response(status, json={"type": "https://mailchimp.com/errors", "title": title, "status": status,
                                        "detail": detail, "instance": "x"})  # fmt: skip


class TestMailchimp(HttpConnectorContract):
    connector = Mailchimp
    config: ClassVar = CONFIG
    fields: ClassVar = FIELDS

    def make_vendor(self) -> FakeMailchimp:
        return FakeMailchimp()


class TestMailchimpThatCreatesContacts(TestMailchimp):
    config: ClassVar = {**CONFIG, "new_contacts": "transactional"}


@asynccontextmanager
async def mailchimp(**config: Any) -> AsyncIterator[tuple[Stage, FakeMailchimp, Audience]]:
    vendor = FakeMailchimp()
    async with staged(Mailchimp, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(name: str, **fields: Any) -> Person:
    return Person(f"id-{name}", f"{name}@example.com", fields)


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    return [(r.method, str(r.url).partition("/lists/abc123")[2], json_body(r)) for r in stage.wire.requests]


async def test_the_requests_of_a_run() -> None:
    async with mailchimp() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        batch = Batch(add=[person("ann", FNAME="Ann", VIP=True, TAGS=["a", "b"], CITY=None)], remove=[person("bob")])
        await stage.connector.check()
        result = await stage.connector.apply(audience, batch)
        assert result.outcomes == {"bob@example.com": Outcome(OutcomeKind.NOOP)}
        assert sent(stage) == [
            ("GET", "/segments?type=static&fields=segments.id%2Csegments.name&count=1000&offset=0", None),
            ("POST", "/segments", {"name": "vip", "static_segment": []}),
            ("GET", "?fields=id%2Cname", None),
            ("POST", "/segments/1000",
             {"members_to_add": ["ann@example.com"], "members_to_remove": ["bob@example.com"]}),
            ("POST", "?skip_merge_validation=true", {
                "members": [{"email_address": "ann@example.com",
                             "merge_fields": {"FNAME": "Ann", "VIP": "true", "TAGS": "a, b", "CITY": ""}}],
                "update_existing": True,
            }),
        ]  # fmt: skip


async def test_people_who_are_not_on_the_list_are_rejected_unless_they_may_be_created() -> None:
    async with mailchimp() as (stage, vendor, audience):
        result = await stage.connector.apply(audience, Batch(add=[person("new")]))
        assert result.outcomes == {"new@example.com": Outcome(OutcomeKind.REJECTED, "not a contact of this list")}
        assert vendor.subscriptions == {}


async def test_people_are_created_with_the_status_for_new_contacts_only() -> None:
    async with mailchimp(new_contacts="subscribed") as (stage, vendor, audience):
        vendor.know("old@example.com", "unsubscribed")
        vendor.refuse("gone@example.com", "gone@example.com was permanently deleted")
        add = [person("new", FNAME="New"), person("old"), person("gone")]
        result = await stage.connector.apply(audience, Batch(add=add))
        assert vendor.subscriptions == {"new@example.com": "subscribed", "old@example.com": "unsubscribed"}
        assert vendor.members(audience) == {"new@example.com", "old@example.com"}
        assert result.outcomes["gone@example.com"].kind is OutcomeKind.SUPPRESSED and len(result.outcomes) == 1
        puts = [body for method, _, body in sent(stage) if method == "PUT"]
        assert puts == [
            {"email_address": "new@example.com", "status_if_new": "subscribed", "merge_fields": {"FNAME": "New"}}
        ]


async def test_nobody_whose_fields_are_refused_stays_in_the_audience() -> None:
    async with mailchimp() as (stage, vendor, audience):
        for name in ("ann", "bob"):
            vendor.know(f"{name}@example.com")
        vendor.bad_fields = {"bob@example.com"}
        result = await stage.connector.apply(audience, Batch(add=[person("ann", A="1"), person("bob", A="x")]))
        assert {key: outcome.kind for key, outcome in result.outcomes.items()} == {
            "bob@example.com": OutcomeKind.REJECTED
        }
        assert vendor.members(audience) == {"ann@example.com"}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ann@example.com has signed up to a lot of lists very recently", OutcomeKind.RETRY),
        (
            "Member In Compliance State: ann@example.com is in a compliance state due to unsubscribe",
            OutcomeKind.SUPPRESSED,
        ),
        ("Forgotten Email Not Subscribed: ann@example.com was permanently deleted", OutcomeKind.SUPPRESSED),
        ("ann@example.com has been cleaned", OutcomeKind.SUPPRESSED),
        ("ann@example.com looks fake or invalid, please enter a real email address.", OutcomeKind.REJECTED),
    ],
)
async def test_what_mailchimp_says_about_a_person_is_understood(said: str, kind: OutcomeKind) -> None:
    async with mailchimp() as (stage, vendor, audience):
        vendor.refuse("ann@example.com", said)
        outcome = (await stage.connector.apply(audience, Batch(add=[person("ann")]))).outcomes["ann@example.com"]
        assert outcome.kind is kind and "ann@" not in outcome.reason


async def test_errors_that_name_nobody_leave_everyone_unknown() -> None:
    answer = {"members_added": [], "members_removed": [], "errors": [], "error_count": 2}
    async with mailchimp() as (stage, _, audience):
        with stage.wire.answering(200, json.dumps(answer).encode()):
            assert (await stage.connector.apply(audience, Batch(add=[person("ann")]))).rest is OutcomeKind.UNKNOWN


async def test_a_vanished_tag_is_for_a_person_to_look_at() -> None:
    async with mailchimp() as (stage, vendor, audience):
        vendor.tags.clear()
        with pytest.raises(AuthError):
            await stage.connector.apply(audience, Batch(add=[person("ann")]))


async def test_a_throttle_while_contacts_are_created_concerns_the_whole_batch() -> None:
    async with mailchimp(new_contacts="subscribed") as (stage, _, audience):
        people = [person(f"n{number}") for number in range(20)]
        stopping = stage.wire.bending(lambda request, _: httpx.Response(429) if request.method == "PUT" else None)
        with stopping, pytest.raises(TransientError):
            await stage.connector.apply(audience, Batch(add=people))
        assert len([request for request in stage.wire.requests if request.method == "PUT"]) == 4


async def test_tags_and_members_are_read_page_by_page() -> None:
    async with mailchimp() as (stage, vendor, _):
        for number in range(2500):
            vendor.tags[5000 + number] = {"id": 5000 + number, "name": f"t{number}", "members": set()}
        found = await stage.connector.ensure_audience("t2400")
        assert found.ref == "7400"
        vendor.tags[7400]["members"] = {f"p{number}@example.com" for number in range(1500)}
        assert len({key async for key in stage.connector.members(found)}) == 1500


async def test_every_request_is_as_the_vendor_describes_it() -> None:
    api = Swagger2(
        "mailchimp", *(f"mailchimp-{part}-api-openapi.yml" for part in ("segments", "members", "lists", "list-id"))
    )
    async with mailchimp(new_contacts="transactional") as (stage, vendor, audience):
        vendor.know("ann@example.com")
        await stage.connector.check()
        await stage.connector.apply(
            audience, Batch(add=[person("ann", FNAME="Ann"), person("new")], remove=[person("x")])
        )
        assert [key async for key in stage.connector.members(audience)]
        await stage.connector.erase([person("ann")])
        described = {(request.method, api.validate(request, "/3.0")) for request in stage.wire.requests}
    assert described == {
        ("GET", "/lists/{list_id}"),
        ("POST", "/lists/{list_id}"),
        ("GET", "/lists/{list_id}/segments"),
        ("POST", "/lists/{list_id}/segments"),
        ("POST", "/lists/{list_id}/segments/{segment_id}"),
        ("GET", "/lists/{list_id}/segments/{segment_id}/members"),
        ("PUT", "/lists/{list_id}/members/{subscriber_hash}"),
        ("POST", "/lists/{list_id}/members/{subscriber_hash}/actions/delete-permanent"),
    }


def test_a_key_must_name_its_data_centre() -> None:
    for key in ("0123456789abcdef", "key-", "key-us21.evil.example", "key-us21/x", "key-21", "a b-us1"):
        with pytest.raises(ValidationError):
            MailchimpConfig.model_validate({**CONFIG, "api_key": key})
    assert MailchimpConfig.model_validate(CONFIG).list_url == "https://us21.api.mailchimp.com/3.0/lists/abc123"
