"""Alerts over GraphQL: thresholds of a sync, its health, and the channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from hub.errors import ErrorCode, Problem
from hub.sdk.egress import EgressPolicy
from hub.services import health
from tests.services.opened import TestClock
from tests.services.receivers import SECRET, Receiver, webhook_listening
from tests.web.served import Served

CHANNEL = "id key name kind url to version waiting lastToldAt lastFailure { code message path }"
ERRORS = "errors { code path suggestion }"
ALERTS = "failedRuns rejectedShare pendingShare withheldShare destinationPaused approvalMinutes overdueMinutes"
DEFAULTS = {
    "failedRuns": 1,
    "rejectedShare": 0.1,
    "pendingShare": 0.1,
    "withheldShare": None,
    "destinationPaused": True,
    "approvalMinutes": 0,
    "overdueMinutes": 60,
}
HEALTH = "health { state since causes { kind since message toDo } lastNotice { id kind at text } }"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_listening() as found:
        yield found


@pytest.fixture
async def shop(peopled: Served) -> Served:
    made = await peopled.ask(
        """mutation($config: JSON!) {
          segmentCreate(input: {key: "all", name: "All", rule: "everyone"}) { errors { message } }
          destinationCreate(input: {key: "shop", name: "Shop", connector: "sandbox", config: $config}) {
            errors { message } }
          syncCreate(input: {key: "all-to-shop", segment: "all", destination: "shop", audience: "vip",
                             purposes: ["news"], alerts: {failedRuns: 3, overdueMinutes: null}}) {
            errors { code message path } } }""",
        config={"account": uuid4().hex},
    )
    assert made["syncCreate"]["errors"] == []
    return peopled


async def changed(web: Served, alerts: Any) -> dict[str, Any]:
    query = f"""mutation($input: SyncUpdateInput!) {{ syncUpdate(key: "all-to-shop", input: $input) {{
        sync {{ alerts {{ {ALERTS} }} }} {ERRORS} }} }}"""
    return (await web.ask(query, input={"alerts": alerts}))["syncUpdate"]


async def test_thresholds_are_a_syncs_own_and_null_looks_away(shop: Served) -> None:
    found = (await shop.ask(f'{{ sync(key: "all-to-shop") {{ alerts {{ {ALERTS} }} }} }}'))["sync"]["alerts"]
    own = {**DEFAULTS, "failedRuns": 3, "overdueMinutes": None}
    assert found == own
    stricter = await changed(shop, {"rejectedShare": 0, "destinationPaused": None})
    assert stricter["sync"]["alerts"] == {**own, "rejectedShare": 0, "destinationPaused": False}
    assert (await changed(shop, None))["sync"]["alerts"] == DEFAULTS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("failedRuns", 0),
        ("failedRuns", 21),
        ("rejectedShare", 1),
        ("pendingShare", -0.1),
        ("approvalMinutes", -1),
        ("overdueMinutes", 10**9),
    ],
)
async def test_a_threshold_that_nothing_could_cross_says_where(shop: Served, name: str, value: float) -> None:
    answer = await changed(shop, {name: value})
    assert answer["sync"] is None
    assert [(error["code"], error["path"]) for error in answer["errors"]] == [("INVALID", ["input", "alerts", name])]


async def test_the_health_of_a_sync_shows_what_is_bad_and_what_was_told(shop: Served, clock: TestClock) -> None:
    query = f'{{ sync(key: "all-to-shop") {{ {HEALTH} }} }}'
    assert (await shop.ask(query))["sync"]["health"] is None
    sync = await shop.hub.store.syncs.need("all-to-shop")
    await health.look(shop.hub, sync)
    well = {"state": "WELL", "since": clock.now().isoformat(), "causes": [], "lastNotice": None}
    assert (await shop.ask(query))["sync"]["health"] == well
    clock.pass_by(minutes=5)
    refused = Problem(ErrorCode.DESTINATION_AUTH, "The vendor does not let us in.")
    await shop.hub.store.destinations.pause(sync.destination_id, refused)
    await health.look(shop.hub, sync)
    found = (await shop.ask(query))["sync"]["health"]
    assert (found["state"], found["since"]) == ("BAD", clock.now().isoformat())
    [cause] = found["causes"]
    said = "The hub has paused the destination: the destination does not accept our credentials."
    assert (cause["kind"], cause["message"]) == ("DESTINATION_PAUSED", said) and "resume it" in cause["toDo"]
    assert found["lastNotice"]["kind"] == "TURNED_BAD" and "“all-to-shop”" in found["lastNotice"]["text"]


async def test_a_channel_is_made_tried_changed_found_and_deleted(shop: Served, receiver: Receiver) -> None:
    shop.hub.egress = EgressPolicy(frozenset({f"127.0.0.1:{receiver.port}"}))
    create = f"""mutation($input: AlertChannelCreateInput!) {{ alertChannelCreate(input: $input) {{
        alertChannel {{ {CHANNEL} }} {ERRORS} }} }}"""
    given = {"key": "ops", "name": "Ops", "webhook": {"url": receiver.url, "secret": SECRET}}
    answer = (await shop.ask(create, input=given))["alertChannelCreate"]
    made = answer["alertChannel"]
    rest = {"version": 1, "waiting": 0, "lastToldAt": None, "lastFailure": None, "id": made["id"], "to": None}
    assert made == {"key": "ops", "name": "Ops", "kind": "WEBHOOK", "url": receiver.url, **rest}
    assert SECRET not in str(await shop.ask(f"{{ alertChannels {{ {CHANNEL} }} }}"))
    by_id = f"query($id: ID!) {{ node(id: $id) {{ id ... on AlertChannel {{ {CHANNEL} }} }} }}"
    assert (await shop.ask(by_id, id=made["id"]))["node"] == made

    test = f'mutation {{ alertChannelTest(key: "ops") {{ alertChannel {{ lastToldAt }} {ERRORS} }} }}'
    assert (await shop.ask(test))["alertChannelTest"]["alertChannel"]["lastToldAt"]
    receiver.answers.append(500)
    assert (await shop.ask(test))["alertChannelTest"]["errors"] == [
        {"code": "DESTINATION_UNREACHABLE", "path": ["key"], "suggestion": None}
    ]
    update = f"""mutation($input: AlertChannelUpdateInput!) {{ alertChannelUpdate(key: "ops", input: $input) {{
        alertChannel {{ {CHANNEL} }} {ERRORS} }} }}"""
    renamed = (await shop.ask(update, input={"name": "On call", "ifVersion": 1}))["alertChannelUpdate"]["alertChannel"]
    assert (renamed["name"], renamed["version"], renamed["url"]) == ("On call", 2, receiver.url)
    assert renamed["lastFailure"]["code"] == "DESTINATION_UNREACHABLE"
    delete = f'mutation {{ alertChannelDelete(key: "ops") {{ alertChannel {{ key }} {ERRORS} }} }}'
    assert (await shop.ask(delete))["alertChannelDelete"] == {"alertChannel": {"key": "ops"}, "errors": []}
    assert (await shop.ask('{ alertChannel(key: "ops") { key } }'))["alertChannel"] is None


async def test_what_waits_for_a_channel_is_counted(shop: Served, receiver: Receiver) -> None:
    shop.hub.egress = EgressPolicy(frozenset({f"127.0.0.1:{receiver.port}"}))
    await shop.ask(
        """mutation($url: String!, $secret: String!) { alertChannelCreate(input: {key: "ops", name: "Ops",
        webhook: {url: $url, secret: $secret}}) { errors { message } } }""",
        url=receiver.url,
        secret=SECRET,
    )
    sync = await shop.hub.store.syncs.need("all-to-shop")
    await shop.hub.store.destinations.pause(sync.destination_id, Problem(ErrorCode.POLICY, "Restored."))
    await health.look(shop.hub, sync)
    assert (await shop.ask("{ alertChannels { key waiting } }"))["alertChannels"] == [{"key": "ops", "waiting": 1}]


async def test_a_channel_that_cannot_be_says_where(shop: Served) -> None:
    create = f"""mutation($input: AlertChannelCreateInput!) {{ alertChannelCreate(input: $input) {{
        alertChannel {{ key }} {ERRORS} }} }}"""
    for given, code, path in (
        ({}, "INVALID", ["input", "webhook"]),
        ({"webhook": {"url": "https://93.184.216.34/x"}}, "INVALID", ["input", "webhook", "secret"]),
        ({"webhook": {"url": "http://localhost", "secret": SECRET}}, "EGRESS_DENIED", ["input", "webhook", "url"]),
        ({"email": {"to": ["ops@example.com"]}}, "UNSUPPORTED", ["input", "email"]),
        ({"email": {"to": ["ops"]}}, "INVALID", ["input", "email", "to", "0"]),
    ):
        answer = (await shop.ask(create, input={"key": "ops", "name": "Ops", **given}))["alertChannelCreate"]
        assert answer["alertChannel"] is None
        assert [(error["code"], error["path"]) for error in answer["errors"]] == [(code, path)]
    cleared = """mutation { alertChannelUpdate(key: "ops", input: {webhook: null}) { errors { code path } } }"""
    assert (await shop.ask(cleared))["alertChannelUpdate"]["errors"][0]["path"] == ["input", "webhook"]
