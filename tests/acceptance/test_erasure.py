"""A person is erased over HTTP: nobody is told of them any more, vendors forget them, and so does the hub."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.process import RUN, Hub, until

ERASURE = "requestedAt finishedAt places { doneAt waitsFor destination { key } }"
ERASE = f"profile {{ externalId }} erasure {{ {ERASURE} }} runs {{ {RUN} scope }}"


@pytest.fixture(scope="module", autouse=True)
def _town(hub: Hub) -> None:
    hub.create("purpose", key="mail")
    hub.create("destination", key="box", connector="sandbox", config={"account": "box", "state_file": "box.jsonl"})
    hub.people([{"id": one, "email": f"{one}@example.com"} for one in ("ann", "bob")])
    hub.grant("mail", "ann", "bob")
    hub.create("segment", key="all", rule="everyone")
    hub.create("sync", key="all", segment="all", destination="box", audience="all", purposes=["mail"])
    assert hub.run("all")["counts"]["added"] == 2


def calls(hub: Hub) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (hub.data / "files" / "box.jsonl").read_bytes().splitlines()]


def erase(hub: Hub, person: str) -> dict[str, Any]:
    return hub.do("profileErase", "$externalId: String!", ERASE, externalId=person)


def erasure(hub: Hub, person: str) -> dict[str, Any] | None:
    asked = f"query($id: String!) {{ erasure(externalId: $id) {{ {ERASURE} }} }}"
    return hub.ask(asked, id=person)["erasure"]


def test_a_person_is_erased_everywhere_and_not_sent_when_imported_again(hub: Hub) -> None:
    hub.do("destinationPause", "$key: String!", "destination { paused }", key="box")
    begun = erase(hub, "ann")
    assert begun["errors"] == []
    assert begun["profile"] == {"externalId": "ann"}
    assert [(run["cause"], run["scope"], run["status"]) for run in begun["runs"]] == [
        ("ERASURE", "WITHDRAWN", "QUEUED")
    ]
    [place] = begun["erasure"]["places"]
    assert place["waitsFor"] == "The destination is paused: resume it."
    assert begun["erasure"]["finishedAt"] is None
    consents = hub.profile("ann", "consents { purpose state source }")
    assert consents == {"consents": [{"purpose": "mail", "state": "DENIED", "source": "erasure"}]}

    hub.do("destinationResume", "$key: String!", "destination { paused }", key="box")
    found = until(lambda: (now := erasure(hub, "ann")) and now["finishedAt"] and now)
    assert found["places"][0]["doneAt"] and found["places"][0]["waitsFor"] is None
    assert hub.profile("ann", "externalId") is None
    told = calls(hub)
    assert [call["remove"] for call in told if call.get("remove")] == [["ann"]]
    assert [call["erase"] for call in told if "erase" in call] == [["ann"]]
    assert hub.ended(begun["runs"][0]["id"])["counts"]["removed"] == 1

    hub.people([{"id": "ann", "email": "ann@example.com"}])
    run = hub.run("all")
    assert run["withheld"] == [{"reason": "NO_CONSENT", "count": 1}]
    assert not [call for call in calls(hub)[len(told) :] if call.get("add")]


def test_nobody_unknown_is_erased(hub: Hub) -> None:
    begun = erase(hub, "nobody")
    assert (begun["profile"], begun["erasure"], begun["runs"]) == (None, None, [])
    assert [(error["code"], error["path"]) for error in begun["errors"]] == [("NOT_FOUND", ["externalId"])]
    assert erasure(hub, "nobody") is None
