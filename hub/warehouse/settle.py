"""Folding a run's outcomes into what is known to be delivered, in one set operation.

`delivered` has one row for every key that the vendor may hold, or has refused, per sync and audience:

- `present`: acknowledged there, with the payload of `fingerprint`; `possible`: an operation went unanswered;
- `rejected`: never taken; `suppressed`: the vendor's own word; `absent`: removed, but see `late_until`.

Whatever may be there has a `fingerprint`. `refused` is the payload that the vendor refused last, `attempts` how often
in a row it refused the person, and `retry_at` from when that very payload may be tried again: with a payload `refused`
and no `retry_at` the person is quarantined. Until `late_until` an
unanswered operation (`late_op`: add, remove or any) may still land, or a job of the vendor's take effect; `again` is
the operation to repeat once it has passed, because it was acknowledged while the contrary was still under way (law L7).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hub.core.clock import naive
from hub.core.planning import RESTS, PlanRequest, Swap
from hub.core.records import RunCounts, Scope
from hub.warehouse.engine import Engine, Reader, Transaction
from hub.warehouse.outcomes import WORDS, progress
from hub.warehouse.plan import TEXT_AS_IS
from hub.warehouse.swap import leave_out

DDL = (
    f"CREATE TABLE delivered (sync BIGINT NOT NULL, audience VARCHAR NOT NULL, key {TEXT_AS_IS} NOT NULL, "
    f"pid BIGINT NOT NULL, external_id {TEXT_AS_IS} NOT NULL, fingerprint {TEXT_AS_IS}, refused VARCHAR, "
    "state VARCHAR NOT NULL, "
    'reason VARCHAR, attempts INTEGER NOT NULL, "at" TIMESTAMP NOT NULL, run BIGINT NOT NULL, late_until TIMESTAMP, '
    "late_op VARCHAR, again VARCHAR, retry_at TIMESTAMP)",
)


class Repeat(NamedTuple):
    """A sync with someone whose operation must be repeated at this instant (aware)."""

    sync: int
    audience: str
    at: datetime


def settle(
    engine: Engine, request: PlanRequest, *, now: datetime, in_flight_s: float, swap: Swap | None = None
) -> RunCounts:
    """Take the run's outcomes into `delivered`, for good; each is taken in once, so a repeat changes nothing.

    `in_flight_s` is how long an unanswered request may still take effect. Planned people without an outcome were never
    sent. With `swap`, whoever was not in the run's snapshot is no longer there.
    """
    with engine.write() as tx:
        if head := _fold_news(tx, request, naive(now), in_flight_s):
            audience, scope = head
            if swap:
                leave_out(tx, request.run, request.sync, audience, naive(now), swap)
            _end(tx, request, audience, scope, naive(now))
        return progress(tx, request.run)


def fold_so_far(engine: Engine, request: PlanRequest, *, now: datetime, in_flight_s: float) -> None:
    """Take in what a run has reached so far, so that another plan of the same sync sees it."""
    with engine.write() as tx:
        _fold_news(tx, request, naive(now), in_flight_s)


def _fold_news(tx: Transaction, request: PlanRequest, now: datetime, in_flight_s: float) -> tuple[str, Scope] | None:
    """The audience and the scope of a run that has not been settled yet."""
    heads = tx.rows("SELECT audience, scope, folded, settled_at FROM plans WHERE run = $run", {"run": request.run})
    if not heads or heads[0][3] is not None:
        return None
    audience, scope, folded, _ = heads[0]
    _fold(tx, request, audience, folded, now, in_flight_s)
    return audience, Scope(scope)


def repeats(reader: Reader) -> list[Repeat]:
    """The next instant at which each sync has an operation to repeat, earliest first: a run is due then."""
    due = (
        "SELECT sync, audience, min(late_until) AS due FROM delivered WHERE again IS NOT NULL "
        "GROUP BY sync, audience ORDER BY due"
    )
    return [Repeat(sync, audience, at.replace(tzinfo=UTC)) for sync, audience, at in reader.rows(due)]


def audiences(reader: Reader, sync: int, *, removable_at: datetime | None = None) -> dict[str, int]:
    """How many keys each audience of a sync may hold; one that the sync has left stays here until it is emptied.

    With `removable_at` only those whom a plan of that instant (aware) would remove.
    """
    held = "SELECT audience, count(*) FROM delivered WHERE sync = $sync AND fingerprint IS NOT NULL"
    asked: dict[str, Any] = {"sync": sync}
    if removable_at:
        held += " AND NOT (coalesce(again, '') = 'remove' AND late_until > $now)"
        asked["now"] = naive(removable_at)
    return dict(reader.rows(f"{held} GROUP BY audience", asked))


def _fold(tx: Transaction, request: PlanRequest, audience: str, folded: int, now: datetime, in_flight_s: float) -> None:
    upto, singly = _news(tx, request.run, folded)
    if upto is None:
        return
    whose = {"sync": request.sync, "audience": audience}
    params: dict[str, Any] = {**whose, "run": request.run, "folded": folded, "now": now}
    # Where nobody has a line of their own, all were accepted at the first attempt.
    told = _TOLD if singly else _TAKEN
    if singly:
        params["in_flight"] = timedelta(seconds=in_flight_s)
    if tx.rows("SELECT 1 FROM delivered WHERE sync = $sync AND audience = $audience LIMIT 1", whose):
        _renew(tx, told, whose, params)
    elif not singly:
        tx.execute(_FIRST, {name: value for name, value in params.items() if name != "now"})
    else:
        # Nobody is replaced; of a remove of someone unknown there stays only what may still land.
        tx.execute(_FOLD.format(into="delivered", told=told), params)
    tx.execute("UPDATE plans SET folded = $upto WHERE run = $run", {"upto": upto, "run": request.run})


def _news(tx: Transaction, run: int, folded: int) -> tuple[int | None, bool]:
    """The last line of the log that is not folded yet, if there is any, and whether some are about single people."""
    last = "SELECT (SELECT max(seq) FROM {} WHERE run = $run AND seq > $folded)"
    [(single,)], [(taken,)] = (
        tx.rows(last.format(log), {"run": run, "folded": folded}) for log in ("outcomes", "taken")
    )
    return max(filter(None, (single, taken)), default=None), single is not None


def _renew(tx: Transaction, told: str, whose: dict[str, Any], params: dict[str, Any]) -> None:
    tx.execute("CREATE TEMP TABLE folding AS SELECT * FROM delivered WHERE FALSE")
    tx.execute(_FOLD.format(into="folding", told=told), params)
    tx.execute(
        "DELETE FROM delivered USING folding f WHERE delivered.sync = $sync AND delivered.audience = $audience "
        "AND delivered.key = f.key",
        whose,
    )
    tx.execute("INSERT INTO delivered SELECT * FROM folding WHERE state <> 'absent' OR late_until IS NOT NULL")
    tx.execute("DROP TABLE folding")


def _end(tx: Transaction, request: PlanRequest, audience: str, scope: Scope, now: datetime) -> None:
    whose = {"sync": request.sync, "audience": audience}
    which = "WHERE sync = $sync AND audience = $audience"
    tx.execute(f"DELETE FROM delivered {which} AND state = 'absent' AND late_until <= $now", {**whose, "now": now})
    if scope.whole:
        # Someone who left without ever being taken is nobody there: nothing about them needs to be kept.
        tx.execute(
            f"DELETE FROM delivered {which} AND state = 'rejected' AND NOT EXISTS "
            "(SELECT 1 FROM plan p WHERE p.run = $run AND p.key = delivered.key AND p.op <> 'remove')",
            {**whose, "run": request.run},
        )
    tx.execute("UPDATE plans SET settled_at = $now WHERE run = $run", {"now": now, "run": request.run})


_RETRY_AT = " ".join(
    f"WHEN {before} THEN \"at\" + INTERVAL '{rest.total_seconds():.0f} seconds'" for before, rest in enumerate(RESTS)
)

# `o` is the last word about a person in this run, `u` the last attempt that went unanswered, or that is in a job of the
# vendor's with no word on what became of it.
_TOLD = f"""
WITH {WORDS},
fresh AS (
  SELECT "position", max(seq) AS seq, max(CASE WHEN kind = 'unknown' THEN seq END) AS doubt,
    min(CASE WHEN kind IN ('unknown', 'submitted') THEN fingerprint END)
      <> max(CASE WHEN kind IN ('unknown', 'submitted') THEN fingerprint END) AS mixed
  FROM words WHERE seq > $folded GROUP BY "position"),
