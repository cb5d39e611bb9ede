"""Emarsys against a fake that keeps contacts, lists and opt-ins; its description is not at hand to check against."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.emarsys import Emarsys, EmarsysConfig
from connectors.emarsys.wsse import token_of
from hub.sdk import Audience, AuthError, Outcome, OutcomeKind, Person, RefusedError, TransientError, Window
from hub.sdk.testing import HttpConnectorContract, Stage, json_body
from hub.sdk.testing.stage import staged
from tests.connectors.fake_emarsys import CLIENT, CLIENT_SECRET, SECRET, TOKEN, USER, FakeEmarsys, reply
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG = {"api_version": "v2", "user": USER, "secret": SECRET}
V3 = {"user": CLIENT, "secret": CLIENT_SECRET, "person": "external_id", "key_field": "4711"}


class TestEmarsys(ThroughTheHub, HttpConnectorContract):
    connector = Emarsys
    config: ClassVar = CONFIG
    fields: ClassVar = {"1": "Annabella-Private", "2044": 471_109}
    volatile_headers = frozenset({"x-wsse"})

    def make_vendor(self) -> FakeEmarsys:
        return FakeEmarsys()


class TestEmarsysWithOpenIdConnect(TestEmarsys):
    config: ClassVar = V3

    def make_vendor(self) -> FakeEmarsys:
        return FakeEmarsys("4711")


@asynccontextmanager
async def emarsys(**config: Any) -> AsyncIterator[tuple[Stage, FakeEmarsys, Audience]]:
    vendor = FakeEmarsys(config.get("key_field", "3"))
    async with staged(Emarsys, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor, await stage.connector.ensure_audience("vip")


def person(name: str, **fields: Any) -> Person:
    return Person(f"id-{name}", f"{name}@example.com", fields)


def sent(stage: Stage) -> list[tuple[str, str, Any]]:
    return [(r.method, str(r.url).partition("/api/v2")[2], json_body(r)) for r in stage.wire.requests]


async def test_the_requests_of_a_run() -> None:
    async with emarsys() as (stage, _, audience):
        ann = person("ann", **{"1": "Ann", "50": True, "51": 4.5, "52": ["7", "8"], "53": [], "54": None})
        await stage.connector.add(audience, [ann, person("bob")])
        await stage.connector.remove(audience, [ann])
        await stage.connector.members_page(audience)
        await stage.connector.erase([ann])
        described = {"1": "Ann", "50": "true", "51": 4.5, "52": ["7", "8"], "53": None, "54": None}
        contacts = [{"3": "ann@example.com", **described}, {"3": "bob@example.com"}]
        listed = {"keyId": "id", "keyValues": ["900001"], "fields": ["3"]}
        assert sent(stage) == [
            ("GET", "/contactlist", None),
            ("POST", "/contactlist", {"key_id": "3", "name": "vip", "external_ids": []}),
            ("PUT", "/contact/?create_if_not_exists=1", {"key_id": "3", "contacts": contacts}),
            ("POST", "/contactlist/100/add", {"key_id": "3", "external_ids": ["ann@example.com", "bob@example.com"]}),
            ("POST", "/contactlist/100/delete", {"key_id": "3", "external_ids": ["ann@example.com"]}),
            ("GET", "/contactlist/100/contactIds?%24skiptoken=0&%24top=1000", None),
            ("POST", "/contact/getdata", listed),
            ("POST", "/contact/delete", {"key_id": "3", "3": ["ann@example.com"]}),
        ]


def test_the_digest_is_the_base64_of_hexadecimal_digits() -> None:
    token = token_of("shop001", "secret", "d36e316282959a9ed4c89851497a717f", "2014-03-20T12:51:45+01:00")
    assert token == (
        'UsernameToken Username="shop001", PasswordDigest="'
        'YzVkNWY3MzMzYTU5ZWYzOTA1YmVjMzM4NWQzOGVjYTU0ZGY0MzI2Zg==", '
        'Nonce="d36e316282959a9ed4c89851497a717f", Created="2014-03-20T12:51:45+01:00"'
    )


async def test_each_request_is_signed_anew_and_now() -> None:
    async with emarsys() as (stage, vendor, _):
        await stage.connector.check()
        await stage.connector.check()
        signed = [TOKEN.fullmatch(request.headers["x-wsse"]) for request in stage.wire.requests]
        assert len({one[3] for one in signed if one}) == len(signed) == len(vendor.nonces) == 4
        ages = [datetime.now(UTC) - datetime.fromisoformat(one[4]) for one in signed if one]
        assert max(age.total_seconds() for age in ages) < 600


async def test_an_access_token_is_used_until_emarsys_refuses_it() -> None:
    async with emarsys(**V3, api_version="v3") as (stage, vendor, _):
        await stage.connector.check()
        assert len(vendor.tokens) == 1 and stage.wire.requests[-1].url.path == "/api/v3/contactlist"
        vendor.tokens.clear()
        with pytest.raises(AuthError):
            await stage.connector.check()
        await stage.connector.check()


async def test_whoever_comes_into_being_has_no_opt_in() -> None:
    async with emarsys() as (stage, vendor, audience):
        vendor.know("ann@example.com", "unsubscribed")
        await stage.send(audience, add=[person("ann"), person("new")])
        assert vendor.subscriptions == {"ann@example.com": "unsubscribed", "new@example.com": "no opt-in"}
        assert vendor.members(audience) == {"ann@example.com", "new@example.com"}


async def test_unknown_people_are_rejected_where_the_admin_wants_it_so() -> None:
    async with emarsys(new_contacts="reject") as (stage, vendor, audience):
        vendor.know("ann@example.com")
        missing = Outcome(OutcomeKind.REJECTED, "no such contact in this account")
        outcomes = await stage.send(audience, add=[person("ann"), person("new"), person("other", **{"1": "O"})])
        assert {key: one for key, one in outcomes.items() if one.kind is not OutcomeKind.ACCEPTED} == {
            "new@example.com": missing, "other@example.com": missing,
        }  # fmt: skip
        assert vendor.members(audience) == {"ann@example.com"} == set(vendor.subscriptions)


async def test_without_fields_and_new_contacts_nobody_is_written() -> None:
    async with emarsys(new_contacts="reject") as (stage, vendor, audience):
        vendor.know("ann@example.com")
        await stage.connector.add(audience, [person("ann")])
        assert [path for _, path, _ in sent(stage)][2:] == ["/contactlist/100/add"]


async def test_a_contact_that_is_created_and_not_found_yet_is_tried_again() -> None:
    async with emarsys() as (stage, vendor, audience):
        answered = reply(data={"ids": ["1", "2"], "errors": []})
        with stage.wire.bending(lambda r, _: answered if r.method == "PUT" else None):
            vendor.know("bob@example.com")
            result = await stage.connector.add(audience, [person("ann"), person("bob")])
        assert result.outcomes == {
            "ann@example.com": Outcome(OutcomeKind.RETRY, "Emarsys does not find the contact yet")
        }


async def test_whoever_is_no_contact_need_not_be_taken_off_nor_erased() -> None:
    async with emarsys() as (stage, vendor, audience):
        vendor.know("bob@example.com")
        nothing = {"ann@example.com": Outcome(OutcomeKind.NOOP)}
        assert (await stage.connector.remove(audience, [person("ann"), person("bob")])).outcomes == nothing
        assert (await stage.connector.erase([person("ann"), person("bob")])).outcomes == nothing
        assert not vendor.subscriptions


async def test_contacts_who_share_a_key_are_neither_listed_nor_erased_and_that_is_told() -> None:
    async with emarsys() as (stage, vendor, audience):
        vendor.know("ann@example.com")
        vendor.several = {"ann@example.com"}
        shared = Outcome(OutcomeKind.REJECTED, "several contacts of this account have the same key")
        people = [person("ann"), person("bob")]
        assert (await stage.connector.add(audience, people)).outcomes == {"ann@example.com": shared}
        assert (await stage.connector.erase(people)).outcomes == {"ann@example.com": shared}
        assert vendor.subscriptions == {"ann@example.com": "subscribed"}


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("code", "text", "outcome"),
    [
        (2008, "No contact found with the external id: 3 - ann@example.com", Outcome(OutcomeKind.NOOP)),
        (2005, "Invalid key field value: ann@example.com", Outcome(OutcomeKind.REJECTED, "Invalid key field value: …")),
        (2007, "", Outcome(OutcomeKind.REJECTED, "refused by Emarsys with code 2007")),
        (2009, "Contact with the external id already exists: 3",
         Outcome(OutcomeKind.RETRY, "somebody else is creating the contact")),
    ],
)  # fmt: skip
async def test_what_is_said_of_a_request_about_one_person_is_said_of_them(
    status: int, code: int, text: str, outcome: Outcome
) -> None:
    async with emarsys() as (stage, _, audience):
        with stage.wire.answering(status, reply(code, text).content):
            result = await stage.connector.remove(audience, [person("ann")])
        assert result.outcomes == {"ann@example.com": outcome}


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (200, 2005, RefusedError),
        (400, 1000, RefusedError),
        (400, 10001, RefusedError),
        (400, 2004, AuthError),
        (400, 3004, AuthError),
        (404, 0, AuthError),
        (200, 3006, AuthError),
        (404, 3006, AuthError),
        (400, 1003, TransientError),
        (200, 1003, TransientError),
    ],
)
async def test_a_reply_code_is_a_failure_whatever_the_status(status: int, code: int, error: type[Exception]) -> None:
    async with emarsys() as (stage, _, audience):
        for change in (stage.connector.add, stage.connector.remove):
            with stage.wire.answering(status, reply(code, "ann@example.com").content), pytest.raises(error) as raised:
                await change(audience, [person("ann"), person("bob")])
            assert "ann@example.com" not in str(raised.value)
            assert not isinstance(raised.value, RefusedError) or raised.value.divisible


async def test_a_code_with_several_meanings_is_told_by_its_text() -> None:
    async with emarsys() as (stage, _, audience):
        for text, error in (("Contact list does not exist.", AuthError), ("Invalid value for field: 7", RefusedError)):
            with stage.wire.answering(400, reply(1008, text).content), pytest.raises(error):
                await stage.connector.remove(audience, [person("ann"), person("bob")])


async def test_an_error_about_somebody_who_was_not_sent_leaves_the_others_unclear() -> None:
    stranger = {"cem@example.com": {"2007": "invalid"}}
    people = [person("ann"), person("bob")]
    async with emarsys() as (stage, _, audience):
        said = reply(data={"deleted_contacts": 1, "errors": {**stranger, "Bob@Example.com": {"2008": "no"}}})
        with stage.wire.answering(200, said.content):
            result = await stage.connector.remove(audience, people)
        assert (result.outcomes, result.rest) == ({"bob@example.com": Outcome(OutcomeKind.NOOP)}, OutcomeKind.UNKNOWN)
        with stage.wire.answering(200, reply(data={"ids": [], "errors": stranger}).content):
            added = await stage.connector.add(audience, people)
        assert {one.kind for one in added.outcomes.values()} == {OutcomeKind.RETRY} and len(added.outcomes) == 2


@pytest.mark.parametrize("name", ["31", "3"])
async def test_the_opt_in_and_the_key_are_no_fields_and_nothing_is_sent(name: str) -> None:
    async with emarsys() as (stage, _, audience):
        asked = len(stage.wire.requests)
        with pytest.raises(RefusedError, match=f"^{name}: could change a subscription"):
            await stage.connector.add(audience, [person("ann", **{name: "1"})])
        assert len(stage.wire.requests) == asked


@pytest.mark.parametrize("name", ["031", "optin", "31 ", "31\n", "٣١", "id"])
async def test_a_field_that_is_no_number_is_named_and_cannot_pass_for_another(name: str) -> None:
    async with emarsys() as (stage, _, audience):
        with pytest.raises(RefusedError, match="goes by its number"):
            await stage.connector.add(audience, [person("ann", **{name: "1"})])


async def test_a_list_that_somebody_else_makes_meanwhile_is_adopted() -> None:
    async with emarsys() as (stage, vendor, _):

        def late(request: httpx.Request, _: int) -> None:
            if request.method == "POST":
                vendor.add_list("big")

        with stage.wire.bending(late):
            found = await stage.connector.ensure_audience("big")
        assert vendor.lists[int(found.ref)] == "big" and list(vendor.lists.values()).count("big") == 1


@pytest.mark.parametrize(("code", "why"), [(3005, "almost this name"), (3004, "does not take this name")])
async def test_a_name_that_emarsys_does_not_take_is_told(code: int, why: str) -> None:
    async with emarsys() as (stage, _, _audience):
        said = reply(code, "no", status=400)
        bent = stage.wire.bending(lambda r, _: said if r.method == "POST" else None)
        with bent, pytest.raises(RefusedError, match=why) as refused:
            await stage.connector.ensure_audience("BIG!")
        assert not refused.value.divisible


async def test_the_oldest_list_of_a_name_is_taken() -> None:
    async with emarsys() as (stage, vendor, _):
        vendor.lists |= {907: "big", 95: "big"}
        assert await stage.connector.ensure_audience("big") == Audience("big", "95")


async def test_members_are_read_in_pages_and_whoever_has_no_key_is_named_by_their_number() -> None:
    """Or is a contact no more since the page was asked for: whoever counts anybody gone must see that somebody was. A
    number alone could be somebody's external id."""
    async with emarsys() as (stage, vendor, audience):
        for number in range(1500):
            vendor.know(f"P{number}@Example.com")
        vendor.numbers[""] = 7
        vendor.on[int(audience.ref)] = list(vendor.numbers)
        found = [key async for key in stage.connector.members(audience)]
        assert sorted(found) == sorted(["contact 7", *(f"p{number}@example.com" for number in range(1500))])

        def forgetful(request: httpx.Request, _: int) -> httpx.Response | None:
            nobody = reply(data={"errors": [], "result": False})
            return nobody if request.url.path.endswith("/getdata") else None

        with stage.wire.bending(forgetful):
            assert (await stage.connector.members_page(audience)).members[:2] == ["contact 7", "contact 900000"]


