"""The generated shop: people, five events each, consents, and the one per cent that changes; the same every time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

NOW = np.datetime64("2026-06-30T00:00:00", "s")
AS_OF = "2026-06-30T00:00:00Z"
DAY = 86_400
EVENTS_EACH = 5

# The hub's rule beside the SQL that someone would write by hand for it.
RULES = {
    "traits": (
        'country in ("DE", "AT") and age between 25 and 54',
        "SELECT id FROM profiles WHERE country IN ('DE', 'AT') AND age BETWEEN 25 AND 54",
    ),
    "count": (
        "count(purchase, last 90 days) >= 2",
        """SELECT profile_id AS id FROM events WHERE name = 'purchase' AND ts > $now - INTERVAL 90 DAY AND ts <= $now
           GROUP BY 1 HAVING count(*) >= 2""",
    ),
    "sum": (
        "sum(purchase.value, last 180 days) > 120",
        """SELECT profile_id AS id FROM events WHERE name = 'purchase' AND ts > $now - INTERVAL 180 DAY AND ts <= $now
           GROUP BY 1 HAVING sum(value) > 120""",
    ),
    "viewed": (
        'did(product_view where category = "shoes" and value > 20, last 60 days) and not did(purchase, last 30 days)',
        """SELECT DISTINCT profile_id AS id FROM events WHERE name = 'product_view' AND category = 'shoes'
             AND value > 20 AND ts > $now - INTERVAL 60 DAY AND ts <= $now AND profile_id NOT IN (
               SELECT profile_id FROM events WHERE name = 'purchase' AND ts > $now - INTERVAL 30 DAY AND ts <= $now)""",
    ),
    "audience": (
        'plan != "free" and did(any event, last 120 days) or ltv >= 185',
        """SELECT id FROM profiles WHERE plan <> 'free' AND id IN (SELECT profile_id FROM events
             WHERE ts > $now - INTERVAL 120 DAY AND ts <= $now) OR ltv >= 185""",
    ),
}
AUDIENCE = "audience"
FIELDS = {"email": "email", "plan": "plan", "ltv": "ltv"}


@dataclass(frozen=True, slots=True)
class Workload:
    people: int
    profiles: Path
    events: Path
    consents: Path
    changed: Path


def make_workload(people: int, folder: Path) -> Workload:
    """Write the four CSV files, unless they are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    workload = Workload(people, *(folder / f"{kind}.csv" for kind in ("profiles", "events", "consents", "changed")))
    if not workload.changed.exists():
        profiles = draw_profiles(people)
        write(profiles, workload.profiles)
        write(draw_events(people), workload.events)
        write(draw_consents(people), workload.consents)
        write(change_some(profiles), workload.changed)
    return workload


def draw_profiles(people: int) -> pa.Table:
    random = np.random.default_rng(1)
    ids = np.arange(people)
    return pa.table(
        {
            "id": [f"p{i}" for i in ids],
            "email": [f"person{i}@example.com" for i in ids],
            "country": random.choice(["DE", "AT", "CH", "FR", "US"], people),
            "plan": random.choice(["free", "basic", "pro"], people, p=[0.5, 0.3, 0.2]),
            "age": random.integers(18, 80, people),
            "ltv": random.gamma(2.0, 30.0, people).round(2),
            "signed_up_at": NOW - random.integers(0, 900 * DAY, people).astype("timedelta64[s]"),
        }
    )


def draw_events(people: int) -> pa.Table:
    random = np.random.default_rng(2)
    count = people * EVENTS_EACH
    return pa.table(
        {
            "profile_id": pa.array([f"p{i}" for i in random.integers(0, people, count)]),
            "ts": NOW - random.integers(0, 365 * DAY, count).astype("timedelta64[s]"),
            "name": random.choice(["purchase", "product_view", "email_opened"], count, p=[0.3, 0.5, 0.2]),
            "value": random.gamma(2.0, 30.0, count).round(2),
            "category": random.choice(["shoes", "shirts", "hats"], count),
        }
    )


def draw_consents(people: int) -> pa.Table:
    every = np.full
    return pa.table(
        {
            "id": [f"p{i}" for i in range(people)],
            "purpose": every(people, "news"),
            "action": every(people, "grant"),
            "source": every(people, "signup"),
            "effective_at": every(people, "2026-01-01T00:00:00Z"),
        }
    )


def change_some(profiles: pa.Table) -> pa.Table:
    """One per cent of the people with a new plan and a new value."""
    chosen = profiles.take(np.arange(0, len(profiles), 100))
    random = np.random.default_rng(3)
    plans = pa.array(random.choice(["free", "basic", "pro"], len(chosen)))
    chosen = chosen.set_column(chosen.column_names.index("plan"), "plan", plans)
    return chosen.set_column(
        chosen.column_names.index("ltv"), "ltv", pa.array(random.gamma(2.0, 30.0, len(chosen)).round(2))
    )


def write(table: pa.Table, path: Path) -> None:
    partial = path.with_suffix(".partial")
    pyarrow.csv.write_csv(table, partial)
    partial.rename(path)
