"""What every attempt led to, for each planned person: an append-only log, and a run's counts drawn from it.

`seq` rises with every line; of several lines about one position the last one counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from hub.core.clock import naive
from hub.core.delivery.messages import Verdict
from hub.core.delivery.rows import Rows, Stretch
from hub.core.planning import Fate, Op, count
from hub.core.records import RunCounts, WithheldReason
from hub.warehouse.engine import Engine, Reader
from hub.warehouse.plan import TEXT_AS_IS, plan_summary
from hub.warehouse.schema import take_numbers

DDL = (
    "INSERT INTO meta VALUES ('next_outcome', '1')",
    'CREATE TABLE outcomes (run BIGINT NOT NULL, "position" BIGINT NOT NULL, pid BIGINT NOT NULL, '
    f"key {TEXT_AS_IS} NOT NULL, op VARCHAR NOT NULL, attempt INTEGER NOT NULL, kind VARCHAR NOT NULL, "
    'reason VARCHAR NOT NULL, "at" TIMESTAMP NOT NULL, ledger_seq BIGINT NOT NULL, '
    f"fingerprint {TEXT_AS_IS} NOT NULL, "
    "seq BIGINT NOT NULL)",
)

# What a line says of one person; the rest it has in common with its neighbours.
LOGGED = ["position", "pid", "key", "op", "fingerprint"]
_KINDS = [pa.int64(), pa.int64(), pa.string(), pa.string(), pa.string()]
_LINES = pa.schema(zip(LOGGED, _KINDS, strict=True))

LATEST = """
latest AS (
  SELECT o."position", max(o.seq) AS seq FROM outcomes o WHERE o.run = $run GROUP BY o."position")
"""


def append_outcomes(engine: Engine, run: int, verdicts: Sequence[Verdict], at: datetime) -> None:
    """Log what became known at this instant (aware) as one durable commit, in the order given."""
    count = sum(len(verdict.rows) for verdict in verdicts)
    if not count:
        return
    with engine.write() as tx:
        first = take_numbers(tx, "next_outcome", count)
        lines = pa.concat_tables(_lines(run, verdict, at) for verdict in verdicts)
        tx.append("outcomes", lines.append_column("seq", pa.array(range(first, first + count), pa.int64())))


def progress(reader: Reader, run: int) -> RunCounts:
    """The run's counts so far (law L5); all zero before there is a plan."""
    rows = reader.rows(
        f"WITH {LATEST} SELECT o.op, o.kind, count(*) FROM latest l JOIN outcomes o ON o.seq = l.seq "
        "WHERE o.run = $run GROUP BY o.op, o.kind",
        {"run": run},
    )
    return count(plan_summary(reader, run), {(Op(op), Fate(kind)): counted for op, kind, counted in rows})


def withheld(reader: Reader, run: int) -> dict[WithheldReason, int]:
    """The withheld of a run by reason: at the plan, by the gate since, and those whom the vendor suppresses."""
    found = dict(plan_summary(reader, run).withheld)
    rows = reader.rows(
        f"WITH {LATEST} SELECT CASE WHEN o.kind = 'suppressed' THEN 'SUPPRESSED' ELSE o.reason END AS why, count(*) "
        "FROM latest l JOIN outcomes o ON o.seq = l.seq "
        "WHERE o.run = $run AND o.kind IN ('withheld', 'suppressed') AND o.op <> 'remove' GROUP BY why",
        {"run": run},
    )
    for why, counted in rows:
        reason = WithheldReason(why or WithheldReason.NO_CONSENT)
        found[reason] = found.get(reason, 0) + counted
    return found


def _lines(run: int, verdict: Verdict, at: datetime) -> pa.Table:
    alike = {"attempt": verdict.attempt, "kind": verdict.fate.value, "reason": verdict.reason, "at": naive(at)}
    lines, count = _people(verdict.rows), len(verdict.rows)
    for name, value in {"run": run, **alike, "ledger_seq": verdict.ledger_seq}.items():
        lines = lines.append_column(name, pa.repeat(value, count))
    return lines


def _people(rows: Rows) -> pa.Table:
    if isinstance(rows, Stretch):
        return rows.reading.lines.slice(rows.start, len(rows))
    columns = zip(*((row.position, row.pid, row.key, row.op, row.fingerprint) for row in rows), strict=True)
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, _KINDS, strict=True)], schema=_LINES)