told AS (
  SELECT p.key, p.pid, p.external_id, o.kind, nullif(o.reason, '') AS reason, o."at",
    CASE WHEN p.op = 'remove' THEN 'remove' ELSE 'add' END AS op, u.seq IS NOT NULL AS doubted,
    o.fingerprint, u.fingerprint AS doubted_fingerprint, f.mixed,
    CASE WHEN u.doubt_until > o."at" THEN u.doubt_until END AS doubt_until
  FROM fresh f JOIN words o ON o.seq = f.seq AND o."position" = f."position"
  JOIN plan p ON p.run = $run AND p."position" = f."position"
  LEFT JOIN (SELECT seq, fingerprint, greatest("at" + CAST($in_flight AS INTERVAL), late_until) AS doubt_until
    FROM outcomes WHERE run = $run AND kind IN ('unknown', 'submitted')) u
    ON u.seq = CASE WHEN o.kind = 'submitted' THEN o.seq ELSE f.doubt END),
"""

_TAKEN = """
WITH told AS (
  SELECT p.key, p.pid, p.external_id, 'accepted' AS kind, CAST(NULL AS VARCHAR) AS reason, t."at",
    CASE WHEN p.op = 'remove' THEN 'remove' ELSE 'add' END AS op, FALSE AS doubted,
    p.fingerprint, CAST(NULL AS VARCHAR) AS doubted_fingerprint, FALSE AS mixed, CAST(NULL AS TIMESTAMP) AS doubt_until
  FROM (SELECT g.place, k."at" FROM taken k, generate_series(k."position", k.upto) AS g(place)
    WHERE k.run = $run AND k.seq > $folded) t
  JOIN plan p ON p.run = $run AND p."position" = t.place),
