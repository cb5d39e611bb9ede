"""Hubs that older programs have made, migrated by today's: everything in them still means the same."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox import PretendAccount
from hub.api.context import Context
from hub.api.schema import schema as api
from hub.core.consent_form import ConsentInput
from hub.core.records import ConsentAction, Run
from hub.services import consent, destinations, intake, runs
from hub.services.hub import Hub
from hub.store import pending
from hub.warehouse import schema
from tests.acceptance.sink import SECRET, Sink
from tests.services.opened import TestClock
from tests.services.shop import PATIENCE_S, until, working
from tests.upgrades.conftest import Older, on_sqlite
from tests.upgrades.story import (
    BUYERS,
    CRM,
    DAN,
    EVE,
    FIELDS,
    INTERRUPTED,
    LATE,
    PEOPLE,
    PURCHASES,
    READERS,
    REX,
    SEGMENTS,
    SHOP,
    SLOW,
    UNA,
    UNANSWERED,
    WAITING,
    WIM,
)

pytestmark = on_sqlite
# Of the readers' segment, but for those who said no or nothing.
MAY_GO = {*READERS, REX}
NUMBERS = "members unchanged added updated rejected withheld pending leavers removed".split()


async def ask(hub: Hub, query: str, **variables: Any) -> Any:
    answer = await api.execute(query, variables, context_value=Context(hub))
    assert answer.errors is None, answer.errors
    return answer.data


async def profile(hub: Hub, external_id: str, chosen: str) -> Any:
    found = await ask(hub, f"query($id: String!) {{ profile(externalId: $id) {{ {chosen} }} }}", id=external_id)
    return found["profile"]


async def ended(hub: Hub, run: Run) -> Run:
    async with asyncio.timeout(PATIENCE_S):
        async for seen in runs.progress(hub, run.id):
            run = seen
    return run


async def newest_run(hub: Hub, sync: str) -> Run:
    found = await hub.store.syncs.need(sync)
    return (await hub.store.runs.of_sync(found.id, 1))[0]


def sent(hub: Hub, journal: str) -> Counter[str]:
    """How often each person was, by the pretend vendor's own journal; what a job carries out later is no sending."""
    calls = map(json.loads, (hub.settings.data / "files" / journal).read_text().splitlines())
    return Counter(key for call in calls if not (call.get("job") and call["applied"]) for key in call["add"])


async def test_both_stores_are_at_the_newest_version(hub: Hub) -> None:
    assert await pending(hub.settings.database) == []
    assert schema.version(hub.engine) == schema.NEWEST


# What they hold.


async def test_people_have_their_traits_and_segments(hub: Hub) -> None:
    assert await profile(hub, "r01", "traits segments { key }") == {
        "traits": {"plan": "pro", "email": "r01@example.com"},
        "segments": [{"key": "readers"}, {"key": "buyers"}],
    }
    assert await profile(hub, EVE, "traits") == {"traits": {"plan": "pro", "email": "eve.new@example.com"}}
    found = (await ask(hub, "{ segments { nodes { key rule evaluation { size } } } }"))["segments"]["nodes"]
    assert {one["key"]: one["rule"] for one in found} == SEGMENTS
    assert [one["evaluation"]["size"] for one in found] == [len(PEOPLE) - 1, len(BUYERS), 1]


async def test_every_decision_stands_also_one_under_an_address_that_was_given_up_since(hub: Hub) -> None:
    people = {one: await profile(hub, one, "consents { purpose state }") for one in ("r01", "r02", DAN, EVE, WIM, UNA)}
    states = {name: {one["purpose"]: one["state"] for one in found["consents"]} for name, found in people.items()}
    assert states == {
        "r01": {"mail": "GRANTED", "ads": "GRANTED"},
        "r02": {"mail": "GRANTED", "ads": "EXPIRED"},
        DAN: {"mail": "DENIED", "ads": "UNKNOWN"},
        EVE: {"mail": "DENIED", "ads": "UNKNOWN"},
        WIM: {"mail": "WITHDRAWN", "ads": "UNKNOWN"},
        UNA: {"mail": "UNKNOWN", "ads": "UNKNOWN"},
    }


