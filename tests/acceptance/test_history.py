"""What an admin can look up of a run: its course, its requests without anybody's data, its speed, and how fresh."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.process import Hub
from tests.acceptance.sink import Sink

LOOK = """query($sync: String!) { sync(key: $sync) {
  freshness { equalAt secondsSince pendingChanges lagSeconds }
  lastRun { status timeline { kind at people seconds }
    throughput { seconds people peoplePerSecond requests requestsPerSecond failedRequests retries p50Ms p95Ms }
    requests(first: 3) { totalCount pageInfo { hasNextPage endCursor }
      nodes { number kept at method url status error durationMs attempt people sent received sentBytes receivedBytes }
    } } } }"""


@pytest.fixture(scope="module", autouse=True)
def _sync(hub: Hub, sink: Sink) -> None:
    hub.create("purpose", key="mail", name="Newsletter")
    hub.create("destination", key="shop", connector="webhook", config={**sink.config, "batch": 10, "concurrency": 1})
    hub.people([{"id": f"person-{n}", "email": f"mail-{n}@example.com", "city": f"Town{n}"} for n in range(45)])
    hub.grant("mail", *(f"person-{n}" for n in range(45)))
    hub.create("segment", key="all", rule="everyone")
    fields = {"mail": "email", "place": "city"}
    hub.create("sync", key="all", segment="all", destination="shop", audience="all", purposes=["mail"], fields=fields)


def look(hub: Hub) -> dict[str, Any]:
    found: dict[str, Any] = hub.ask(LOOK, sync="all")["sync"]
    return found


def test_a_sync_that_never_ran_is_not_known_to_be_fresh(hub: Hub) -> None:
    assert look(hub)["freshness"] == {"equalAt": None, "secondsSince": None, "pendingChanges": 45, "lagSeconds": None}


def test_a_run_can_be_looked_into_and_shows_nobody(hub: Hub) -> None:
    hub.run("all")
    found = look(hub)
    run, fresh = found["lastRun"], found["freshness"]
    print(json.dumps(found, indent=1, ensure_ascii=False))
    kinds = [moment["kind"] for moment in run["timeline"]]
    assert kinds == ["QUEUED", "CLAIMED", "PLANNED", "DELIVERING", "SETTLED", "ENDED"]
    assert run["timeline"][2]["people"] == 45
    assert run["requests"]["totalCount"] == 5 and run["requests"]["pageInfo"]["hasNextPage"]
    first = run["requests"]["nodes"][0]
    assert (first["method"], first["status"], first["people"], first["attempt"]) == ("POST", 200, 10, 1)
    assert first["url"] == "127.0.0.1/{…}"
    assert '"add":[10 × {"fields":{"mail":"string","place":"string"},"id":"string"}]' in first["sent"]
    speed = run["throughput"]
    assert (speed["people"], speed["requests"], speed["failedRequests"], speed["retries"]) == (45, 5, 0, 0)
    assert 0 < speed["p50Ms"] <= speed["p95Ms"] and speed["peoplePerSecond"] > 0
    assert fresh["pendingChanges"] == fresh["lagSeconds"] == 0 and fresh["secondsSince"] >= 0
    for value in ("person-", "example.com", "Town"):
        assert value not in json.dumps(found, ensure_ascii=False)


def test_a_change_that_waits_shows_as_lag(hub: Hub) -> None:
    hub.people([{"id": "person-0", "city": "Elsewhere"}])
    fresh = look(hub)["freshness"]
    assert fresh["pendingChanges"] == 1 and fresh["lagSeconds"] == pytest.approx(fresh["secondsSince"])


def test_the_requests_come_in_pages(hub: Hub) -> None:
    page = look(hub)["lastRun"]["requests"]
    rest = hub.ask(
        """query($sync: String!, $after: String!) { sync(key: $sync) { lastRun { requests(after: $after) {
          nodes { number } pageInfo { hasNextPage } } } } }""",
        sync="all",
        after=page["pageInfo"]["endCursor"],
    )["sync"]["lastRun"]["requests"]
    assert [node["number"] for node in (*page["nodes"], *rest["nodes"])] == [1, 2, 3, 4, 5]
    assert not rest["pageInfo"]["hasNextPage"]


def test_requests_that_fail_are_told_apart_and_counted_as_retries(hub: Hub, sink: Sink) -> None:
    sink.answers.append((503, b"", {}))
    hub.people([{"id": "person-1", "city": "Elsewhere"}])
    hub.run("all")
    run = look(hub)["lastRun"]
    failed, again = run["requests"]["nodes"][:2]
    assert (failed["status"], failed["error"], failed["kept"], failed["attempt"]) == (
        503,
        "TransientError",
        "FAILED",
        1,
    )
    assert (again["status"], again["error"], again["attempt"]) == (200, None, 2)
    assert run["throughput"]["retries"] == run["throughput"]["failedRequests"] == 1
    assert "BACKED_OFF" in [moment["kind"] for moment in run["timeline"]]


def test_a_plan_that_waited_too_long_for_its_people_is_refused_and_another_one_waits(hub: Hub, sink: Sink) -> None:
    hub.update("segment", "all", rule='city is known and not (city starts with "Town4") and city != "Town9"')
    hub.update("sync", "all", maxRemovalShare=0.0)
    held = hub.run("all")
    assert held["status"] == "WAITING_APPROVAL"
    assert hub.ask("query($id: ID!) { run(id: $id) { approvalReasons } }", id=held["id"])["run"] == {
        "approvalReasons": ["REMOVAL_SHARE"]
    }
    before = set(sink.held("all"))
    hub.update("segment", "all", rule='city is known and city != "Town9"')
    refused = hub.do("runApprove", "$id: ID!", "run { status }", id=held["id"])["errors"]
    print(refused)
    assert refused[0]["code"] == "CONFLICT" and refused[0]["path"] == ["id"]
    ended = hub.ask("query($id: ID!) { run(id: $id) { status failure { code message } } }", id=held["id"])["run"]
    assert ended["status"] == "CANCELLED" and ended["failure"]["code"] == "CONFLICT"
    anew = hub.ended(hub.runs("all")[0]["id"])
    assert anew["id"] != held["id"] and (anew["status"], anew["counts"]["leavers"]) == ("WAITING_APPROVAL", 1)
    assert set(sink.held("all")) == before
    assert hub.do("runApprove", "$id: ID!", "run { status }", id=anew["id"])["errors"] == []
