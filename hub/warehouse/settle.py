"""Folding a run's outcomes into what is known to be delivered, in one set operation.

`delivered` has one row for every key that the vendor may hold, or has refused, per sync and audience:

- `present`: acknowledged there, with the payload of `fingerprint`; `possible`: an operation went unanswered;
- `rejected`: never taken; `suppressed`: the vendor's own word; `absent`: removed, but see `late_until`.

Whatever may be there has a `fingerprint`. `refused` is the payload that the vendor refused last, `attempts` how often
in a row it refused the person, and `retry_at` from when that very payload may be tried again: with a payload `refused`
and no `retry_at` the person is quarantined. Until `late_until` an unanswered operation (`late_op`: add,
remove or any) may still land; `again` is the operation to repeat once it has passed, because it was acknowledged while
the contrary was still under way (law L7).

None of that is about people in a job of the vendor's that is still open, before the vendor has said what became of it:
until `job_until` one of the ordinary run's may take effect (`job_op`, with `job_fingerprint`), until `leaving_until`
one of the run beside it that removes withdrawn people. So the word on a job ends what is doubted because of it, and
nothing else. How a row is to be read meanwhile says `standing`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from hub.again import tried_again
from hub.core.clock import naive
from hub.core.planning import PlanRequest, Swap
from hub.core.records import RunCounts
from hub.core.scopes import Scope
from hub.warehouse.engine import Engine, Reader, Transaction
from hub.warehouse.fold import Audience, fold
from hub.warehouse.outcomes import progress
from hub.warehouse.plan import TEXT_AS_IS
from hub.warehouse.resume import leave_jobs
from hub.warehouse.standing import VIEW
from hub.warehouse.swap import leave_out

DDL = (
    f"CREATE TABLE delivered (sync BIGINT NOT NULL, audience VARCHAR NOT NULL, key {TEXT_AS_IS} NOT NULL, "
    f"pid BIGINT NOT NULL, external_id {TEXT_AS_IS} NOT NULL, fingerprint {TEXT_AS_IS}, refused VARCHAR, "
    "state VARCHAR NOT NULL, "
    'reason VARCHAR, attempts INTEGER NOT NULL, "at" TIMESTAMP NOT NULL, run BIGINT NOT NULL, late_until TIMESTAMP, '
    "late_op VARCHAR, again VARCHAR, retry_at TIMESTAMP, job_op VARCHAR, job_fingerprint VARCHAR, "
    "job_until TIMESTAMP, leaving_until TIMESTAMP)",
    VIEW,
)


class Repeat(NamedTuple):
    """A sync with someone whose operation must be repeated at this instant (aware)."""

    sync: int
    audience: str
    at: datetime


@tried_again
def settle(
    engine: Engine, request: PlanRequest, *, now: datetime, in_flight_s: float, swap: Swap | None = None
) -> RunCounts:
    """Take the run's outcomes into `delivered`, for good; each is taken in once, so a repeat changes nothing.

    `in_flight_s` is how long an unanswered request may still take effect. Planned people without an outcome were never
    sent. With `swap`, whoever was not in the run's snapshot is no longer there.
    """
    with engine.write() as tx:
        leave_jobs(tx, request.run, naive(now))
        if head := _fold_news(tx, request, naive(now), in_flight_s):
            audience, scope = head
            if swap:
                leave_out(tx, request.run, request.sync, audience, naive(now), swap)
            _end(tx, request, audience, scope, naive(now))
        return progress(tx, request.run)


@tried_again
def fold_so_far(engine: Engine, request: PlanRequest, *, now: datetime, in_flight_s: float) -> None:
    """Take in what a run has reached so far, so that another plan of the same sync sees it."""
    with engine.write() as tx:
        _fold_news(tx, request, naive(now), in_flight_s)


def _fold_news(tx: Transaction, request: PlanRequest, now: datetime, in_flight_s: float) -> tuple[str, Scope] | None:
    """The audience and the scope of a run that has not been settled yet."""
    heads = tx.rows("SELECT audience, scope, settled_at FROM plans WHERE run = $run", {"run": request.run})
    if not heads or heads[0][2] is not None:
        return None
    audience, scope = heads[0][:2]
    fold(tx, Audience(request.sync, audience), now, in_flight_s)
    return audience, Scope(scope)


def repeats(reader: Reader) -> list[Repeat]:
    """The next instant at which each sync has an operation to repeat, earliest first: a run is due then."""
    due = (
        "SELECT sync, audience, min(late_until) AS due FROM standing WHERE again IS NOT NULL "
        "GROUP BY sync, audience ORDER BY due"
    )
    return [Repeat(sync, audience, at.replace(tzinfo=UTC)) for sync, audience, at in reader.rows(due)]


def audiences(reader: Reader, sync: int, *, removable_at: datetime | None = None) -> dict[str, int]:
    """How many keys each audience of a sync may hold; one that the sync has left stays here until it is emptied.

    With `removable_at` only those whom a plan of that instant (aware) would remove.
    """
    held = "SELECT audience, count(*) FROM standing WHERE sync = $sync AND fingerprint IS NOT NULL"
    asked: dict[str, Any] = {"sync": sync}
    if removable_at:
        held += " AND NOT (coalesce(again, '') = 'remove' AND late_until > $now)"
        asked["now"] = naive(removable_at)
    return dict(reader.rows(f"{held} GROUP BY audience", asked))


def _end(tx: Transaction, request: PlanRequest, audience: str, scope: Scope, now: datetime) -> None:
    whose = {"sync": request.sync, "audience": audience}
    which = "WHERE sync = $sync AND audience = $audience"
    tx.execute(
        f"DELETE FROM delivered {which} AND state = 'absent' AND late_until <= $now "
        "AND coalesce(job_until, leaving_until) IS NULL",
        {**whose, "now": now},
    )
    if scope.whole and tx.rows(f"SELECT 1 FROM delivered {which} AND state = 'rejected' LIMIT 1", whose):
        # Someone who left without ever being taken is nobody there: nothing about them needs to be kept.
        tx.execute(
            f"DELETE FROM delivered {which} AND state = 'rejected' AND NOT EXISTS "
            "(SELECT 1 FROM plan p WHERE p.run = $run AND p.key = delivered.key AND p.op <> 'remove')",
            {**whose, "run": request.run},
        )
    tx.execute("UPDATE plans SET settled_at = $now WHERE run = $run", {"now": now, "run": request.run})
