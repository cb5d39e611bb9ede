"""Who is in the older hubs that are kept, and what they are set up with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conftest import SECRET_KEY

HUBS = Path(__file__).with_name("hubs")
# The tests' own key: it seals nothing but these hubs.
KEY = SECRET_KEY.hex()

READERS = [f"r{n:02}" for n in range(1, 25)]
BUYERS = READERS[:3]
# One said no, one said no under an address given up since, one withdrew, one is refused, one was asked nothing.
DAN, EVE, WIM, REX, UNA, LATE = "dan", "eve", "wim", "rex", "una", "late"

PEOPLE: list[dict[str, Any]] = [
    *({"id": one, "plan": "pro", "email": f"{one}@example.com"} for one in (*READERS, DAN, EVE, WIM, REX, UNA)),
    {"id": LATE, "plan": "late", "email": f"{LATE}@example.com"},
]
PURCHASES = [{"profile_id": one, "name": "purchase", "value": 30, "id": f"e-{one}"} for one in BUYERS]

SEGMENTS = {"readers": 'plan = "pro"', "buyers": "did(purchase, last 90 days)", "late": 'plan = "late"'}
FIELDS = {"mail": "email"}
# The syncs: of a run that ended, of one that nobody answered, of one that was interrupted, of one that waits for a job.
SHOP, UNANSWERED, INTERRUPTED, WAITING = "readers-to-shop", "late-to-shop", "readers-to-crm", "buyers-to-slow"

# As often as a hub tries.
NEVER_ANSWERED = 7
CRM = {"account": "crm", "batch": 2, "concurrency": 1, "latency_ms": 20, "state_file": "crm.jsonl"}
SLOW = {"account": "slow", "state_file": "slow.jsonl", "jobs": {"running": 100_000, "deadline_s": 86_400}}