"""

# Where nobody was known before, whoever was accepted is there, and nobody else.
_FIRST = f"""
INSERT INTO delivered (sync, audience, key, pid, external_id, fingerprint, state, attempts, "at", run)
{_TAKEN} wanted AS (SELECT * FROM told WHERE op = 'add')
SELECT $sync, $audience, key, pid, external_id, fingerprint, 'present', 0, "at", $run FROM wanted
"""

# `d` is what was known before. Only a DONE add is there for sure; a DOUBTED one may be, whatever came after it. What
# may land late is held against the instant of the word, not of the settling: it may have landed in between.
_FOLD = f"""
INSERT INTO {{into}}
{{told}}held AS (SELECT * FROM delivered WHERE sync = $sync AND audience = $audience),
events AS (
  SELECT t.*, d.key IS NOT NULL AS known, d.fingerprint AS had, d.refused AS had_refused, d.retry_at AS had_retry_at,
    d.state AS was,
    coalesce(d.attempts, 0) AS attempts, d.again AS was_again,
    CASE WHEN d.late_until > t."at" THEN d.late_until END AS held_until,
    CASE WHEN d.late_until > t."at" THEN d.late_op END AS held_op,
    CASE WHEN t.kind IN ('accepted', 'noop') THEN CASE WHEN t.op = 'add' THEN 'reached' ELSE 'gone' END
      WHEN t.doubted THEN 'doubted' WHEN t.kind IN ('rejected', 'suppressed') THEN 'refused' END AS event
  FROM told t LEFT JOIN held d ON d.key = t.key),
judged AS (
  SELECT *, greatest(held_until, doubt_until) AS until,
    CASE WHEN doubt_until IS NULL OR held_op = op THEN coalesce(held_op, CASE WHEN doubt_until IS NOT NULL THEN op END)
      WHEN held_op IS NULL THEN op ELSE 'any' END AS late,
    CASE
      WHEN op = 'add' AND kind IN ('rejected', 'suppressed')
        THEN CASE WHEN event = 'refused' AND held_op IS NOT NULL AND was_again = 'remove' THEN 'remove' END
      WHEN op = 'add' AND event IN ('reached', 'doubted') AND (held_op <> 'add' OR (held_op = 'add'
          AND (was_again IS NOT NULL
            OR had <> CASE WHEN event = 'reached' THEN fingerprint ELSE doubted_fingerprint END))
        OR (doubt_until IS NOT NULL AND (mixed OR (event = 'reached' AND doubted_fingerprint <> fingerprint))))
        THEN 'add'
      WHEN event = 'gone' AND held_op <> 'remove' THEN 'remove'
      WHEN event = 'refused' AND held_op IS NOT NULL THEN was_again END AS repeat
  FROM events WHERE event IS NOT NULL AND (op = 'add' OR known OR doubt_until > $now))
SELECT $sync, $audience, key, pid, external_id,
  CASE WHEN event = 'reached' THEN fingerprint WHEN event = 'gone' THEN CASE WHEN repeat IS NOT NULL THEN had END
    WHEN event = 'doubted' AND op = 'add' THEN doubted_fingerprint ELSE had END,
  CASE WHEN op = 'add' AND kind = 'rejected' THEN fingerprint
    WHEN event = 'refused' OR op = 'remove' THEN had_refused END,
  CASE WHEN op = 'add' AND kind = 'suppressed' THEN 'suppressed' WHEN event = 'reached' THEN 'present'
    WHEN event = 'gone' THEN CASE WHEN repeat IS NOT NULL THEN 'possible' ELSE 'absent' END
    WHEN event IN ('doubted', 'refused') AND op = 'remove' AND had IS NULL THEN coalesce(was, 'absent')
    WHEN event = 'doubted' OR (had IS NOT NULL AND op = 'add' AND was_again = 'add') THEN 'possible'
    WHEN had IS NOT NULL THEN was ELSE 'rejected' END,
  CASE WHEN event IN ('doubted', 'refused') THEN reason END,
  CASE WHEN op = 'add' AND kind = 'rejected' THEN attempts + 1 WHEN event IN ('doubted', 'refused') THEN attempts
    ELSE 0 END,
  "at", $run, CASE WHEN until > $now OR repeat IS NOT NULL THEN until END,
  CASE WHEN until > $now OR repeat IS NOT NULL THEN late END, repeat,
  CASE WHEN op = 'add' AND kind = 'rejected' THEN CASE attempts {_RETRY_AT} END
    WHEN event = 'refused' OR op = 'remove' THEN had_retry_at END
FROM judged
"""
