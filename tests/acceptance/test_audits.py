"""Audits and full runs against a running hub: another destination on the same account changes the audience unseen."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.process import Hub, until

_numbers = itertools.count(1)
AUDIT = """mutation($key: String!, $repair: Boolean) { syncAudit(key: $key, repair: $repair) {
  run { id scope } errors { code message path } } }"""
FULL = "mutation($key: String!) { syncRun(key: $key, full: true) { run { id scope } errors { code message } } }"
FOUND = """query($key: String!) { sync(key: $key) { delivered lastRun { status } lastAudit {
  at members expected missing strangers unwanted confirmed refuted unknownToUs steady errors { code }
  run { id scope status } missingOnes: people(kind: MISSING, first: 1) { totalCount nodes { externalId } }
  strangerOnes: people(kind: STRANGER) { nodes { externalId } } } } }"""
RUN = "query($id: ID!) { run(id: $id) { status counts { added removed unchanged } timeline { kind people } } }"


@pytest.fixture(autouse=True)
def _nothing_left(hub: Hub) -> Iterator[None]:
    yield
    hub.forget_syncs()


class Stage:
    """Two syncs that fill the audience of the same name in one pretend account, each unseen by the other."""

    def __init__(self, hub: Hub) -> None:
        self.hub, self.name = hub, f"audited{next(_numbers)}"
        self.ours = [f"{self.name}-{n}" for n in range(4)]
        self.theirs = [f"{self.name}-x{n}" for n in range(2)]
        if "audits" not in {one["key"] for one in hub.ask("{ purposes { key } }")["purposes"]}:
            hub.create("purpose", key="audits", name="Audits")
        for side, ids in (("a", self.ours), ("b", [*self.theirs, self.ours[0]])):
            hub.people([{"id": one, f"{self.name}_{side}": True} for one in ids])
            hub.grant("audits", *ids)
            hub.create("segment", key=f"{self.name}-{side}", rule=f"{self.name}_{side}")
            hub.create("destination", key=f"{self.name}-{side}", connector="sandbox", config={"account": self.name})
            key = f"{self.name}-{side}"
            hub.create(
                "sync", key=key, segment=key, destination=key, audience="vip", purposes=["audits"], maxRemovalShare=1
            )
            hub.run(key)
        self.key = f"{self.name}-a"

    def audit(self, **asked: Any) -> dict[str, Any]:
        begun = self.hub.ask(AUDIT, key=self.key, **asked)["syncAudit"]
        assert not begun["errors"]
        until(lambda: self.run(begun["run"]["id"])["status"] in {"SUCCEEDED", "FAILED"})
        return self.found()

    def found(self) -> dict[str, Any]:
        found: dict[str, Any] = self.hub.ask(FOUND, key=self.key)["sync"]["lastAudit"]
        return found

    def run(self, id: str) -> dict[str, Any]:
        run: dict[str, Any] = self.hub.ask(RUN, id=id)["run"]
        return run


def figures(found: dict[str, Any]) -> tuple[Any, ...]:
    names = ("members", "expected", "missing", "strangers", "unwanted", "unknownToUs")
    return tuple(found[name] for name in names)


def test_an_audit_tells_what_has_drifted_and_a_repair_puts_it_right(hub: Hub) -> None:
    stage = Stage(hub)
    assert hub.ask(FOUND, key=stage.key)["sync"]["lastAudit"] is None
    found = stage.audit()
    assert figures(found) == (6, 4, 0, 2, 2, 0) and found["steady"] and found["at"] and not found["errors"]
    assert {one["externalId"] for one in found["strangerOnes"]["nodes"]} == set(stage.theirs)
    stage.audit(repair=True)
    until(lambda: figures(stage.audit()) == (4, 4, 0, 0, 0, 0))


def test_a_full_run_over_graphql_finds_what_is_missing_and_sends_everybody_again(hub: Hub) -> None:
    stage = Stage(hub)
    delete = "mutation($key: String!) { syncDelete(key: $key, empty: true) { errors { code } } }"
    assert not hub.ask(delete, key=f"{stage.name}-b")["syncDelete"]["errors"]
    until(lambda: hub.ask("query($key: String!) { sync(key: $key) { key } }", key=f"{stage.name}-b")["sync"] is None)
    found = stage.audit()
    assert figures(found) == (3, 4, 1, 0, 0, 0)
    assert [one["externalId"] for one in found["missingOnes"]["nodes"]] == [stage.ours[0]]
    begun = hub.ask(FULL, key=stage.key)["syncRun"]["run"]
    assert begun["scope"] == "FULL"
    until(lambda: stage.run(begun["id"])["status"] == "SUCCEEDED")
    full = stage.run(begun["id"])
    assert (full["counts"]["added"], full["counts"]["unchanged"]) == (1, 3)
    assert "AUDITED" in {moment["kind"] for moment in full["timeline"]}
    assert stage.found()["run"]["id"] == begun["id"]
    assert figures(stage.audit()) == (4, 4, 0, 0, 0, 0)


def test_an_audit_of_somebody_who_cannot_say_is_refused(hub: Hub) -> None:
    stage = Stage(hub)
    key = f"{stage.name}-file"
    hub.create("destination", key=key, connector="file", config={})
    hub.create("sync", key=key, segment=stage.key, destination=key, audience=key, purposes=["audits"])
    [error] = hub.ask(AUDIT, key=key)["syncAudit"]["errors"]
    assert (error["code"], error["path"]) == ("UNSUPPORTED", ["key"]) and "full: true" in error["message"]
