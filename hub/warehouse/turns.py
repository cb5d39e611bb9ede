"""Whose turn it is to write to a server, by advisory locks: one writer has all of it, or several have a sync each.

Whoever writes for a run says under which claim in the name of its connection, before it waits: so the heir of a run can
tell whether the one it waits for has lost it.
"""

from __future__ import annotations

import re

from hub.warehouse.engine import Claimed

# Any number will do, as long as every hub uses it: "hub" in ASCII, beside the schema's own hash.
WRITER = 0x687562
ALL = f"SELECT pg_advisory_xact_lock({WRITER}, hashtext(current_schema()))"
# So long the server waits in the middle of a run's writing for a worker to go on. One that was put to sleep would keep
# its turn, and whoever takes its run over would wait for that. A COPY does not count as such: see `sleepers`.
ASLEEP_MS = 10_000
# In this order, always: whoever waits for a sync has its share of the turn already, so that nobody waits in a circle.
ONE_SYNC = f"""
SET LOCAL idle_in_transaction_session_timeout = {{asleep:d}};
SELECT pg_advisory_xact_lock_shared({WRITER}, hashtext(current_schema()));
SELECT pg_advisory_xact_lock({WRITER + 1}, hashtext(current_schema() || ' {{sync:d}}'))"""
NAMED = "SET LOCAL application_name = 'hub run {run:d} fence {fence:d}';"
NAME = re.compile(r"hub run (\d+) fence (\d+)")


def asking(sync: int | None, under: Claimed | None) -> bytes:
    """The statements that wait for the turn, in one message, since a run writes after every few requests."""
    named = NAMED.format(**under._asdict()) if under else ""
    return (named + (ALL if sync is None else ONE_SYNC.format(sync=sync, asleep=ASLEEP_MS))).encode()


def claimed_by(name: str) -> Claimed | None:
    """The claim in the name of a writer's connection."""
    found = NAME.fullmatch(name)
    return Claimed(int(found[1]), int(found[2])) if found else None