async def test_the_ledger_of_decisions_is_whole(hub: Hub) -> None:
    [mail, _] = (await profile(hub, WIM, "consents { history { action source effectiveAt } }"))["consents"]
    assert [(one["action"], one["source"]) for one in mail["history"]] == [("WITHDRAW", "form"), ("GRANT", "form")]
    assert mail["history"][1]["effectiveAt"].startswith("2024-01-01T00:00:00")


async def test_syncs_go_where_they_went_and_know_whom_they_have_reached(hub: Hub, older: Older) -> None:
    chosen = "key segment { key } destination { key } purposes { key } schedule mode fields paused"
    found = (await ask(hub, f"{{ syncs {{ nodes {{ {chosen} }} }} }}"))["syncs"]["nodes"]
    usual = {"purposes": [{"key": "mail"}], "schedule": "manual", "mode": "MIRROR", "paused": False}
    goes = {one["key"]: (one["segment"]["key"], one["destination"]["key"], one["fields"]) for one in found}
    assert [{**one, **usual} for one in found] == found
    assert goes == {
        SHOP: ("readers", "shop", FIELDS),
        UNANSWERED: ("late", "shop", FIELDS),
        INTERRUPTED: ("readers", "crm", FIELDS),
        **({WAITING: ("buyers", "slow", {})} if older.has_jobs else {}),
    }


async def test_a_run_that_had_ended_has_its_counts_and_everybody_has_their_state(hub: Hub) -> None:
    chosen = f"delivered runs {{ nodes {{ cause status counts {{ {' '.join(NUMBERS)} }} }} }}"
    found = (await ask(hub, f'{{ sync(key: "{SHOP}") {{ {chosen} }} }}'))["sync"]
    nothing = dict.fromkeys(NUMBERS, 0)
    assert found["delivered"] == len(READERS)
    assert found["runs"]["nodes"] == [
        {"cause": "WITHDRAWAL", "status": "SUCCEEDED", "counts": {**nothing, "leavers": 1, "removed": 1}},
        {
            "cause": "MANUAL",
            "status": "PARTIAL",
            "counts": {**nothing, "members": 29, "added": 25, "rejected": 1, "withheld": 3},
        },
    ]
    deliveries = {one: await profile(hub, one, "deliveries { state sync { key } }") for one in (REX, WIM, LATE)}
    assert [one["state"] for one in deliveries[REX]["deliveries"] if one["sync"]["key"] == SHOP] == ["REJECTED"]
    assert [one["state"] for one in deliveries[LATE]["deliveries"]] == ["POSSIBLY_PRESENT"]
    assert not [one for one in deliveries[WIM]["deliveries"] if one["state"] != "ABSENT"]


async def test_whoever_was_refused_is_listed_with_the_reason_and_rests_for_an_hour(hub: Hub, clock: TestClock) -> None:
    chosen = "nodes { reason refusals quarantined retryAt profile { externalId } }"
    [rex] = (await ask(hub, f'{{ sync(key: "{SHOP}") {{ rejected {{ {chosen} }} }} }}'))["sync"]["rejected"]["nodes"]
    retry_at = datetime.fromisoformat(rex.pop("retryAt"))
    assert timedelta() < retry_at - clock.now() < timedelta(hours=1)
    assert rex == {
        "reason": "not to our taste",
        "refusals": 1,
        "quarantined": False,
        "profile": {"externalId": REX},
    }


async def test_the_sealed_part_of_a_destination_opens_and_is_shown_to_nobody(hub: Hub) -> None:
    shop = await hub.store.destinations.need("shop")
    assert await hub.store.destinations.secrets(shop.id) == {"secret": SECRET}
    shown = (await ask(hub, '{ destination(key: "shop") { config connector { key } } }'))["destination"]
    assert (shown["connector"]["key"], [*shown["config"]]) == ("webhook", ["url"])


# What becomes of it.


