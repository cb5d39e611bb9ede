"""A few rows that most tests of the store begin with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from hub.core.records import ConsentAction, Sync
from hub.store import NewEntry, Store, models

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def person(name: object) -> bytes:
    return sha256(str(name).encode()).digest()[:16]


def entry(name: object, action: ConsentAction = ConsentAction.GRANT, **changes: Any) -> NewEntry:
    told = {"purpose": "marketing", "source": "form", "effective_at": NOON} | changes
    return NewEntry(subject=person(name), action=action, **told)


async def let_leases_lapse(store: Store) -> None:
    """As if every worker had been silent for long: the clock that leases go by is the database's."""
    with store._database.entered():
        await models.Run.filter(lease_owner__isnull=False).update(lease_expires_at=datetime(2000, 1, 1, tzinfo=UTC))


async def make_sync(store: Store, key: str = "vip-to-shop", **changes: Any) -> Sync:
    """A sync with a segment and a destination of its own, named after its key."""
    segment = await store.segments.create(key=f"s-{key}", name="S", rule="everyone")
    destination = await store.destinations.create(
        key=f"d-{key}", name="D", connector="sandbox", config={"list": 1}, secrets={}
    )
    given = {"audience": "VIP", "purposes": ["marketing"], "fields": {"FNAME": "first_name"}} | changes
    return await store.syncs.create(key=key, segment_id=segment.id, destination_id=destination.id, **given)
