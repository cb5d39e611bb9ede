"""A receiver of one's own tells the hub who unsubscribed: over HTTP, as any library of Standard Webhooks would."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from tests.acceptance.process import Hub, until
from tests.acceptance.sink import Sink

THEIRS = "whsec_" + base64.b64encode(bytes(range(40, 72))).decode()
FORGED = "whsec_" + base64.b64encode(bytes(range(50, 82))).decode()


@pytest.fixture(autouse=True)
def _nothing_left(hub: Hub) -> Iterator[None]:
    yield
    hub.forget_syncs()


@pytest.fixture(scope="module", autouse=True)
def _shop(hub: Hub, sink: Sink) -> None:
    for purpose in ("mail", "offers"):
        hub.create("purpose", key=purpose)
    hub.create("destination", key="shop", connector="webhook", config={**sink.config, "feedback_secret": THEIRS})


def staged(hub: Hub, name: str) -> list[str]:
    ids = [f"{name}-{n}" for n in range(3)]
    hub.people([{"id": one, "team": name, "email": f"{one}@example.com"} for one in ids])
    hub.grant("mail", *ids)
    hub.create("segment", key=name, rule=f'team = "{name}"')
    hub.create("sync", key=name, segment=name, destination="shop", audience=name, purposes=["mail"])
    hub.run(name)
    return ids


def post(hub: Hub, path: str, body: str = "{}", headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.post(f"{hub.url}{path}", content=body, headers=headers, trust_env=False)


def tell(hub: Hub, number: str, secret: str = THEIRS, **told: Any) -> httpx.Response:
    now = datetime.now(UTC)
    body = json.dumps({"type": "unsubscribed", **told})
    headers = {"webhook-id": number, "webhook-timestamp": str(int(now.timestamp()))}
    headers["webhook-signature"] = Webhook(secret).sign(number, now, body)
    return post(hub, "/hooks/shop", body, headers)


def consent_of(hub: Hub, person: str) -> dict[str, Any]:
    found = hub.profile(person, "consents { purpose state source history { action source } }")
    assert found
    return next(one for one in found["consents"] if one["purpose"] == "mail")


def test_whoever_unsubscribes_there_is_removed_there_and_withheld(hub: Hub, sink: Sink) -> None:
    ids = staged(hub, "leaving")
    assert sink.held("leaving") == set(ids)
    answer = tell(hub, "msg-leaving", email=f"{ids[0].upper()}@example.com")
    assert (answer.status_code, answer.json()) == (200, {"accepted": 1})
    until(lambda: sink.held("leaving") == set(ids[1:]))
    found = consent_of(hub, ids[0])
    assert (found["state"], found["source"]) == ("WITHDRAWN", "webhook:unsubscribed")
    run = hub.run("leaving")
    assert run["withheld"] == [{"reason": "NO_CONSENT", "count": 1}]
    assert sink.held("leaving") == set(ids[1:])


def test_a_replay_does_nothing_and_a_grant_recorded_afterwards_stands(hub: Hub, sink: Sink) -> None:
    ids = staged(hub, "returning")
    before = (datetime.now(UTC) - timedelta(minutes=2)).isoformat()
    for _ in range(3):
        assert tell(hub, "msg-returning", id=ids[0], at=before).json() == {"accepted": 1}
    until(lambda: sink.held("returning") == set(ids[1:]))
    assert [one["action"] for one in consent_of(hub, ids[0])["history"]] == ["WITHDRAW", "GRANT"]
    hub.consent(externalId=ids[0], purpose="mail", action="GRANT", effectiveAt=datetime.now(UTC).isoformat())
    assert tell(hub, "msg-returning", id=ids[0], at=before).json() == {"accepted": 1}
    assert consent_of(hub, ids[0])["state"] == "GRANTED"
    hub.run("returning")
    assert sink.held("returning") == set(ids)


def test_a_forged_request_is_refused_and_nobody_is_taken_out(hub: Hub, sink: Sink) -> None:
    ids = staged(hub, "forged")
    assert tell(hub, "msg-forged", FORGED, id=ids[0]).status_code == 401
    assert post(hub, "/hooks/shop").status_code == 401
    assert post(hub, "/hooks/nowhere").status_code == 404
    assert [one["action"] for one in consent_of(hub, ids[0])["history"]] == ["GRANT"]
    assert sink.held("forged") == set(ids)
