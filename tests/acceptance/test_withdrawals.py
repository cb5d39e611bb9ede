"""What happens by itself: withdrawals everywhere, continuous syncs, and a run that is watched while it works."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import websockets

from tests.acceptance.process import COUNTS, PATIENCE_S, TOKEN, Hub, until
from tests.acceptance.sink import SECRET, Sink


@pytest.fixture(autouse=True)
def _nothing_left(hub: Hub) -> Iterator[None]:
    yield
    hub.forget_syncs()


@pytest.fixture(scope="module", autouse=True)
def _shop(hub: Hub, sink: Sink) -> None:
    hub.create("purpose", key="mail", name="Newsletter")
    hub.create("destination", key="shop", connector="webhook", config=sink.config)


def staged(hub: Hub, name: str, people: int = 3, **sync: Any) -> list[str]:
    """A segment and a sync of that name, with people of their own."""
    ids = [f"{name}-{n}" for n in range(people)]
    hub.people([{"id": one, "team": name, "email": f"{one}@example.com"} for one in ids])
    hub.grant("mail", *ids)
    hub.create("segment", key=name, rule=f'team = "{name}"')
    usual = {"segment": name, "destination": "shop", "audience": name, "purposes": ["mail"]}
    hub.create("sync", key=name, **{**usual, **sync})
    return ids


def withdraw(hub: Hub, person: str) -> None:
    assert hub.consent(externalId=person, purpose="mail", action="WITHDRAW")["errors"] == []


def test_the_webhooks_wire_format_is_word_for_word(hub: Hub, sink: Sink) -> None:
    ids = staged(hub, "wire", 2, fields={"email": "email", "crew": "team"})
    run = hub.run("wire")
    (sent,) = sink.of("wire")
    assert sent.change == {
        "type": "audience.changed",
        "audience": "wire",
        "sync": "wire",
        "run": sent.change["run"],
        "add": [{"id": one, "fields": {"email": f"{one}@example.com", "crew": "wire"}} for one in sorted(ids)],
        "remove": [],
    }
    assert isinstance(sent.change["run"], str)
    assert sent.headers["content-type"].startswith("application/json")
    assert sent.headers["webhook-signature"].startswith("v1,")
    assert abs(int(sent.headers["webhook-timestamp"]) - time.time()) < 600
    assert "authorization" not in sent.headers
    assert run["status"] == "SUCCEEDED"


def test_an_unmapped_sync_sends_no_field_and_a_removal_only_the_id(hub: Hub, sink: Sink) -> None:
    ids = staged(hub, "bare", 4)
    hub.run("bare")
    assert sink.of("bare")[0].change["add"] == [{"id": one, "fields": {}} for one in sorted(ids)]
    hub.people([{"id": ids[0], "team": "gone"}])
    hub.run("bare")
    assert sink.of("bare")[1].change["remove"] == [{"id": ids[0]}]


def test_the_webhook_id_is_a_function_of_the_body(hub: Hub, sink: Sink) -> None:
    staged(hub, "repeat", 2)
    sink.answers.extend([(503, b"", {"Retry-After": "0"})])
    hub.run("repeat")
    first, second = sink.of("repeat")
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    by_id: dict[str, bytes] = {}
    for one in sink.received:
        assert by_id.setdefault(one.headers["webhook-id"], one.body) == one.body
    assert len(by_id) == len({one.body for one in sink.received})


def test_at_most_so_many_people_go_in_a_request(hub: Hub, sink: Sink) -> None:
    hub.create("destination", key="small", connector="webhook", config={**sink.config, "batch": 2})
    staged(hub, "small", 5, destination="small")
    hub.run("small")
    assert sorted(len(one.added) for one in sink.of("small")) == [1, 2, 2]


@pytest.mark.parametrize("paused", [False, True])
def test_a_withdrawal_is_carried_out_at_once_also_on_a_manual_and_a_paused_sync(
    hub: Hub, sink: Sink, paused: bool
) -> None:
    name = f"manual-{paused}".lower()
    ids = staged(hub, name)
    hub.run(name)
    if paused:
        hub.do("syncPause", "$key: String!", "sync { paused }", key=name)
    withdraw(hub, ids[0])
    until(lambda: sink.held(name) == set(ids[1:]))
    # A look taken while it was under way may have queued another one, which then finds nothing left to do.
    found = until(lambda: (runs := hub.runs(name)[:-1]) and runs[-1]["finishedAt"] and runs[-1])
    assert (found["cause"], found["status"]) == ("WITHDRAWAL", "SUCCEEDED")
    assert found["counts"]["removed"] == found["counts"]["leavers"] == 1
    assert found["counts"]["members"] == sum(
        found["counts"][n] for n in ("unchanged", "added", "updated", "rejected", "withheld", "pending")
    )


def test_the_brake_never_holds_a_withdrawal_back(hub: Hub, sink: Sink) -> None:
    ids = staged(hub, "all-gone", 3, maxRemovalShare=0.0)
    hub.run("all-gone")
    rows = [f"{one},mail,withdraw" for one in ids]
    hub.take_in("consents", "\n".join(["id,purpose,action", *rows]))
    until(lambda: sink.held("all-gone") == set())


def test_a_withdrawal_by_address_reaches_who_has_it(hub: Hub, sink: Sink) -> None:
    ids = staged(hub, "by-address", 2)
    hub.run("by-address")
    hub.consent(identifierKind="email", identifier=f"{ids[0].upper()}@example.com", purpose="mail", action="WITHDRAW")
    until(lambda: sink.held("by-address") == {ids[1]})


def test_a_withdrawal_waits_for_a_paused_destination_and_goes_out_when_it_is_taken_up(hub: Hub, sink: Sink) -> None:
    hub.create("destination", key="resting", connector="webhook", config=sink.config)
    ids = staged(hub, "resting", 2, destination="resting")
    hub.run("resting")
    hub.do("destinationPause", "$key: String!", "destination { paused }", key="resting")
    withdraw(hub, ids[0])
    time.sleep(1)
    assert len(sink.held("resting")) == 2
    hub.do("destinationResume", "$key: String!", "destination { paused }", key="resting")
    until(lambda: sink.held("resting") == {ids[1]})


def test_a_grant_that_lapses_removes_its_person(hub: Hub, sink: Sink) -> None:
    from datetime import UTC, datetime, timedelta

    ids = staged(hub, "lapsing", 2)
    hub.run("lapsing")
    assert len(sink.held("lapsing")) == 2
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    hub.consent(externalId=ids[0], purpose="mail", action="GRANT", expiresAt=soon, effectiveAt="2024-06-01T00:00:00Z")
    until(lambda: sink.held("lapsing") == {ids[1]})


def test_a_withdrawal_while_the_add_is_on_its_way_ends_with_nobody_there(hub: Hub, sink: Sink) -> None:
    ids = staged(hub, "mid-air", 2)
    sink.answering.clear()
    try:
        run = hub.start("mid-air")
        until(lambda: hub.ask("query($i: ID!) { run(id: $i) { status } }", i=run["id"])["run"]["status"] == "RUNNING")
        withdraw(hub, ids[0])
    finally:
        sink.answering.set()
    hub.ended(run["id"])
    until(lambda: sink.held("mid-air") == {ids[1]})


def test_a_continuous_sync_follows_imports_and_decisions(hub: Hub, sink: Sink) -> None:
    ids = staged(hub, "live", 2, schedule="continuous")
    until(lambda: sink.held("live") == set(ids))
    hub.people([{"id": "live-new", "team": "live"}])
    hub.consent(externalId="live-new", purpose="mail", action="GRANT")
    until(lambda: sink.held("live") == {*ids, "live-new"})
    hub.people([{"id": "live-new", "team": "none"}])
    until(lambda: sink.held("live") == set(ids) or hub.runs("live")[0]["status"] == "WAITING_APPROVAL")
    if hub.runs("live")[0]["status"] == "WAITING_APPROVAL":
        hub.do("runApprove", "$id: ID!", "run { id }", id=hub.runs("live")[0]["id"])
    until(lambda: sink.held("live") == set(ids))
    assert {run["cause"] for run in hub.runs("live")} <= {"CHANGE", "WITHDRAWAL"}


def test_a_continuous_sync_follows_events_and_other_segments(hub: Hub, sink: Sink) -> None:
    hub.people([{"id": "doer"}])
    hub.grant("mail", "doer")
    hub.create("segment", key="doers", rule="did(something)")
    hub.create("segment", key="doers-too", rule='in segment "doers"')
    usual = {"destination": "shop", "purposes": ["mail"], "schedule": "continuous"}
    hub.create("sync", key="doers", segment="doers-too", audience="doers", **usual)
    hub.take_in("events", "profile_id,ts,name\ndoer,2024-01-01T00:00:00Z,something\n")
    until(lambda: sink.held("doers") == {"doer"})


SUBSCRIBE = f"subscription($id: ID!) {{ runProgress(id: $id) {{ id status counts {{ {COUNTS} }} }} }}"


async def watch(hub: Hub, run: str, token: str | None = TOKEN) -> list[dict[str, Any]]:
    return [said async for said in watching(hub, run, token)]


async def watching(hub: Hub, run: str, token: str | None = TOKEN) -> AsyncIterator[dict[str, Any]]:
    """What the subscription says until it completes."""
    url = hub.url.replace("http", "ws", 1) + "/graphql"
    async with websockets.connect(
        url, subprotocols=["graphql-transport-ws"], proxy=None, open_timeout=PATIENCE_S
    ) as socket:
        payload = {"Authorization": f"Bearer {token}"} if token else {}
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        asked = {"query": SUBSCRIBE, "variables": {"id": run}}
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": asked}))
        while (said := json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_S)))["type"] != "complete":
            assert said["type"] == "next", said
            yield said["payload"]


async def test_a_run_is_watched_until_it_ends(hub: Hub, sink: Sink) -> None:
    staged(hub, "watched", 3)
    seen = []
    sink.answering.clear()
    try:
        run = hub.start("watched")
        async for one in watching(hub, run["id"]):
            seen.append(one)
            sink.answering.set()
    finally:
        sink.answering.set()
    said = [one["data"]["runProgress"] for one in seen]
    assert said[-1]["status"] == "SUCCEEDED"
    assert said[-1]["counts"]["added"] == 3
    assert len(said) >= 2
    assert (await watch(hub, run["id"]))[-1]["data"]["runProgress"]["status"] == "SUCCEEDED"


async def test_nobody_watches_without_a_token(hub: Hub) -> None:
    for token in (None, "wrong"):
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await watch(hub, "anything", token)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code in {4401, 4403}


async def test_watching_a_run_that_is_not_there_is_an_error(hub: Hub) -> None:
    (said,) = await watch(hub, "nonsense")
    assert said["errors"][0]["extensions"]["code"] == "NOT_FOUND"


def test_everything_stored_is_found_again_by_its_id(hub: Hub) -> None:
    staged(hub, "nodes", 1)
    run = hub.run("nodes")
    found = hub.ask(
        '{ purposes { id } segment(key: "nodes") { id } destination(key: "shop") { id } sync(key: "nodes") { id } '
        'profile(externalId: "nodes-0") { id } }'
    )
    ids = {
        "Purpose": found["purposes"][0]["id"],
        "Segment": found["segment"]["id"],
        "Destination": found["destination"]["id"],
        "Sync": found["sync"]["id"],
        "Profile": found["profile"]["id"],
        "Run": run["id"],
    }
    assert len(set(ids.values())) == 6
    for kind, number in ids.items():
        node = hub.ask("query($id: ID!) { node(id: $id) { __typename id } }", id=number)["node"]
        assert node == {"__typename": kind, "id": number}
    for nonsense in ("", "nonsense", "UnVuOjk5OTk5", "💥", "x" * 5000):
        assert hub.ask("query($id: ID!) { node(id: $id) { id } run(id: $id) { id } }", id=nonsense) == {
            "node": None,
            "run": None,
        }


def test_metrics_and_logs_hold_no_personal_data_and_no_secret(hub: Hub, sink: Sink) -> None:
    ids = staged(hub, "silent", fields={"email": "email"})
    hub.run("silent")
    assert sink.held("silent") == set(ids)
    metrics, log = hub.client.get("/metrics"), hub.log.read_text()
    assert metrics.status_code == 200
    assert "hub_" in metrics.text
    # Each attempt is told, so there would have been an occasion.
    assert '"sync":"silent"' in log and '"event":"attempt"' in log
    for text in (metrics.text, log):
        assert "@example.com" not in text
        assert not [one for one in ids if one in text]
        assert SECRET[6:] not in text
        assert TOKEN not in text
    assert httpx.get(f"{hub.url}/healthz", trust_env=False).status_code == 200
