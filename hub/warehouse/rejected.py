"""Whom a sync's destination refuses: who they are, why, when they are tried again, and how the quarantined get out.

Every function blocks. Lists go by `pid`, as in `views`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hub.again import tried_again
from hub.core.clock import aware, naive
from hub.warehouse.engine import Engine, Reader
from hub.warehouse.views import Person, profiles_by_pid


@dataclass(frozen=True, slots=True)
class RejectedPerson:
    """`refusals` in a row, the last one at `refused_at` for `reason`; without a `retry_at` they are quarantined.
    `person` is None once the profile is gone."""

    pid: int
    reason: str
    refusals: int
    refused_at: datetime
    retry_at: datetime | None
    person: Person | None


def rejected(
    reader: Reader, sync: int, audience: str, quarantined: bool | None, after: int | None, limit: int
) -> list[RejectedPerson]:
    """Everyone whom the vendor refused last; with `quarantined` only those who are, or only those who are not."""
    page = "AND pid > $after ORDER BY pid LIMIT $limit"
    asked = {"sync": sync, "audience": audience, "after": -1 if after is None else after, "limit": limit}
    rows = reader.rows(f'SELECT pid, reason, attempts, "at", retry_at {_WHICH[quarantined]} {page}', asked)
    people = profiles_by_pid(reader, [pid for pid, *_ in rows])
    return [
        RejectedPerson(pid, reason, attempts, at.replace(tzinfo=UTC), aware(retry_at), people.get(pid))
        for pid, reason, attempts, at, retry_at in rows
    ]


def count_rejected(reader: Reader, sync: int, audience: str, quarantined: bool | None) -> int:
    asked = {"sync": sync, "audience": audience}
    return int(reader.rows(f"SELECT count(*) {_WHICH[quarantined]}", asked)[0][0])


@tried_again
def release(engine: Engine, sync: int, audience: str, now: datetime, external_id: str | None = None) -> int:
    """Let everyone out of quarantine, or this one: tried again at the next run, with all their tries before them.
    Returns how many were let out."""
    asked: dict[str, Any] = {"sync": sync, "audience": audience, "now": naive(now)}
    whom = ""
    if external_id is not None:
        whom, asked["external_id"] = "AND external_id = $external_id", external_id
    with engine.write() as tx:
        return tx.execute(f"{_RELEASE} {whom}", asked)


# A person may have been refused under an older address as well: the newest word counts.
_REFUSED = """
FROM (
  SELECT pid, coalesce(reason, '') AS reason, attempts, "at", retry_at,
    row_number() OVER (PARTITION BY pid ORDER BY "at" DESC, key) AS nth
  FROM delivered
  WHERE sync = $sync AND audience = $audience AND refused IS NOT NULL AND state <> 'suppressed') r
WHERE nth = 1"""
_WHICH = {
    None: _REFUSED,
    True: f"{_REFUSED} AND retry_at IS NULL",
    False: f"{_REFUSED} AND retry_at IS NOT NULL",
}

_RELEASE = """
UPDATE delivered SET attempts = 0, retry_at = $now
WHERE sync = $sync AND audience = $audience AND refused IS NOT NULL AND retry_at IS NULL AND state <> 'suppressed'"""
