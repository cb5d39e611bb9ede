from __future__ import annotations

from dataclasses import replace

import pytest

from hub.api.ids import global_id
from tests.services.opened import TestClock
from tests.web.served import Served

GRANT = """
mutation($input: ConsentRecordInput!) {
  consentRecord(input: $input) {
    consent { purpose state source recordedAt expiresAt history { action source evidence effectiveAt } }
    errors { code message path }
  }
}"""
CONSENTS = """query($id: String!) { profile(externalId: $id) { consents {
    purpose state source recordedAt expiresAt history { action source evidence } } } }"""


def granted(**more: object) -> dict:
    return {"purpose": "news", "action": "GRANT", "source": "form", "effectiveAt": "2026-04-01T00:00:00Z", **more}


async def test_a_profile_shows_what_is_known_and_nothing_else(peopled: Served) -> None:
    people = (await peopled.ask("{ profiles { totalCount nodes { externalId traits } } }"))["profiles"]
    assert people["totalCount"] == 4
    traits = {node["externalId"]: node["traits"] for node in people["nodes"]}
    assert traits["p1"] == {
        "country": "DE",
        "email": "ann@example.com",
        "ltv": 120,
        "plan": "pro",
        "signed_up_at": "2025-11-01T00:00:00Z",
    }
    assert traits["p2"]["ltv"] == 5.5
    assert traits["p4"] == {"country": "CH", "ltv": 80, "plan": "free"}


async def test_an_erasure_says_that_it_waits_for_a_connector_that_cannot_be_used(peopled: Served) -> None:
    hub = peopled.hub
    await hub.store.destinations.create(key="old", name="Old", connector="acme", config={}, secrets={})
    hub.registry = replace(hub.registry, disabled={"acme": "ImportError: no"})
    asked = """mutation { profileErase(externalId: "p1") {
        erasure { finishedAt places { doneAt waitsFor destination { key } } } errors { message } } }"""
    assert (await peopled.ask(asked))["profileErase"] == {
        "erasure": {
            "finishedAt": None,
            "places": [
                {
                    "doneAt": None,
                    "waitsFor": "The connector cannot be used (connector acme is disabled: ImportError: no), and may "
                    "be one that erases: mend it, or delete the destination.",
                    "destination": {"key": "old"},
                }
            ],
        },
        "errors": [],
    }


async def test_people_are_found_by_an_identifier_in_any_spelling(peopled: Served) -> None:
    query = 'query($v: String!) { profilesByIdentifier(kind: "email", value: $v) { externalId } }'
    assert await peopled.ask(query, v=" BOB@Example.com ") == {"profilesByIdentifier": [{"externalId": "p2"}]}
    assert await peopled.ask(query, v="nobody@example.com") == {"profilesByIdentifier": []}


async def test_what_is_no_identifier_is_nobodys(peopled: Served) -> None:
    query = """query($v: String!) { profilesByIdentifier(kind: "email", value: $v) { externalId }
        purposes { key } }"""
    for unusable in ("bob at example", "", " ", "b@", "x" * 5_000, "bob@example.com\n\x7f"):
        assert await peopled.ask(query, v=unusable) == {"profilesByIdentifier": [], "purposes": [{"key": "news"}]}


async def test_an_unknown_kind_of_identifier_is_refused_with_the_kinds_there_are(peopled: Served) -> None:
    error = await peopled.refused('{ profilesByIdentifier(kind: "emial", value: "a@example.com") { externalId } }')
    more = error["extensions"]
    assert (more["code"], more["path"], more["suggestion"]) == ("INVALID", ["kind"], "email")
    assert "push_token" in error["message"]


async def test_what_is_not_there_is_null(peopled: Served) -> None:
    query = """query($id: ID!) { profile(externalId: "p9") { id } segment(key: "s") { id } destination(key: "d") { id }
        sync(key: "y") { id } run(id: $id) { id } node(id: $id) { id } }"""
    for missing in (global_id("Run", 77), "nonsense", global_id("Nothing", 1)):
        assert set((await peopled.ask(query, id=missing)).values()) == {None}


