"""Syncs and their runs: the audience at the sink equals the segment, and the counts say what was done."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.process import Hub, until
from tests.acceptance.sink import Sink

PREVIEW = """query($sync: String!) { syncPreview(sync: $sync) {
  add update remove unchanged needsApproval withheld { reason count }
  sampleAdds { externalId } sampleRemoves { externalId } errors { code message path suggestion } } }"""
_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _nothing_left(hub: Hub) -> Iterator[None]:
    yield
    hub.forget_syncs()


@pytest.fixture(scope="module", autouse=True)
def _destinations(hub: Hub, sink: Sink) -> None:
    hub.create("purpose", key="mail", name="Newsletter")
    hub.create("purpose", key="ads", name="Advertising")
    hub.create("destination", key="shop", connector="webhook", config=sink.config)


class Stage:
    """A segment of its own, filled with people of its own: whoever has the trait `team` of that name."""

    def __init__(self, hub: Hub, people: int = 4, **sync: Any) -> None:
        self.hub, self.name = hub, f"team{next(_numbers)}"
        self.ids = [f"{self.name}-{n}" for n in range(people)]
        self.join(*self.ids)
        hub.grant("mail", *self.ids)
        hub.create("segment", key=self.name, rule=f'team = "{self.name}"')
        self.sync(**sync)

    def sync(self, **given: Any) -> None:
        usual = {"key": self.name, "segment": self.name, "destination": "shop", "audience": self.name}
        self.hub.create("sync", **{**usual, "purposes": ["mail"], **given})

    def join(self, *people: str, **traits: Any) -> None:
        self.hub.people([{"id": one, "team": self.name, **traits} for one in people])

    def leave(self, *people: str) -> None:
        self.hub.people([{"id": one, "team": "none"} for one in people])

    def run(self) -> dict[str, Any]:
        return self.hub.run(self.name)

    def preview(self) -> dict[str, Any]:
        return self.hub.ask(PREVIEW, sync=self.name)["syncPreview"]


def tally(run: dict[str, Any]) -> dict[str, int]:
    """The counts that are not nothing; also proves that they add up."""
    c = run["counts"]
    assert c["members"] == sum(c[n] for n in ("unchanged", "added", "updated", "rejected", "withheld", "pending")), c
    assert c["leavers"] == sum(c[n] for n in ("removed", "removeRejected", "removePending")), c
    assert sum(one["count"] for one in run["withheld"]) == c["withheld"]
    return {name: number for name, number in c.items() if number}


def withheld(run: dict[str, Any]) -> dict[str, int]:
    return {one["reason"]: one["count"] for one in run["withheld"]}


def test_a_first_run_adds_everyone_and_a_second_one_nobody(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub)
    preview = stage.preview()
    assert (preview["add"], preview["remove"], preview["needsApproval"]) == (4, 0, False)
    assert {one["externalId"] for one in preview["sampleAdds"]} == set(stage.ids)
    assert sink.of(stage.name) == []
    first = stage.run()
    assert (first["cause"], first["status"], tally(first)) == ("MANUAL", "SUCCEEDED", {"members": 4, "added": 4})
    assert first["startedAt"] <= first["finishedAt"]
    assert sink.held(stage.name) == set(stage.ids)
    assert tally(stage.run()) == {"members": 4, "unchanged": 4}
    assert len(sink.of(stage.name)) == 1
    assert hub.delivered(stage.name) == 4
    assert [run["status"] for run in hub.runs(stage.name)] == ["SUCCEEDED", "SUCCEEDED"]


def test_who_leaves_is_removed_and_who_joins_is_added(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub, 5)
    stage.run()
    stage.leave(stage.ids[0])
    stage.join("late-comer")
    hub.grant("mail", "late-comer")
    preview = stage.preview()
    assert (preview["add"], preview["remove"], preview["unchanged"]) == (1, 1, 4)
    assert [one["externalId"] for one in preview["sampleRemoves"]] == [stage.ids[0]]
    run = stage.run()
    assert tally(run) == {"members": 5, "added": 1, "unchanged": 4, "leavers": 1, "removed": 1}
    assert sink.held(stage.name) == {*stage.ids[1:], "late-comer"}
    deliveries = "deliveries { state sync { key } run { id } }"
    assert hub.profile("late-comer", deliveries)["deliveries"] == [
        {"state": "PRESENT", "sync": {"key": stage.name}, "run": {"id": run["id"]}}
    ]
    gone = hub.profile(stage.ids[0], deliveries)["deliveries"]
    assert [one["state"] for one in gone] in (["ABSENT"], [])


def test_only_what_is_mapped_leaves_and_a_changed_value_is_an_update(hub: Hub, sink: Sink) -> None:
    hub.people([{"id": "a citizen", "city": "Ulm"}])
    stage = Stage(hub, 3, fields={"mail": "email", "town": "city"})
    for one in stage.ids:
        stage.join(one, email=f"{one}@example.com", city="Ulm", salary=9000)
    stage.run()
    first = stage.ids[0]
    assert sink.audiences[stage.name][first] == {"mail": f"{first}@example.com", "town": "Ulm"}
    stage.join(first, salary=1)
    assert tally(stage.run()) == {"members": 3, "unchanged": 3}
    stage.join(first, city="Bonn")
    assert (stage.preview()["update"], stage.preview()["unchanged"]) == (1, 2)
    assert tally(stage.run()) == {"members": 3, "updated": 1, "unchanged": 2}
    assert sink.audiences[stage.name][first]["town"] == "Bonn"
    assert sink.of(stage.name)[-1].added == [first]


def test_who_has_not_granted_every_purpose_is_withheld(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub, 4, purposes=["mail", "ads"])
    hub.grant("ads", *stage.ids[:2])
    run = stage.run()
    assert tally(run) == {"members": 4, "added": 2, "withheld": 2}
    assert withheld(run) == {"NO_CONSENT": 2}
    assert sink.held(stage.name) == set(stage.ids[:2])


def test_a_changed_purpose_removes_who_has_not_granted_it(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub, 2, maxRemovalShare=1.0)
    stage.run()
    hub.grant("ads", stage.ids[0])
    assert hub.update("sync", stage.name, purposes=["ads"])["errors"] == []
    run = stage.run() if sink.held(stage.name) != {stage.ids[0]} else hub.runs(stage.name)[0]
    until(lambda: sink.held(stage.name) == {stage.ids[0]})
    tally(run)


def test_whom_the_vendor_rejects_is_listed_and_tried_again_when_asked(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub, 3)
    odd = stage.ids[1]
    sink.rejects[odd] = "age is not to our taste"
    run = stage.run()
    assert run["status"] == "PARTIAL"
    assert tally(run) == {"members": 3, "added": 2, "rejected": 1}
    asked = "query($id: ID!) { run(id: $id) { rejections { nodes { reason attempts profile { externalId } } } } }"
    (one,) = hub.ask(asked, id=run["id"])["run"]["rejections"]["nodes"]
    assert (one["profile"]["externalId"], one["reason"], one["attempts"]) == (odd, "age is not to our taste", 1)
    assert hub.profile(odd, "deliveries { state }")["deliveries"] == [{"state": "REJECTED"}]
    sent = len(sink.of(stage.name))
    again = stage.run()
    assert tally(again) == {"members": 3, "unchanged": 2, "rejected": 1}
    assert len(sink.of(stage.name)) == sent
    del sink.rejects[odd]
    payload = hub.do("runRetryRejected", "$id: ID!", "run { id }", id=run["id"])
    assert payload["errors"] == []
    retried = hub.ended(payload["run"]["id"])
    assert retried["status"] == "SUCCEEDED"
    assert retried["counts"]["added"] == 1
    tally(retried)
    assert sink.held(stage.name) == set(stage.ids)


def test_retrying_decides_consent_again(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub, 2)
    sink.rejects[stage.ids[0]] = "no"
    run = stage.run()
    hub.consent(externalId=stage.ids[0], purpose="mail", action="WITHDRAW")
    sink.rejects.clear()
    payload = hub.do("runRetryRejected", "$id: ID!", "run { id }", id=run["id"])
    if payload["run"]:
        tally(hub.ended(payload["run"]["id"]))
    assert sink.held(stage.name) == {stage.ids[1]}


def test_the_brake_waits_for_approval_and_lets_go(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub, 10)
    stage.run()
    stage.leave(*stage.ids[:4])
    assert stage.preview()["needsApproval"] is True
    run = stage.run()
    assert run["status"] == "WAITING_APPROVAL"
    assert run["counts"]["leavers"] == 4
    tally(run)
    assert len(sink.held(stage.name)) == 10
    assert hub.do("runApprove", "$id: ID!", "run { status }", id=run["id"])["errors"] == []
    done = until(lambda: (r := hub.ended(run["id"]))["status"] != "WAITING_APPROVAL" and r)
    assert (done["status"], tally(done)) == (
        "SUCCEEDED",
        {"members": 6, "unchanged": 6, "leavers": 4, "removed": 4},
    )
    assert sink.held(stage.name) == set(stage.ids[4:])
    twice = hub.do("runApprove", "$id: ID!", "run { status }", id=run["id"])["errors"]
    assert twice[0]["code"] == "CONFLICT"


def test_the_brake_lets_a_run_be_cancelled(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub, 3)
    stage.run()
    stage.leave(*stage.ids)
    run = stage.run()
    assert run["status"] == "WAITING_APPROVAL"
    assert hub.do("runCancel", "$id: ID!", "run { status }", id=run["id"])["errors"] == []
    assert hub.ended(run["id"])["status"] == "CANCELLED"
    assert len(sink.held(stage.name)) == 3
    again = hub.do("runCancel", "$id: ID!", "run { status }", id=run["id"])
    assert (again["run"], again["errors"]) == ({"status": "CANCELLED"}, [])


def test_a_share_of_exactly_the_limit_passes_the_brake(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub, 10)
    stage.run()
    stage.leave(*stage.ids[:3])
    assert stage.run()["status"] == "SUCCEEDED"
    assert len(sink.held(stage.name)) == 7


def test_add_only_keeps_who_left_and_remove_only_adds_nobody(hub: Hub, sink: Sink) -> None:
    adding = Stage(hub, 3, mode="ADD_ONLY")
    adding.run()
    adding.leave(adding.ids[0])
    assert tally(adding.run()) == {"members": 2, "unchanged": 2}
    assert len(sink.held(adding.name)) == 3
    removing = Stage(hub, 3)
    removing.run()
    removing.leave(removing.ids[0])
    removing.join("nobody-new")
    hub.grant("mail", "nobody-new")
    hub.update("sync", removing.name, mode="REMOVE_ONLY", maxRemovalShare=0.9)
    run = removing.run()
    assert tally(run) == {"members": 3, "unchanged": 2, "withheld": 1, "leavers": 1, "removed": 1}
    assert withheld(run) == {"MODE": 1}
    assert sink.held(removing.name) == set(removing.ids[1:])


def test_a_withdrawn_person_leaves_an_add_only_audience_too(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub, 3, mode="ADD_ONLY")
    stage.run()
    hub.consent(externalId=stage.ids[0], purpose="mail", action="WITHDRAW")
    until(lambda: sink.held(stage.name) == set(stage.ids[1:]))


@pytest.mark.parametrize(
    ("given", "code", "path", "suggestion"),
    [
        ({"key": "Not A Slug"}, "INVALID", ["input", "key"], None),
        ({"key": "args"}, "CONFLICT", ["input", "key"], None),
        ({"segment": "argz"}, "NOT_FOUND", ["input", "segment"], "args"),
        ({"destination": "shpo"}, "NOT_FOUND", ["input", "destination"], "shop"),
        ({"audience": ""}, "INVALID", ["input", "audience"], None),
        ({"audience": "args"}, "CONFLICT", ["input", "audience"], None),
        ({"purposes": []}, "INVALID", ["input", "purposes"], None),
        ({"purposes": ["mail", "asd"]}, "NOT_FOUND", ["input", "purposes", "1"], "ads"),
        ({"mode": "REPLACE"}, "UNSUPPORTED", ["input", "mode"], "MIRROR"),
        ({"schedule": "continous"}, "INVALID", ["input", "schedule"], "continuous"),
        ({"schedule": "* * * * * *"}, "INVALID", ["input", "schedule"], None),
        ({"schedule": "61 * * * *"}, "INVALID", ["input", "schedule"], None),
        ({"schedule": "0 0 30 2 *"}, "INVALID", ["input", "schedule"], None),
        ({"schedule": ""}, "INVALID", ["input", "schedule"], None),
        ({"fields": {"mail": "emial"}}, "RULE_UNKNOWN_TRAIT", ["input", "fields", "mail"], "email"),
        ({"fields": ["email"]}, "INVALID", ["input", "fields"], None),
        ({"fields": {"mail": 3}}, "INVALID", ["input", "fields", "mail"], None),
        ({"maxRemovalShare": 1.5}, "INVALID", ["input", "maxRemovalShare"], None),
        ({"maxRemovalShare": -0.1}, "INVALID", ["input", "maxRemovalShare"], None),
    ],
)
def test_each_wrong_argument_of_a_sync_is_named(
    hub: Hub, given: dict[str, Any], code: str, path: list[str], suggestion: str | None
) -> None:
    hub.try_create("segment", key="args", rule="everyone")
    usual = {"segment": "args", "destination": "shop", "audience": "args", "purposes": ["mail"]}
    hub.try_create("sync", key="args", **usual)
    payload = hub.try_create("sync", **{**usual, "key": "other-args", "audience": "other-args", **given})
    assert payload["sync"] is None
    error = payload["errors"][0]
    assert (error["code"], error["path"]) == (code, path)
    if suggestion:
        assert error["suggestion"] == suggestion
    if path[-1] not in {"key", "segment", "destination"}:
        changed = hub.update("sync", "args", **{name: value for name, value in given.items() if value != "args"})
        assert ("audience" in given and given["audience"] == "args") or changed["errors"][0]["path"] == path


def test_one_audience_has_one_sync(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub, 1)
    usual = {"segment": stage.name, "destination": "shop", "purposes": ["mail"]}
    error = hub.try_create("sync", key="second", audience=stage.name, **usual)["errors"][0]
    assert error["code"] == "CONFLICT"
    assert stage.name in error["message"]
    hub.create("sync", key="second", audience="second", **usual)
    moved = hub.update("sync", "second", audience=stage.name)["errors"][0]
    assert (moved["code"], moved["path"]) == ("CONFLICT", ["input", "audience"])


def test_changing_the_audience_removes_there_and_adds_here(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub, 3)
    stage.run()
    assert hub.update("sync", stage.name, audience=f"{stage.name}-b")["errors"] == []
    run = stage.run()
    if run["status"] == "WAITING_APPROVAL":
        hub.do("runApprove", "$id: ID!", "run { status }", id=run["id"])
    until(lambda: sink.held(f"{stage.name}-b") == set(stage.ids) and sink.held(stage.name) == set())
    assert hub.delivered(stage.name) == 3


def test_a_segment_that_a_sync_uses_is_not_deleted(hub: Hub) -> None:
    stage = Stage(hub, 1, key="holds-on")
    error = hub.do("segmentDelete", "$key: String!", "segment { key }", key=stage.name)["errors"][0]
    assert error["code"] == "CONFLICT"
    assert "holds-on" in error["message"]
    found = hub.ask("query($k: String!) { segment(key: $k) { syncs { key } } }", k=stage.name)["segment"]
    assert found["syncs"] == [{"key": "holds-on"}]


def test_deleting_a_sync_asks_what_becomes_of_its_people(hub: Hub, sink: Sink) -> None:
    def delete(key: str, **more: bool) -> dict[str, Any]:
        signature = "$key: String!, $empty: Boolean, $leave: Boolean"
        return hub.do("syncDelete", signature, "sync { key }", key=key, **{"empty": False, "leave": False, **more})

    leaving, emptying, unused = Stage(hub, 2), Stage(hub, 2), Stage(hub, 2)
    leaving.run()
    emptying.run()
    assert delete(leaving.name)["errors"][0]["code"] == "CONFLICT"
    assert delete(leaving.name, empty=True, leave=True)["errors"][0]["code"] == "INVALID"
    assert delete(leaving.name, leave=True)["errors"] == []
    assert sink.held(leaving.name) == set(leaving.ids)
    assert hub.ask("query($k: String!) { sync(key: $k) { id } }", k=leaving.name)["sync"] is None
    assert delete(emptying.name, empty=True)["errors"] == []
    until(lambda: sink.held(emptying.name) == set())
    until(lambda: hub.ask("query($k: String!) { sync(key: $k) { id } }", k=emptying.name)["sync"] is None)
    assert delete(unused.name)["errors"] == []
    assert delete(unused.name)["errors"][0]["code"] == "NOT_FOUND"


def test_a_run_asked_for_while_one_is_active_queues_one_follow_up(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub, 2)
    sink.answering.clear()
    try:
        first = hub.start(stage.name)
        until(
            lambda: hub.ask("query($id: ID!) { run(id: $id) { status } }", id=first["id"])["run"]["status"] == "RUNNING"
        )
        second, third = hub.start(stage.name), hub.start(stage.name, "2025-01-01T00:00:00Z")
    finally:
        sink.answering.set()
    assert second["id"] == third["id"] != first["id"]
    assert hub.ended(first["id"])["status"] == "SUCCEEDED"
    assert hub.ended(third["id"])["status"] == "SUCCEEDED"
    asked = hub.ask("query($id: ID!) { run(id: $id) { asOf } }", id=third["id"])["run"]["asOf"]
    assert asked.startswith("2025-01-01T00:00:00")
    assert len(hub.runs(stage.name)) == 2


def test_people_who_share_an_address_are_one_at_the_vendor(hub: Hub, tmp_path: Any) -> None:
    hub.create("destination", key="by-mail", connector="sandbox", config={"account": "by-mail", "identifier": "email"})
    stage = Stage(hub, 4, destination="by-mail")
    a, b, c, _without = stage.ids
    stage.join(a, email="pair@example.com")
    stage.join(b, email="pair@example.com")
    stage.join(c, email="alone@example.com")
    run = stage.run()
    assert tally(run) == {"members": 4, "added": 2, "withheld": 2}
    assert withheld(run) == {"SHARED_IDENTIFIER": 1, "NO_IDENTIFIER": 1}
    hub.people([{"id": "bystander", "email": "alone@example.com"}])
    again = stage.run()
    assert withheld(again) == {"SHARED_IDENTIFIER": 2, "NO_IDENTIFIER": 1}
    # Removed either by the sweep of withdrawals, in a run of its own, or by this one.
    until(lambda: hub.delivered(stage.name) == 1)
    assert hub.profile(c, "deliveries { state }")["deliveries"] in ([{"state": "ABSENT"}], [])


def test_as_of_sets_the_clock_of_the_rule_only(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub, 2)
    hub.take_in(
        "events",
        f"profile_id,ts,name\n{stage.ids[0]},2025-05-01T00:00:00Z,waved\n{stage.ids[1]},2025-07-01T00:00:00Z,waved\n",
    )
    hub.create("segment", key="wavers", rule="did(waved, last 30 days)")
    usual = {"segment": "wavers", "destination": "shop", "audience": "wavers", "purposes": ["mail"]}
    hub.create("sync", key="wavers", maxRemovalShare=1.0, **usual)
    assert tally(hub.run("wavers", "2025-05-15T00:00:00Z")) == {"members": 1, "added": 1}
    assert sink.held("wavers") == {stage.ids[0]}
    run = hub.run("wavers", "2025-07-15T00:00:00Z")
    assert tally(run) == {"members": 1, "added": 1, "leavers": 1, "removed": 1}
    assert sink.held("wavers") == {stage.ids[1]}
    live = hub.ask('{ segment(key: "wavers") { members { totalCount } } }')["segment"]
    assert live["members"]["totalCount"] == 0


def test_an_answer_nobody_understands_leaves_people_possibly_there(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub, 2)
    sink.answers.extend([(200, b"<html>Please log in</html>", {"Content-Type": "text/html"})] * 8)
    run = hub.start(stage.name)

    def unsure() -> bool:
        found = hub.profile(stage.ids[0], "deliveries { state }")["deliveries"]
        return [one["state"] for one in found] == ["POSSIBLY_PRESENT"]

    try:
        ended = hub.ended(run["id"])
    finally:
        sink.answers.clear()
    assert ended["status"] in {"PARTIAL", "FAILED"}
    assert ended["counts"]["pending"] == 2
    tally(ended)
    assert unsure()
    assert tally(stage.run())["added"] == 2
    assert sink.held(stage.name) == set(stage.ids)


def test_a_hiccup_is_got_over_within_the_run(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub, 2)
    sink.answers.extend([(503, b"", {"Retry-After": "0"}), (429, b"", {"Retry-After": "0"})])
    assert tally(stage.run()) == {"members": 2, "added": 2}
    ids = {one.headers["webhook-id"] for one in sink.of(stage.name)}
    assert len(sink.of(stage.name)) == 3
    assert len(ids) == 1


def test_a_sync_that_rests_runs_when_asked_only_and_is_taken_up_again(hub: Hub, sink: Sink) -> None:
    stage = Stage(hub, 1, schedule="continuous")
    until(lambda: sink.held(stage.name) == set(stage.ids))
    shown = "sync { paused }"
    assert hub.do("syncPause", "$key: String!", shown, key=stage.name)["sync"] == {"paused": True}
    stage.join(f"{stage.name}-more")
    hub.grant("mail", f"{stage.name}-more")
    assert hub.do("syncResume", "$key: String!", shown, key=stage.name)["sync"] == {"paused": False}
    until(lambda: len(sink.held(stage.name)) == 2)


def test_a_preview_of_an_unknown_sync_or_run_names_it(hub: Hub) -> None:
    Stage(hub, 1, key="known-sync")
    error = hub.ask(PREVIEW, sync="known-snyc")["syncPreview"]["errors"][0]
    assert (error["code"], error["path"], error["suggestion"]) == ("NOT_FOUND", ["sync"], "known-sync")
    missing = hub.do("syncRun", "$key: String!", "run { id }", key="nope")["errors"][0]
    assert (missing["code"], missing["path"]) == ("NOT_FOUND", ["key"])
    for mutation in ("runApprove", "runCancel", "runRetryRejected"):
        wrong = hub.do(mutation, "$id: ID!", "run { id }", id="nonsense")["errors"][0]
        assert (wrong["code"], wrong["path"]) == ("NOT_FOUND", ["id"])


def test_a_stale_version_of_a_sync_is_a_conflict(hub: Hub) -> None:
    stage = Stage(hub, 1)
    version = hub.ask("query($k: String!) { sync(key: $k) { version } }", k=stage.name)["sync"]["version"]
    assert hub.update("sync", stage.name, schedule="manual", ifVersion=version + 7)["errors"][0]["code"] == "CONFLICT"
