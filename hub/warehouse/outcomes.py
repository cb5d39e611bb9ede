"""What every attempt led to, for each planned person: an append-only log, and a run's counts drawn from it.

`seq` rises with every line; of several lines about one position the last one counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from hub.core.planning import Fate, Op, PersonOutcome, count
from hub.core.records import RunCounts, WithheldReason
from hub.warehouse.decision import naive
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

# The columns of the log in the order of `PersonOutcome`.
_COLUMNS = (
    ("position", pa.int64()),
    ("pid", pa.int64()),
    ("key", pa.string()),
    ("op", pa.string()),
    ("attempt", pa.int32()),
    ("kind", pa.string()),
    ("at", pa.timestamp("us")),
    ("reason", pa.string()),
    ("ledger_seq", pa.int64()),
    ("fingerprint", pa.string()),
)

LATEST = """
latest AS (
  SELECT o."position", max(o.seq) AS seq FROM outcomes o WHERE o.run = $run GROUP BY o."position")
"""


def append_outcomes(engine: Engine, run: int, outcomes: Sequence[PersonOutcome]) -> None:
    """Log the outcomes as one durable commit, in the order given."""
    if not outcomes:
        return
    with engine.write() as tx:
        first = take_numbers(tx, "next_outcome", len(outcomes))
        tx.append("outcomes", _table(run, outcomes, first))


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


def _table(run: int, outcomes: Sequence[PersonOutcome], first: int) -> pa.Table:
    values = zip(*outcomes, strict=True)
    columns = {name: _array(column, kind) for (name, kind), column in zip(_COLUMNS, values, strict=True)}
    count = len(outcomes)
    return pa.table({"run": pa.repeat(run, count), **columns, "seq": pa.array(range(first, first + count), pa.int64())})


def _array(column: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Most columns hold one value throughout, which need not be looked at row by row."""
    if column.count(column[0]) == len(column):
        value = naive(column[0]) if pa.types.is_timestamp(kind) else column[0]
        return pa.repeat(pa.scalar(value, kind), len(column))
    return pa.array(map(naive, column) if pa.types.is_timestamp(kind) else column, kind)