async def test_what_can_be_nobodys_key_is_not_there(web: Served) -> None:
    key = "k" * 5000
    assert await web.ask("query($k: String!) { segment(key: $k) { id } sync(key: $k) { id } }", k=key) == {
        "segment": None,
        "sync": None,
    }
    asked = 'mutation($k: String!) { segmentUpdate(key: $k, input: {name: "x"}) { errors { code path } } }'
    assert (await web.ask(asked, k=key))["segmentUpdate"]["errors"] == [{"code": "NOT_FOUND", "path": ["key"]}]


async def test_every_stored_thing_is_found_again_by_its_id(peopled: Served) -> None:
    ids = await peopled.ask('{ profile(externalId: "p1") { id } purposes { id } }')
    query = "query($id: ID!) { node(id: $id) { id __typename ... on Profile { externalId } ... on Purpose { key } } }"
    person = (await peopled.ask(query, id=ids["profile"]["id"]))["node"]
    purpose = (await peopled.ask(query, id=ids["purposes"][0]["id"]))["node"]
    assert person == {"id": ids["profile"]["id"], "__typename": "Profile", "externalId": "p1"}
    assert (purpose["__typename"], purpose["key"]) == ("Purpose", "news")


async def test_traits_and_events_say_how_often_they_are_known(peopled: Served) -> None:
    found = await peopled.ask(
        "{ traits { name type known } eventTypes { name count firstSeen lastSeen properties { name type known } } }"
    )
    assert {"name": "ltv", "type": "number", "known": 3} in found["traits"]
    [purchase] = found["eventTypes"]
    assert (purchase["name"], purchase["count"]) == ("purchase", 3)
    assert purchase["firstSeen"].startswith("2026-01-25T10:00:00")
    assert purchase["properties"] == [{"name": "value", "type": "number", "known": 3}]


async def test_nothing_on_record_is_shown_as_unknown(peopled: Served) -> None:
    [consent] = (await peopled.ask(CONSENTS, id="p1"))["profile"]["consents"]
    assert consent == {
        "purpose": "news",
        "state": "UNKNOWN",
        "source": None,
        "recordedAt": None,
        "expiresAt": None,
        "history": [],
    }


async def test_a_grant_is_shown_with_its_history_and_evidence(peopled: Served) -> None:
    payload = (await peopled.ask(GRANT, input=granted(externalId="p1", evidence={"ip": "192.0.2.1"})))["consentRecord"]
    assert payload["errors"] == [] and payload["consent"]["state"] == "GRANTED"
    [consent] = (await peopled.ask(CONSENTS, id="p1"))["profile"]["consents"]
    assert (consent["state"], consent["source"]) == ("GRANTED", "form")
    assert consent["history"] == [{"action": "GRANT", "source": "form", "evidence": {"ip": "192.0.2.1"}}]


async def test_a_withdrawal_by_address_counts_for_whoever_has_it(peopled: Served) -> None:
    await peopled.ask(GRANT, input=granted(externalId="p2"))
    withdrawn = {"identifierKind": "email", "identifier": "Bob@example.com", "purpose": "news"}
    payload = await peopled.ask(GRANT, input={**withdrawn, "action": "WITHDRAW", "source": "link"})
    assert payload["consentRecord"]["consent"]["state"] == "WITHDRAWN"
    [consent] = (await peopled.ask(CONSENTS, id="p2"))["profile"]["consents"]
    assert (consent["state"], [entry["action"] for entry in consent["history"]]) == ("WITHDRAWN", ["WITHDRAW", "GRANT"])


async def test_a_grant_expires_by_the_clock_alone(peopled: Served, clock: TestClock) -> None:
    await peopled.ask(GRANT, input=granted(externalId="p1", expiresAt="2026-05-02T00:00:00Z"))
    clock.pass_by(days=1)
    [consent] = (await peopled.ask(CONSENTS, id="p1"))["profile"]["consents"]
    assert consent["state"] == "EXPIRED"


async def test_a_grant_without_its_instant_is_refused_at_that_field(peopled: Served) -> None:
    bare = {"externalId": "p1", "purpose": "news", "action": "GRANT", "source": "form"}
    [error] = (await peopled.ask(GRANT, input=bare))["consentRecord"]["errors"]
    assert (error["code"], error["path"]) == ("CONSENT_INVALID", ["input", "effectiveAt"])


MALFORMED = ["yesterday", "", "2026-13-01T00:00:00Z", "2026-04-01T00:00:00", "9999-12-31T23:59:59-12:00", 7, {"on": 1}]


