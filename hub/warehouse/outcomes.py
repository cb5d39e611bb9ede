"""What every attempt led to, for each planned person: an append-only log, and a run's counts drawn from it.

`outcomes` has a line for each person and attempt. `taken` has one for neighbours in the plan, from `position` to
`upto`, who were all accepted with the payload that the plan foresaw: so it goes for almost everybody. `seq` rises with
every line of either; of several about one position the last one counts.

A line that is about a job of the vendor's names it, with the instant until which it is asked after: `submitted` as soon
as the vendor has taken it in, and then what became of it. Whoever has such a line is not sent again in that run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from hub.again import tried_again
from hub.core.clock import naive
from hub.core.delivery.messages import Verdict
from hub.core.delivery.rows import Rows, Stretch
from hub.core.planning import Fate, Op, Tally, count
from hub.core.records import RunCounts, WithheldReason
from hub.warehouse.engine import Engine, Reader, Transaction
from hub.warehouse.plan import TEXT_AS_IS, plan_summary

NEXT = "nextval('outcome_numbers')"

DDL = (
    # Beyond any number that the counter of older hubs gave out.
    "CREATE SEQUENCE outcome_numbers START 1000000000000",
    'CREATE TABLE outcomes (run BIGINT NOT NULL, "position" BIGINT NOT NULL, pid BIGINT NOT NULL, '
    f"key {TEXT_AS_IS} NOT NULL, op VARCHAR NOT NULL, attempt INTEGER NOT NULL, kind VARCHAR NOT NULL, "
    'reason VARCHAR NOT NULL, "at" TIMESTAMP NOT NULL, ledger_seq BIGINT NOT NULL, '
    f"fingerprint {TEXT_AS_IS} NOT NULL, "
    "seq BIGINT NOT NULL, job VARCHAR, late_until TIMESTAMP)",
    'CREATE TABLE taken (run BIGINT NOT NULL, "position" BIGINT NOT NULL, upto BIGINT NOT NULL, '
    'attempt INTEGER NOT NULL, "at" TIMESTAMP NOT NULL, ledger_seq BIGINT NOT NULL, seq BIGINT NOT NULL)',
)

# What a line says of one person; the rest it has in common with its neighbours.
LOGGED = ["position", "pid", "key", "op", "fingerprint"]
_KINDS = [pa.int64(), pa.int64(), pa.string(), pa.string(), pa.string()]
_LINES = pa.schema(zip(LOGGED, _KINDS, strict=True))
_TAKE = f"""
INSERT INTO taken (run, "position", upto, attempt, "at", ledger_seq, seq)
SELECT CAST($run AS BIGINT), unnest(CAST($positions AS BIGINT[])), unnest(CAST($uptos AS BIGINT[])),
  unnest(CAST($attempts AS INTEGER[])), CAST($at AS TIMESTAMP), unnest(CAST($ledger_seqs AS BIGINT[])), {NEXT}
"""

WORDS = """
words AS (
  SELECT o."position", o.op, o.kind, o.reason, o."at", o.fingerprint, o.seq, o.job FROM outcomes o WHERE o.run = $run
  UNION ALL
  SELECT p."position", p.op, 'accepted', '', t."at", p.fingerprint, t.seq, CAST(NULL AS VARCHAR)
  FROM (SELECT g.place, k."at", k.seq FROM taken k, generate_series(k."position", k.upto) AS g(place)
    WHERE k.run = $run) t
  JOIN plan p ON p.run = $run AND p."position" = t.place)
"""

LATEST = f"""{WORDS},
latest AS (SELECT DISTINCT ON ("position") "position", op, kind, job, seq FROM words ORDER BY "position", seq DESC)
"""


@tried_again
def append_outcomes(engine: Engine, run: int, verdicts: Sequence[Verdict], at: datetime) -> None:
    """Log what became known at this instant (aware) as one durable commit; of several words on one person in the order
    given."""
    told = [(verdict, _as_planned(verdict)) for verdict in verdicts if verdict.rows]
    if not told:
        return
    with engine.write() as tx:
        # Nothing else is said in one commit of those taken as planned, so it is no matter which lines come first.
        if taken := [verdict for verdict, as_planned in told if as_planned]:
            _take(tx, run, taken, at)
        if singly := [verdict for verdict, as_planned in told if not as_planned]:
            _log(tx, run, singly, at)


def _take(tx: Transaction, run: int, verdicts: Sequence[Verdict], at: datetime) -> None:
    about = {
        "positions": [verdict.rows[0].position for verdict in verdicts],
        "uptos": [verdict.rows[-1].position for verdict in verdicts],
        "attempts": [verdict.attempt for verdict in verdicts],
        "ledger_seqs": [verdict.ledger_seq for verdict in verdicts],
    }
    tx.execute(_TAKE, {"run": run, "at": naive(at), **about})


def _log(tx: Transaction, run: int, verdicts: Sequence[Verdict], at: datetime) -> None:
    numbers = iter(_numbers(tx, sum(len(verdict.rows) for verdict in verdicts)))
    lines = [_lines(run, verdict, at, list(islice(numbers, len(verdict.rows)))) for verdict in verdicts]
    # Only of people in a job is it said which.
    tx.append("outcomes", pa.concat_tables(lines, promote_options="default"))


def _numbers(tx: Transaction, count: int) -> list[int]:
    """Rising, and nobody had them before; on a server other syncs' lines may have some in between."""
    return sorted(number for (number,) in tx.rows(f"SELECT {NEXT} FROM generate_series(1, $count)", {"count": count}))


