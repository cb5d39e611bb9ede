"""What a process that died leaves behind: people whom it may have reached, and whom nothing in the log speaks for."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from hub.again import tried_again
from hub.core.clock import naive
from hub.core.delivery.jobs import Followed
from hub.core.delivery.messages import OpenJob
from hub.core.delivery.rows import Row
from hub.core.planning import Op
from hub.warehouse.engine import Engine, Reader, Transaction
from hub.warehouse.outcomes import LATEST, NEXT

NO_WORD = "The process ended before it noted an answer."
NOT_FOLLOWED = "The run ended before the job did."
NOT_FINISHED = "The destination did not take the run as a whole."


def attempts_made(reader: Reader, run: int) -> int:
    """The highest number of an attempt in the log; 0 before the first."""
    made = (
        "SELECT coalesce(max(attempt), 0) FROM (SELECT attempt FROM outcomes WHERE run = $run "
        "UNION ALL SELECT attempt FROM taken WHERE run = $run) made"
    )
    return int(reader.rows(made, {"run": run})[0][0])


def doubt_unlogged(engine: Engine, run: int, people: int, now: datetime) -> int:
    """Log as unknown whoever may have been sent without a word in the log, and return how many those are.

    Rows are begun in the order of their positions, and at most `people` of them at a time are without a line. So nobody
    beyond the `people`-th such row has been begun. Whoever is in a job has a line, and is not sent again.
    """
    return _append(
        engine,
        run,
        f"p.\"position\" <= ({_HORIZON}) AND coalesce(o.kind, '') NOT IN ({_FINAL}) AND o.job IS NULL",
        now,
        NO_WORD,
        people=people,
    )


def doubt_accepted(engine: Engine, run: int, now: datetime) -> int:
    """Log as unknown whoever the destination had taken, since it could not finish the run they belong to."""
    return _append(engine, run, "o.kind IN ('accepted', 'noop')", now, NOT_FINISHED)


def open_jobs(reader: Reader, run: int) -> list[Followed]:
    """The vendor's jobs that a process before has left, each with the people in it as they were sent."""
    lines = reader.rows(_IN_JOBS, {"run": run})
    jobs = groupby(lines, key=lambda line: (line[5], line[6], OpenJob(line[7], line[8].replace(tzinfo=UTC))))
    return [Followed(tuple(map(_as_sent, rows)), *about) for about, rows in jobs]


def _as_sent(line: tuple[Any, ...]) -> Row:
    position, pid, key, op, fingerprint, *_ = line
    return Row(position, pid, key, Op(op), fingerprint)


def leave_jobs(tx: Transaction, run: int, now: datetime) -> None:
    """Log as unknown whoever is in a job that the run has not heard the end of, since nobody will ask after it now."""
    if tx.rows("SELECT 1 FROM outcomes WHERE run = $run AND kind = 'submitted' LIMIT 1", {"run": run}):
        tx.execute(_LEAVE, {"run": run, "now": now, "reason": NOT_FOLLOWED})


def is_settled(reader: Reader, run: int) -> bool:
    """Whether the run's outcomes have been folded for good: nothing may be logged for it any more."""
    return bool(reader.rows("SELECT 1 FROM plans WHERE run = $run AND settled_at IS NOT NULL", {"run": run}))


@tried_again
def _append(engine: Engine, run: int, which: str, now: datetime, reason: str, **bounds: Any) -> int:
    with engine.write() as tx:
        values = {"run": run, "now": naive(now), "reason": reason, "attempt": attempts_made(tx, run), **bounds}
        return tx.execute(_DOUBT.format(which=which), values)


_FINAL = "'accepted', 'noop', 'rejected', 'suppressed', 'withheld'"

_IN_JOBS = f"""
WITH {LATEST}
SELECT o."position", o.pid, o.key, o.op, o.fingerprint, o.attempt, o.ledger_seq, o.job, o.late_until
FROM outcomes o JOIN latest l ON l.seq = o.seq AND l."position" = o."position"
WHERE o.run = $run AND o.kind = 'submitted' ORDER BY o.seq
"""

_LEAVE = f"""
INSERT INTO outcomes
WITH {LATEST}
SELECT $run, o."position", o.pid, o.key, o.op, o.attempt, 'unknown', CAST($reason AS VARCHAR),
  CAST($now AS TIMESTAMP), o.ledger_seq, o.fingerprint, {NEXT}, o.job, o.late_until
FROM outcomes o JOIN latest l ON l.seq = o.seq AND l."position" = o."position"
WHERE o.run = $run AND o.kind = 'submitted'
"""

_HORIZON = """
  SELECT CASE WHEN count(*) < $people THEN 9223372036854775807 ELSE max(u."position") END FROM (
    SELECT q."position" FROM plan q WHERE q.run = $run AND q."position" IS NOT NULL AND NOT EXISTS (
      SELECT 1 FROM latest x WHERE x."position" = q."position")
    ORDER BY q."position" LIMIT $people) u"""

_DOUBT = f"""
INSERT INTO outcomes
WITH {LATEST}
SELECT $run, p."position", p.pid, p.key, p.op, CAST($attempt AS INTEGER), 'unknown', CAST($reason AS VARCHAR),
  CAST($now AS TIMESTAMP), 0, '', {NEXT}, NULL, NULL
FROM plan p LEFT JOIN latest o ON o."position" = p."position"
WHERE p.run = $run AND p."position" IS NOT NULL AND {{which}}
"""