@pytest.mark.parametrize("action", ["DENY", "WITHDRAW"])
async def test_whoever_says_no_is_heard_whatever_the_date_looks_like(peopled: Served, action: str) -> None:
    for place, when in enumerate(MALFORMED):
        await peopled.ask(GRANT, input=granted(externalId=f"n{place}"))
        said = {"action": action, "effectiveAt": when, "expiresAt": when}
        payload = (await peopled.ask(GRANT, input=granted(externalId=f"n{place}", **said)))["consentRecord"]
        assert payload["errors"] == [] and payload["consent"]["state"] in {"DENIED", "WITHDRAWN"}, when
        assert payload["consent"]["history"][0]["effectiveAt"] == "2026-05-01T12:00:00+00:00"


async def test_a_withdrawal_written_out_in_the_query_is_heard_too(peopled: Served) -> None:
    query = """mutation { consentRecord(input: {externalId: "p1", purpose: "news", action: WITHDRAW, source: "call",
        effectiveAt: "soon", expiresAt: 5}) { consent { state } errors { code } } }"""
    assert (await peopled.ask(query))["consentRecord"] == {"consent": {"state": "WITHDRAWN"}, "errors": []}


async def test_a_grant_with_a_date_that_is_none_is_refused_at_that_field(peopled: Served) -> None:
    for field in ("effectiveAt", "expiresAt"):
        for when in ("yesterday", "2026-06-01T00:00:00", "", 5, False):
            payload = (await peopled.ask(GRANT, input=granted(externalId="p1", **{field: when})))["consentRecord"]
            [error] = payload["errors"]
            assert (payload["consent"], error["code"], error["path"]) == (None, "CONSENT_INVALID", ["input", field])


async def test_a_clock_that_is_none_is_refused_where_it_stands(peopled: Served) -> None:
    mutation = """mutation($at: DateTime) {
        segmentEvaluate(key: "all", asOf: $at) { errors { code path } }
        syncRun(key: "none", asOf: $at) { errors { code path } } }"""
    query = 'query($at: DateTime) { rulePreview(rule: "everyone", asOf: $at) { errors { code path } } }'
    for as_of in ("yesterday", "0001-01-01T00:00:00+12:00", 5):
        answer = await peopled.ask(mutation, at=as_of) | await peopled.ask(query, at=as_of)
        assert all(payload == {"errors": [{"code": "INVALID", "path": ["asOf"]}]} for payload in answer.values())


async def test_a_write_keys_secret_is_shown_once(peopled: Served) -> None:
    made = await peopled.ask(
        'mutation { writeKeyCreate(name: "shop") { writeKey { id name } secret errors { code } } }'
    )
    secret, key = made["writeKeyCreate"]["secret"], made["writeKeyCreate"]["writeKey"]
    listed = await peopled.answer("{ writeKeys { id name lastUsedAt createdAt } }")
    assert listed["data"]["writeKeys"][0]["id"] == key["id"] and secret not in str(listed)
    revoke = "mutation($id: ID!) { writeKeyRevoke(id: $id) { writeKey { name } errors { code path } } }"
    assert (await peopled.ask(revoke, id=key["id"]))["writeKeyRevoke"]["writeKey"] == {"name": "shop"}
    assert (await peopled.ask("{ writeKeys { id } }"))["writeKeys"] == []
    [error] = (await peopled.ask(revoke, id=key["id"]))["writeKeyRevoke"]["errors"]
    assert error == {"code": "NOT_FOUND", "path": ["id"]}
    [error] = (await peopled.ask(revoke.replace("path", "message"), id="x"))["writeKeyRevoke"]["errors"]
    assert error["message"] == "No write key has this id."


async def test_several_requests_of_one_breath_are_one_question_to_each_store(peopled: Served, monkeypatch) -> None:
    asked = []
    find = type(peopled.hub.store.ledger).for_subjects

    async def counted(self, *arguments: object, **more: object) -> object:
        asked.append(arguments)
        return await find(self, *arguments, **more)

    monkeypatch.setattr(type(peopled.hub.store.ledger), "for_subjects", counted)
    await peopled.ask("{ profiles { nodes { consents { state } segments { key } } } }")
    assert len(asked) == 1