async def test_a_page_that_does_not_say_where_the_next_begins_is_not_the_last() -> None:
    async with emarsys() as (stage, _, audience):
        page = reply(data={"value": [], "next": "/contactlist/100/contactIds?offset=1000"})
        with stage.wire.answering(200, page.content), pytest.raises(TransientError, match="more pages"):
            await stage.connector.members_page(audience)


async def test_a_page_may_come_in_an_envelope_too() -> None:
    async with emarsys() as (stage, _, audience):
        page = reply(data={"value": [], "next": None})
        with stage.wire.answering(200, page.content):
            assert (await stage.connector.members_page(audience)).members == []


async def test_how_many_requests_the_api_user_may_make_is_configured() -> None:
    async with emarsys(requests_per_minute=3000) as (stage, _, _audience):
        assert Window(3000, seconds=60.0) in stage.connector.limits().limits


@pytest.mark.parametrize(
    "wrong", [{"key_field": "31"}, {"key_field": "4711"}, {"person": "user_id"}, {"key_field": "03"}]
)
def test_a_configuration_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EmarsysConfig.model_validate({**CONFIG, **wrong})


def test_the_version_that_is_used_unless_another_is_chosen_does_not_lapse() -> None:
    assert EmarsysConfig.model_validate(V3).api_version == Emarsys.versions[0].name
    assert Emarsys.versions[0].until is None
