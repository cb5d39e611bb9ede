"""From a segment to an audience over GraphQL, with the worker at work and a pretend vendor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from hub.services.worker import Worker
from tests.services.opened import TestClock
from tests.services.shop import PATIENCE_S
from tests.web.served import Served

RUN = """id cause status startedAt finishedAt failure { code message }
    counts { members unchanged added updated rejected withheld pending leavers removed removeRejected removePending }
    withheld { reason count } sync { key }
    rejections { totalCount nodes { reason attempts profile { externalId } } }"""
ENDED = {"SUCCEEDED", "PARTIAL", "FAILED", "CANCELLED", "WAITING_APPROVAL"}


@pytest.fixture
def account() -> str:
    return f"account-{uuid4().hex[:8]}"


@pytest.fixture
async def shop(peopled: Served, account: str) -> Served:
    """p1, p2 and p4 have granted; everybody goes to a sandbox that refuses p4."""
    for person in ("p1", "p2", "p4"):
        await peopled.ask(
            """mutation($id: String!) { consentRecord(input: {externalId: $id, purpose: "news", action: GRANT,
            source: "form", effectiveAt: "2026-04-01T00:00:00Z"}) { errors { message } } }""",
            id=person,
        )
    made = await peopled.ask(
        """mutation($config: JSON!) {
          segmentCreate(input: {key: "all", name: "All", rule: "everyone"}) { errors { message } }
          destinationCreate(input: {key: "shop", name: "Shop", connector: "sandbox", config: $config}) {
            destination { key config connector { key title } paused } errors { code message path } }
          syncCreate(input: {key: "all-to-shop", segment: "all", destination: "shop", audience: "vip",
                             purposes: ["news"], fields: {mail: "email"}}) {
            sync { key mode schedule audience fields maxRemovalShare paused delivered lastRun { id }
                   segment { key } destination { key } purposes { key } } errors { code message path } } }""",
        config={"account": account, "reject": ["p4"]},
    )
    assert made["segmentCreate"]["errors"] == made["destinationCreate"]["errors"] == made["syncCreate"]["errors"] == []
    return peopled


@pytest.fixture
async def working(shop: Served) -> AsyncIterator[Served]:
    worker = Worker(shop.hub)
    task = asyncio.create_task(worker.run())
    yield shop
    worker.stop()
    await asyncio.wait_for(task, PATIENCE_S)


async def run(web: Served) -> dict[str, Any]:
    """A run of the sync, from its start to its end."""
    started = await web.ask('mutation { syncRun(key: "all-to-shop") { run { id status } errors { code message } } }')
    assert started["syncRun"]["errors"] == []
    return await ended(web, started["syncRun"]["run"]["id"])


async def ended(web: Served, run_id: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = (await web.ask(f"query($id: ID!) {{ run(id: $id) {{ {RUN} }} }}", id=run_id))["run"]
            if found["status"] in ENDED:
                return found
            await asyncio.sleep(0.05)


async def test_a_sync_is_made_with_its_defaults_and_knows_its_nouns(shop: Served) -> None:
    sync = (
        await shop.ask("""{ sync(key: "all-to-shop") { mode schedule audience fields maxRemovalShare paused delivered
        lastRun { id } segment { key syncs { key } } destination { key syncs { key } } purposes { key }
        runs { totalCount } } }""")
    )["sync"]
    assert sync == {
        "mode": "MIRROR",
        "schedule": "manual",
        "audience": "vip",
        "fields": {"mail": "email"},
        "maxRemovalShare": 0.3,
        "paused": False,
        "delivered": 0,
        "lastRun": None,
        "segment": {"key": "all", "syncs": [{"key": "all-to-shop"}]},
        "destination": {"key": "shop", "syncs": [{"key": "all-to-shop"}]},
        "purposes": [{"key": "news"}],
        "runs": {"totalCount": 0},
    }


async def test_a_preview_shows_the_plan_and_writes_nothing(shop: Served) -> None:
    preview = await shop.ask("""{ syncPreview(sync: "all-to-shop") { add update remove unchanged needsApproval
        withheld { reason count } sampleAdds { externalId } sampleRemoves { externalId } errors { code } } }""")
    assert preview["syncPreview"] == {
        "add": 3,
        "update": 0,
        "remove": 0,
        "unchanged": 0,
        "needsApproval": False,
        "withheld": [{"reason": "NO_CONSENT", "count": 1}],
        "sampleAdds": [{"externalId": "p1"}, {"externalId": "p2"}, {"externalId": "p4"}],
        "sampleRemoves": [],
        "errors": [],
    }
    assert (await shop.ask('{ sync(key: "all-to-shop") { runs { totalCount } } }'))["sync"]["runs"]["totalCount"] == 0


PREVIEW_FOR = """query($who: String!) { syncPreviewFor(sync: "all-to-shop", externalId: $who) {
    profile { externalId } action withheld rejection retryAt removal fields errors { code path } } }"""


async def test_a_plan_is_tried_on_one_person_and_leaves_no_trace(working: Served, clock: TestClock) -> None:
    async def tried(who: str) -> dict[str, Any]:
        found = (await working.ask(PREVIEW_FOR, who=who))["syncPreviewFor"]
        return {name: value for name, value in found.items() if value}

    ann = {"profile": {"externalId": "p1"}, "action": "ADD", "fields": {"mail": "ann@example.com"}}
    assert await tried("p1") == ann
    assert await tried("p3") == {"profile": {"externalId": "p3"}, "action": "WITHHELD", "withheld": "NO_CONSENT"}
    assert await tried("p9") == {"errors": [{"code": "NOT_FOUND", "path": ["externalId"]}]}
    tables = ("plan", "plans", "outcomes", "taken", "delivered", "memberships")
    before = [working.hub.engine.rows(f"SELECT * FROM {table} ORDER BY ALL") for table in tables]
    assert await tried("p1") == ann
    assert [working.hub.engine.rows(f"SELECT * FROM {table} ORDER BY ALL") for table in tables] == before
    await run(working)
    assert await tried("p1") == {"profile": {"externalId": "p1"}, "action": "UNCHANGED"}
    assert await tried("p4") == {
        "profile": {"externalId": "p4"},
        "action": "REJECTED",
        "rejection": "refused by the script",
        "retryAt": (clock.now() + timedelta(hours=1)).isoformat(),
    }
    await working.take_in("profiles", "id,email\np2,rob@example.com\n")
    update = {"action": "UPDATE", "fields": {"mail": "rob@example.com"}}
    assert await tried("p2") == {"profile": {"externalId": "p2"}, **update}
    await working.ask('mutation { segmentUpdate(key: "all", input: {rule: "ltv > 50"}) { errors { message } } }')
    assert await tried("p2") == {"profile": {"externalId": "p2"}, "removal": "LEAVER"}


async def test_a_preview_of_no_sync_answers_with_its_error(shop: Served) -> None:
    [error] = (await shop.ask('{ syncPreview(sync: "al-to-shop") { errors { code suggestion } } }'))["syncPreview"][
        "errors"
    ]
    assert error == {"code": "NOT_FOUND", "suggestion": "all-to-shop"}


async def test_a_run_delivers_whom_it_may_and_accounts_for_everybody(working: Served) -> None:
    found = await run(working)
    counts = found["counts"]
    assert found["status"] == "PARTIAL" and found["cause"] == "MANUAL" and found["finishedAt"]
    assert (counts["members"], counts["added"], counts["rejected"], counts["withheld"]) == (4, 2, 1, 1)
    assert found["withheld"] == [{"reason": "NO_CONSENT", "count": 1}]
    assert found["rejections"]["totalCount"] == 1
    assert found["rejections"]["nodes"][0]["profile"] == {"externalId": "p4"}
    query = """{ sync(key: "all-to-shop") { delivered lastRun { id } runs { totalCount nodes { id } } }
        profiles { nodes { externalId deliveries { state sync { key } run { id } } } } }"""
    after = await working.ask(query)
    assert after["sync"]["delivered"] == 2
    assert after["sync"]["lastRun"] == {"id": found["id"]} == after["sync"]["runs"]["nodes"][0]
    states = {node["externalId"]: [told["state"] for told in node["deliveries"]] for node in after["profiles"]["nodes"]}
    assert states == {"p1": ["PRESENT"], "p2": ["PRESENT"], "p3": [], "p4": ["REJECTED"]}
    assert after["profiles"]["nodes"][0]["deliveries"][0]["run"] == {"id": found["id"]}


async def test_who_is_refused_again_and_again_is_quarantined_and_let_out_by_hand(
    working: Served, clock: TestClock
) -> None:
    for hours in (1, 4, 24, 72, 0):
        assert (await run(working))["counts"]["rejected"] == 1
        clock.pass_by(hours=hours)
    found = await run(working)
    assert (found["counts"]["rejected"], found["status"]) == (0, "SUCCEEDED")
    assert {"reason": "QUARANTINED", "count": 1} in found["withheld"]
    listed = """query($only: Boolean) { sync(key: "all-to-shop") { rejected(quarantined: $only) { totalCount nodes {
        profile { externalId } reason refusals refusedAt quarantined retryAt } } } }"""
    [person] = (await working.ask(listed, only=True))["sync"]["rejected"]["nodes"]
    assert person == {
        "profile": {"externalId": "p4"},
        "reason": "refused by the script",
        "refusals": 5,
        "refusedAt": clock.now().isoformat(),
        "quarantined": True,
        "retryAt": None,
    }
    assert (await working.ask(listed))["sync"]["rejected"]["totalCount"] == 1
    assert (await working.ask(listed, only=False))["sync"]["rejected"] == {"totalCount": 0, "nodes": []}
    released = """mutation($who: String) { quarantineRelease(sync: "all-to-shop", externalId: $who) {
        sync { key } released errors { code path } } }"""
    nobody = {"sync": None, "released": None, "errors": [{"code": "NOT_FOUND", "path": ["externalId"]}]}
    assert (await working.ask(released, who="p1"))["quarantineRelease"] == nobody
    done = {"sync": {"key": "all-to-shop"}, "released": 1, "errors": []}
    assert (await working.ask(released, who="p4"))["quarantineRelease"] == done
    assert (await working.ask(released))["quarantineRelease"] == {**done, "released": 0}
    assert (await run(working))["counts"]["rejected"] == 1


async def test_a_withdrawal_is_carried_out_by_itself(working: Served) -> None:
    await run(working)
    await working.ask(
        """mutation { consentRecord(input: {externalId: "p1", purpose: "news", action: WITHDRAW, source: "link"}) {
        consent { state } errors { message } } }"""
    )
    query = """{ sync(key: "all-to-shop") { delivered lastRun { cause status } }
        profile(externalId: "p1") { deliveries { state sync { key } } } }"""
    async with asyncio.timeout(PATIENCE_S):
        while (after := await working.ask(query))["sync"]["delivered"] != 1:
            await asyncio.sleep(0.05)
    assert after["profile"]["deliveries"] == [{"state": "ABSENT", "sync": {"key": "all-to-shop"}}]


async def test_too_many_removals_wait_until_somebody_approves(working: Served) -> None:
    await run(working)
    await working.ask(
        """mutation { segmentUpdate(key: "all", input: {rule: "country = \\"DE\\""}) { errors { message } } }"""
    )
    waiting = await run(working)
    assert waiting["status"] == "WAITING_APPROVAL"
    approve = "mutation($id: ID!) { runApprove(id: $id) { run { status } errors { code message } } }"
    assert (await working.ask(approve, id=waiting["id"]))["runApprove"]["errors"] == []
    async with asyncio.timeout(PATIENCE_S):
        while (found := await ended(working, waiting["id"]))["status"] == "WAITING_APPROVAL":
            await asyncio.sleep(0.05)
    assert found["counts"]["removed"] == 1
    [error] = (await working.ask(approve, id=waiting["id"]))["runApprove"]["errors"]
    assert error["code"] == "CONFLICT"


async def test_what_is_in_use_cannot_be_deleted(shop: Served) -> None:
    answer = await shop.ask("""mutation {
        segmentDelete(key: "all") { segment { key } errors { code message path } }
        destinationDelete(key: "shop") { destination { key } errors { code message path } } }""")
    for payload in answer.values():
        [error] = payload["errors"]
        assert error["code"] == "CONFLICT" and "all-to-shop" in error["message"] and error["path"] == ["key"]


async def test_a_queued_run_can_be_cancelled_and_a_second_start_is_the_same_follow_up(shop: Served) -> None:
    start = 'mutation { syncRun(key: "all-to-shop") { run { id status } errors { code } } }'
    first, second = [(await shop.ask(start))["syncRun"]["run"] for _ in range(2)]
    assert first == second and first["status"] == "QUEUED"
    cancel = "mutation($id: ID!) { runCancel(id: $id) { run { status } errors { code path } } }"
    assert (await shop.ask(cancel, id=first["id"]))["runCancel"]["run"] == {"status": "CANCELLED"}
    [error] = (await shop.ask(cancel, id="nonsense"))["runCancel"]["errors"]
    assert error == {"code": "NOT_FOUND", "path": ["id"]}


UNFIT = [
    ({"destination": "shp"}, "NOT_FOUND", ["input", "destination"]),
    ({"segment": "nobody"}, "NOT_FOUND", ["input", "segment"]),
    ({"purposes": ["none"]}, "NOT_FOUND", ["input", "purposes"]),
    ({"purposes": []}, "INVALID", ["input", "purposes"]),
    ({"schedule": "sometimes"}, "INVALID", ["input", "schedule"]),
    ({"auditSchedule": "sometimes"}, "INVALID", ["input", "auditSchedule"]),
    ({"fields": {"mail": "emial"}}, None, ["input", "fields"]),
    ({"fields": ["email"]}, "INVALID", ["input", "fields"]),
    ({"maxRemovalShare": 7}, "INVALID", ["input", "maxRemovalShare"]),
    ({"rolloutShare": 0}, "INVALID", ["input", "rolloutShare"]),
    ({"rolloutShare": 1.01}, "INVALID", ["input", "rolloutShare"]),
    ({"key": "all-to-shop"}, "CONFLICT", ["input", "key"]),
    ({}, "CONFLICT", ["input", "audience"]),
]


async def test_a_sync_that_cannot_be_says_where(shop: Served) -> None:
    whole = {"key": "b", "segment": "all", "destination": "shop", "audience": "vip", "purposes": ["news"]}
    query = "mutation($input: SyncCreateInput!) { syncCreate(input: $input) { sync { key } errors { code path } } }"
    for changes, code, path in UNFIT:
        payload = (await shop.ask(query, input={**whole, **changes}))["syncCreate"]
        assert payload["sync"] is None
        assert payload["errors"][0]["path"][: len(path)] == path
        assert code is None or payload["errors"][0]["code"] == code


async def test_audits_are_scheduled_and_left_to_the_admin_again(shop: Served) -> None:
    query = """mutation($input: SyncUpdateInput!) { syncUpdate(key: "all-to-shop", input: $input) {
        sync { auditSchedule } errors { code path message } } }"""
    for given in ("30 4 * * 0", None):
        changed = (await shop.ask(query, input={"auditSchedule": given}))["syncUpdate"]
        assert changed == {"sync": {"auditSchedule": given}, "errors": []}


async def test_a_sync_is_changed_and_rested(shop: Served) -> None:
    query = """mutation($input: SyncUpdateInput!) { syncUpdate(key: "all-to-shop", input: $input) {
        sync { mode schedule fields maxRemovalShare rolloutShare version } errors { code path message } } }"""
    sync = (await shop.ask(query, input={"mode": "ADD_ONLY", "schedule": "0 3 * * *"}))["syncUpdate"]["sync"]
    assert (sync["mode"], sync["schedule"], sync["fields"]) == ("ADD_ONLY", "0 3 * * *", {"mail": "email"})
    cleared = {"mode": None, "schedule": None, "fields": None, "maxRemovalShare": None}
    sync = (await shop.ask(query, input=cleared))["syncUpdate"]["sync"]
    assert (sync["mode"], sync["schedule"], sync["fields"], sync["maxRemovalShare"]) == ("MIRROR", "manual", {}, 0.3)
    sync = (await shop.ask(query, input={"rolloutShare": 0.25}))["syncUpdate"]["sync"]
    assert sync["rolloutShare"] == 0.25
    sync = (await shop.ask(query, input={"rolloutShare": None}))["syncUpdate"]["sync"]
    assert sync["rolloutShare"] == 1
    payload = (await shop.ask(query, input={"mode": "MIRROR", "ifVersion": 1}))["syncUpdate"]
    assert payload["errors"][0]["code"] == "CONFLICT"
    for name, paused in (("syncPause", True), ("syncResume", False)):
        answer = await shop.ask(f'mutation {{ {name}(key: "all-to-shop") {{ sync {{ paused }} errors {{ code }} }} }}')
        assert answer[name] == {"sync": {"paused": paused}, "errors": []}
    deleted = await shop.ask('mutation { syncDelete(key: "all-to-shop") { sync { key } errors { code message } } }')
    assert deleted["syncDelete"] == {"sync": {"key": "all-to-shop"}, "errors": []}


async def test_a_destination_is_checked_changed_and_rested(shop: Served, account: str) -> None:
    answer = await shop.ask(
        'mutation { destinationCheck(key: "shop") { destination { key } errors { code message } } }'
    )
    assert answer["destinationCheck"] == {"destination": {"key": "shop"}, "errors": []}
    query = """mutation($input: DestinationUpdateInput!) { destinationUpdate(key: "shop", input: $input) {
        destination { name config version } errors { code path } } }"""
    changed = (await shop.ask(query, input={"config": {"reject": []}}))["destinationUpdate"]["destination"]
    assert changed["config"]["account"] == account and changed["config"]["reject"] == [] and changed["name"] == "Shop"
    [error, *_] = (await shop.ask(query, input={"config": {"rejet": []}}))["destinationUpdate"]["errors"]
    assert (error["code"], error["path"][:2]) == ("INVALID", ["input", "config"])
    for name, paused in (("destinationPause", True), ("destinationResume", False)):
        answer = await shop.ask(f'mutation {{ {name}(key: "shop") {{ destination {{ paused }} errors {{ code }} }} }}')
        assert answer[name] == {"destination": {"paused": paused}, "errors": []}


async def test_an_unknown_connector_is_not_found_with_the_one_that_was_meant(shop: Served) -> None:
    query = """mutation { destinationCreate(input: {key: "d", name: "D", connector: "sandbx", config: {}}) {
        destination { key } errors { code path suggestion } } }"""
    [error] = (await shop.ask(query))["destinationCreate"]["errors"]
    assert error == {"code": "NOT_FOUND", "path": ["input", "connector"], "suggestion": "sandbox"}


async def test_a_disabled_connector_is_shown_with_its_reason_beside_the_others(shop: Served) -> None:
    shop.hub.registry = replace(shop.hub.registry, disabled={"wild": "ImportError: no", "acme": "not installed"})
    found = await shop.ask("{ disabledConnectors { key reason } connectors { key } }")
    assert found["disabledConnectors"] == [
        {"key": "acme", "reason": "not installed"},
        {"key": "wild", "reason": "ImportError: no"},
    ]
    assert found["connectors"] == [{"key": "sandbox"}]


async def test_connectors_say_what_they_need_and_can(shop: Served) -> None:
    [sandbox] = (await shop.ask("{ connectors { key title channel configSchema capabilities } }"))["connectors"]
    assert (sandbox["key"], sandbox["channel"]) == ("sandbox", "GENERIC")
    assert "account" in sandbox["configSchema"]["properties"] and sandbox["capabilities"]["remove"] is True