async def test_a_run_that_was_interrupted_is_taken_up_and_only_those_in_doubt_are_sent_again(
    hub: Hub, older: Older
) -> None:
    before = sent(hub, CRM["state_file"])
    newest = await newest_run(hub, INTERRUPTED)
    assert older.logged < before.keys() < MAY_GO
    async with working(hub):
        run = await ended(hub, newest)
    after = sent(hub, CRM["state_file"])
    assert (run.status, run.counts.added, run.counts.balanced) == ("SUCCEEDED", len(MAY_GO), True)
    assert after.keys() == MAY_GO
    assert {one for one, times in after.items() if times > 1} == before.keys() - older.logged
    assert set(after.values()) <= {1, 2}


async def test_whoever_withdraws_after_the_upgrade_is_removed_though_an_older_hub_had_sent_them(
    hub: Hub, older: Older, clock: TestClock
) -> None:
    noted, doubtful = min(older.logged), min(sent(hub, CRM["state_file"]).keys() - older.logged)
    for person in (noted, doubtful):
        withdrawal = ConsentInput("mail", ConsentAction.WITHDRAW, "form", external_id=person, effective_at=clock.now())
        await consent.record(hub, withdrawal)
    async with working(hub):
        await until(lambda: held_by_crm(hub) == MAY_GO - {noted, doubtful})


def held_by_crm(hub: Hub) -> set[str]:
    vendor = PretendAccount()
    vendor.replay(hub.settings.data / "files" / CRM["state_file"])
    return vendor.members(INTERRUPTED)


async def test_people_in_an_open_job_are_asked_after_and_not_sent_again(hub: Hub, older: Older) -> None:
    if not older.has_jobs:
        pytest.skip("that version knew of no jobs")
    await destinations.update(hub, "slow", config={"jobs": {"running": 0}})
    async with working(hub):
        run = await ended(hub, await newest_run(hub, WAITING))
    assert (run.status, run.counts.added) == ("SUCCEEDED", len(BUYERS))
    assert sent(hub, SLOW["state_file"]) == Counter(BUYERS)


def lines(hub: Hub) -> set[int]:
    return {seq for (seq,) in hub.engine.rows("SELECT seq FROM outcomes UNION ALL SELECT seq FROM taken")}


async def test_what_is_logged_now_is_numbered_after_every_older_line(hub: Hub, older: Older) -> None:
    newest, old = await newest_run(hub, INTERRUPTED), lines(hub)
    async with working(hub):
        await ended(hub, newest)
    new = lines(hub) - old
    assert (max(old), len(new) > 0) == (older.newest_line, True)
    assert min(new) > older.newest_line


async def test_a_new_run_has_nothing_to_say_about_whoever_was_delivered(hub: Hub, sink: Sink) -> None:
    told = len(sink.received)
    async with working(hub):
        await ended(hub, await newest_run(hub, INTERRUPTED))
        again = [await ended(hub, await runs.start(hub, sync)) for sync in (SHOP, INTERRUPTED)]
    assert [run.counts.unchanged for run in again] == [len(READERS), len(MAY_GO)]
    assert [(run.counts.added, run.counts.updated, run.counts.leavers) for run in again] == [(0, 0, 0)] * 2
    assert len(sink.received) == told


async def test_whoever_was_possibly_there_is_sent_again_signed_with_the_secret_that_was_sealed(
    hub: Hub, sink: Sink
) -> None:
    await destinations.update(hub, "shop", config={"url": sink.url})
    async with working(hub):
        run = await ended(hub, await runs.start(hub, UNANSWERED))
    assert (run.status, run.counts.members) == ("SUCCEEDED", 1)
    assert sink.held(UNANSWERED) == {LATE}
    found = await profile(hub, LATE, "deliveries { state }")
    assert found == {"deliveries": [{"state": "PRESENT"}]}


async def test_events_that_were_imported_before_are_not_counted_twice(hub: Hub, tmp_path: Path) -> None:
    again = tmp_path / "events.ndjson"
    again.write_text("\n".join(json.dumps({**one, "ts": "2026-11-01T00:00:00Z"}) for one in PURCHASES))
    await intake.import_file(hub, "events", again, content_type="application/x-ndjson")
    assert hub.engine.rows("SELECT count(*) FROM events") == [(len(PURCHASES),)]
