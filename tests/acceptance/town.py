"""Five people and what they did, small enough to answer every rule by hand. The clock stands at NOON."""

from __future__ import annotations

import json
from typing import Any

from tests.acceptance.process import Hub

NOON = "2025-06-01T00:00:00Z"

PEOPLE: list[dict[str, Any]] = [
    {
        "id": "ada",
        "country": "DE",
        "plan": "pro",
        "age": 30,
        "ltv": 200,
        "email": "ada@example.com",
        "city": "East berlin",
        "tags": ["press"],
        "signed_up_at": "2025-05-20T00:00:00Z",
        "email_consent": True,
        "favourite colour": "red",
    },
    {
        "id": "ben",
        "country": "AT",
        "plan": "free",
        "age": 25,
        "ltv": 150,
        "email": "ben@other.org",
        "city": "Berlin",
        "tags": ["staff", "partner"],
        # Exactly 14 days before NOON: just outside `in last 14 days`.
        "signed_up_at": "2025-05-18T00:00:00Z",
        "email_consent": True,
        "favourite colour": 'a "b" \\ c',
    },
    {
        "id": "cem",
        "country": "CH",
        "plan": "pro",
        "age": 54,
        "ltv": 149.99,
        "city": "100%_sure",
        "tags": [],
        # At NOON itself: inside.
        "signed_up_at": "2025-06-01T00:00:00Z",
        "email_consent": False,
    },
    {
        "id": "dia",
        "plan": "pro",
        "age": 55,
        "ltv": 400,
        "email": "dia@example.com",
        "signed_up_at": "2025-06-02T00:00:00Z",
    },
    {"id": "eva", "country": "DE", "age": 24, "email": "eva@Example.com", "city": "Ulm"},
]


def _did(person: str, name: str, ts: str, **properties: Any) -> dict[str, Any]:
    return {"profile_id": person, "name": name, "ts": ts, **properties}


EVENTS = [
    _did("ada", "purchase", "2025-05-01T00:00:00Z", value=300),
    _did("ada", "purchase", "2025-04-01T00:00:00Z", value=250),
    # Exactly 90 days before NOON: just outside.
    _did("ben", "purchase", "2025-03-03T00:00:00Z", value=1000),
    _did("cem", "purchase", "2025-06-01T00:00:00Z", value=50),
    # A second after NOON: not yet.
    _did("dia", "purchase", "2025-06-01T00:00:01Z", value=900),
    _did("ada", "product_view", "2025-05-30T00:00:00Z", category="shoes", value=25),
    _did("ada", "product_view", "2025-05-29T00:00:00Z", category="hats", value=10),
    _did("ada", "product_view", "2025-05-28T00:00:00Z", category="shoes", value=20),
    # Exactly 14 days before NOON.
    _did("ada", "product_view", "2025-05-18T00:00:00Z", category="coats", value=1),
    # Exactly 7 days before NOON.
    _did("ben", "product_view", "2025-05-25T00:00:00Z", category="shoes", value=30),
    _did("ben", "product_view", "2025-05-26T00:00:00Z", value=99),
    _did("cem", "product_view", "2025-05-20T00:00:00Z", category="shoes", value=1),
    _did("cem", "product_view", "2025-05-20T00:00:00Z", category="hats", value=1),
    _did("cem", "product_view", "2025-05-20T00:00:00Z", category="bags", value=1),
    _did("dia", "product_view", "2025-05-31T00:00:00Z", category="shoes"),
    _did("eva", "product_view", "2025-01-01T00:00:00Z", category="hats", value=5),
    _did("eva", "product_view", "2025-01-02T00:00:00Z", category="bags", value=6),
    *[_did("ben", "email_sent", f"2025-05-1{n}T00:00:00Z") for n in range(4)],
    *[_did("ben", "email_opened", f"2025-05-1{n}T00:00:00Z") for n in range(2)],
    *[_did("eva", "email_sent", f"2025-04-1{n}T00:00:00Z") for n in range(2)],
    _did("eva", "email_opened", "2025-04-11T00:00:00Z"),
    _did("dia", "email_opened", "2025-04-11T00:00:00Z"),
    _did("ada", "email_sent", "2025-04-11T00:00:00Z"),
    _did("ada", "email_opened", "2025-04-11T00:00:00Z"),
    _did("eva", "Order Completed", "2025-05-31T12:00:00Z", **{"item count": 2}),
]


def populate(hub: Hub) -> None:
    hub.people(PEOPLE)
    report = hub.take_in("events", "\n".join(map(json.dumps, EVENTS)), "ndjson")
    assert report["rejected"] == 0, report
    hub.create("segment", key="vip", rule="ltv >= 150")
    hub.create("segment", key="recent_buyers", rule="did(purchase, last 90 days)")
    hub.create("segment", key="staff", rule='tags has any ("staff")')
