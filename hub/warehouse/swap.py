"""What a snapshot says of those who are not in it: the audience is what it holds, so they are gone.

Somebody who is there may be left out of one though they are wanted: the vendor refused their newest values, or the gate
dropped them. The ledger must not call them present after the swap, or nobody would ever add them again.
"""

from __future__ import annotations

from datetime import datetime

from hub.core.planning import Swap
from hub.warehouse.engine import Transaction
from hub.warehouse.outcomes import WORDS


def leave_out(tx: Transaction, run: int, sync: int, audience: str, now: datetime, swap: Swap) -> None:
    """Take everybody who was not in the run's snapshot for gone, or for possibly there where nobody knows whether the
    vendor has taken it, and where something unanswered may still land."""
    tx.execute(_LEFT_OUT, {"run": run, "sync": sync, "audience": audience})
    if swap is Swap.MADE:
        let_go(tx, sync, audience, now)
    tx.execute(_DOUBTED, {"sync": sync, "audience": audience})
    tx.execute("DROP TABLE left_out")


def let_go(tx: Transaction, sync: int, audience: str, now: datetime) -> None:
    """Take those in the table `left_out` for gone about whom nothing may land any more."""
    known = {"sync": sync, "audience": audience, "now": now}
    tx.execute(_UNTAKEN, known)
    tx.execute(_GONE, known)


_LEFT_OUT = f"""
CREATE TEMP TABLE left_out AS
WITH {WORDS},
sent AS (
  SELECT DISTINCT p.key FROM words w JOIN plan p ON p.run = $run AND p."position" = w."position"
  WHERE w.op <> 'remove' AND w.kind IN ('accepted', 'noop', 'unknown', 'submitted'))
SELECT d.key FROM standing d
WHERE d.sync = $sync AND d.audience = $audience AND d.fingerprint IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM sent s WHERE s.key = d.key)
"""

_ARE_LEFT_OUT = "sync = $sync AND audience = $audience AND key IN (SELECT key FROM left_out)"
_ARE_GONE = (
    f"{_ARE_LEFT_OUT} AND (late_until IS NULL OR late_until <= $now) AND coalesce(job_until, leaving_until) IS NULL"
)
_REMEMBERED = "(refused IS NOT NULL OR state = 'suppressed')"

# What the vendor refuses and suppresses is still true of whoever is gone.
_UNTAKEN = f"""
UPDATE delivered SET state = CASE WHEN state = 'suppressed' THEN state ELSE 'rejected' END, fingerprint = NULL,
  late_until = NULL, late_op = NULL, again = NULL
WHERE {_ARE_GONE} AND {_REMEMBERED}
"""

_GONE = f"DELETE FROM delivered WHERE {_ARE_GONE} AND NOT {_REMEMBERED}"

_DOUBTED = f"""
UPDATE delivered SET state = 'possible' WHERE {_ARE_LEFT_OUT} AND state = 'present'
"""