def progress(reader: Reader, run: int) -> RunCounts:
    """The run's counts so far (law L5); all zero before there is a plan."""
    summary = plan_summary(reader, run)
    return count(summary, _tally(reader, run, summary.people))


def _tally(reader: Reader, run: int, planned: Mapping[Op, int]) -> Tally:
    """A run is asked how far it is about every second: what follows from the plan is not looked for in the log."""
    [(single,)] = reader.rows("SELECT count(*) FROM outcomes WHERE run = $run", {"run": run})
    if single:
        return _counted(reader, run, LATEST, "latest")
    [(taken,)] = reader.rows('SELECT coalesce(sum(upto - "position" + 1), 0) FROM taken WHERE run = $run', {"run": run})
    if taken == sum(planned.values()):
        return {(op, Fate.ACCEPTED): people for op, people in planned.items()}
    if len(planned) == 1:
        return {(op, Fate.ACCEPTED): int(taken) for op in planned}
    # Where nobody has a line of their own there is one word about each, which spares finding the last one.
    return _counted(reader, run, WORDS, "words")


def _counted(reader: Reader, run: int, said: str, last: str) -> Tally:
    rows = reader.rows(f"WITH {said} SELECT op, kind, count(*) FROM {last} GROUP BY op, kind", {"run": run})
    return {(Op(op), Fate(kind)): counted for op, kind, counted in rows}


def withheld(reader: Reader, run: int) -> dict[WithheldReason, int]:
    """The withheld of a run by reason: at the plan, by the gate since, and those whom the vendor suppresses."""
    # Nothing comes after any of these words.
    rows = reader.rows(
        "SELECT reason AS why, count(*) FROM plan WHERE run = $run AND op = 'withheld' GROUP BY reason UNION ALL "
        "SELECT CASE WHEN kind = 'suppressed' THEN 'SUPPRESSED' ELSE reason END AS why, count(*) FROM outcomes "
        "WHERE run = $run AND kind IN ('withheld', 'suppressed') AND op <> 'remove' GROUP BY why",
        {"run": run},
    )
    found: dict[WithheldReason, int] = {}
    for why, counted in rows:
        reason = WithheldReason(why or WithheldReason.NO_CONSENT)
        found[reason] = found.get(reason, 0) + counted
    return found


def _as_planned(verdict: Verdict) -> bool:
    """Whether one line says it all: neighbours without a gap, each accepted with the payload of the plan."""
    if verdict.fate is not Fate.ACCEPTED or not isinstance(verdict.rows, Stretch):
        return False
    positions = verdict.rows.reading.positions[verdict.rows.start : verdict.rows.stop]
    gapless = positions[-1] - positions[0] == len(positions) - 1
    return gapless and bool(pc.all(_people(verdict.rows)["as_planned"]).as_py())


def _lines(run: int, verdict: Verdict, at: datetime, seqs: Sequence[int]) -> pa.Table:
    alike = {"attempt": verdict.attempt, "kind": verdict.fate.value, "reason": verdict.reason, "at": naive(at)}
    lines, count = _people(verdict.rows).select(LOGGED), len(verdict.rows)
    for name, value in {"run": run, **alike, "ledger_seq": verdict.ledger_seq}.items():
        lines = lines.append_column(name, pa.repeat(value, count))
    if verdict.job:
        lines = lines.append_column("job", pa.repeat(verdict.job.id, count))
        lines = lines.append_column("late_until", pa.repeat(naive(verdict.job.until), count))
    return lines.append_column("seq", pa.array(seqs, pa.int64()))


def _people(rows: Rows) -> pa.Table:
    if isinstance(rows, Stretch) and rows.reading.lines is not None:
        return rows.reading.lines.slice(rows.start, len(rows))
    columns = zip(*((row.position, row.pid, row.key, row.op, row.fingerprint) for row in rows), strict=True)
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, _KINDS, strict=True)], schema=_LINES)
