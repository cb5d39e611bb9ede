"""A run's plan, written down before anything is sent: the write-ahead log of deliveries.

`plans` has one line a run. `plan` has a row for everyone to be told about (with a `position`, from 1, withdrawn people
first, then by pid) and, without a position, for everyone `withheld` or `rejected` as before. Rows of older runs go.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hub.again import tried_again
from hub.core.clock import aware, naive
from hub.core.planning import Left, Op, PlanPreview, PlanRequest, PlanSummary
from hub.core.records import WithheldReason
from hub.core.scopes import Scope
from hub.warehouse.basis import Basis, basis
from hub.warehouse.consent import watermark
from hub.warehouse.decision import decision
from hub.warehouse.engine import Engine, Reader, Transaction
from hub.warehouse.naming import members_names

# Short-lived text that differs in every row: packing it would take longer than all the rest of a plan.
TEXT_AS_IS = "VARCHAR USING COMPRESSION uncompressed"

DDL = (
    # `folded` is the highest outcome taken into `delivered`.
    "CREATE TABLE plans (run BIGINT NOT NULL, sync BIGINT NOT NULL, audience VARCHAR NOT NULL, scope VARCHAR NOT NULL, "
    "planned_at TIMESTAMP NOT NULL, members BIGINT NOT NULL, "
    "delivered_before BIGINT NOT NULL, watermark BIGINT NOT NULL, generation BIGINT NOT NULL, "
    "folded BIGINT NOT NULL, settled_at TIMESTAMP, people BIGINT)",
    f"CREATE TABLE plan (run BIGINT NOT NULL, pid BIGINT NOT NULL, external_id {TEXT_AS_IS} NOT NULL, "
    f"key {TEXT_AS_IS}, op VARCHAR NOT NULL, reason VARCHAR, allowed_until TIMESTAMP, shared BOOLEAN NOT NULL, "
    f"\"position\" BIGINT, fingerprint {TEXT_AS_IS} DEFAULT '')",
)

# Of how many settled runs of a sync the plan and the accepted outcomes stay to be looked into.
KEPT_RUNS = 3

Count = tuple[str, str | None, int]


@tried_again
def make_plan(engine: Engine, request: PlanRequest) -> PlanSummary:
    """Decide and write down what the run will do. A run that has a plan keeps it: something may have been sent."""
    with engine.write() as tx:
        if not _planned(tx, request.run):
            # The older ones are looked at once more.
            _write(tx, request)
            _forget_older(tx, request)
        return plan_summary(tx, request.run)


def preview_plan(engine: Reader, request: PlanRequest, sample: int = 10) -> PlanPreview:
    """What `make_plan` would say now, and the first few people it would add and remove; nothing is written."""
    sql, params = decision(engine, request)
    first = f"row_number() OVER (PARTITION BY op ORDER BY pid) <= {int(sample)} AND op IN ('add', 'remove')"
    rows = engine.rows(
        f"WITH decided AS MATERIALIZED ({sql}) "
        "SELECT op, reason, count(*), NULL FROM decided GROUP BY op, reason UNION ALL "
        f"SELECT op, NULL, NULL, pid FROM (SELECT op, pid, {first} AS shown FROM decided) s WHERE shown",
        params,
    )
    counts = [(op, reason, counted) for op, reason, counted, pid in rows if pid is None]
    people = sorted((op, pid) for op, _, _, pid in rows if pid is not None)
    return PlanPreview(
        _summary(
            counts, _members(engine, request), request.scope, delivered_before(engine, request), *watermark(engine)
        ),
        tuple(dict.fromkeys(pid for op, pid in people if op == Op.ADD)),
        tuple(dict.fromkeys(pid for op, pid in people if op == Op.REMOVE)),
    )


def plan_summary(reader: Reader, run: int) -> PlanSummary:
    """The plan of a run in numbers; a run without a plan has an empty one."""
    heads = reader.rows(
        "SELECT scope, members, delivered_before, watermark, generation FROM plans WHERE run = $run",
        {"run": run},
    )
    if not heads:
        return PlanSummary()
    scope, members, before, mark, generation = heads[0]
    counts: list[Count] = reader.rows(
        "SELECT op, reason, count(*) FROM plan WHERE run = $run GROUP BY op, reason", {"run": run}
    )
    return _summary(counts, members, Scope(scope), before, mark, generation)


def withdrawn_since(reader: Reader, run: int, purposes: Sequence[str]) -> datetime | None:
    """Since when (aware) the longest waiting of those whom the run takes out for their no could have been: since that
    was recorded, or since the identifier it was said under was linked to them. None where nobody has said no."""
    params = {f"purpose{n}": purpose for n, purpose in enumerate(purposes)}
    names = ", ".join(f"${name}" for name in params) or "NULL"
    [(since,)] = reader.rows(_WITHDRAWN_SINCE.format(purposes=names), {**params, "run": run})
    return aware(since)


def delivered_before(reader: Reader, request: PlanRequest) -> int:
    """How many keys may be at the vendor."""
    held = "SELECT count(*) FROM standing WHERE sync = $sync AND audience = $audience AND fingerprint IS NOT NULL"
    return int(reader.rows(held, {"sync": request.sync, "audience": request.audience})[0][0])


@tried_again
def forget_sync(engine: Engine, sync: int) -> None:
    """Drop what the data plane holds about a sync that is deleted, but for whom it leaves at the vendor."""
    with engine.write() as tx:
        for table in ("plan", "outcomes", "taken", "fences"):
            tx.execute(f"DELETE FROM {table} WHERE run IN (SELECT run FROM plans WHERE sync = $sync)", {"sync": sync})
        tx.execute("DELETE FROM plans WHERE sync = $sync", {"sync": sync})
        tx.execute("DELETE FROM delivered WHERE sync = $sync AND fingerprint IS NULL", {"sync": sync})
        tx.execute("UPDATE delivered SET again = NULL WHERE sync = $sync", {"sync": sync})


def _planned(reader: Reader, run: int) -> bool:
    return bool(reader.rows("SELECT 1 FROM plans WHERE run = $run", {"run": run}))


def _write(tx: Transaction, request: PlanRequest) -> None:
    # Taken first: what moves on a server while it is decided counts as moved since.
    rests_on = basis(tx)
    sql, params = decision(tx, request)
    tx.execute(_INSERT.format(decision=sql), {**params, "run": request.run})
    _write_head(tx, request, rests_on)


def _write_head(tx: Transaction, request: PlanRequest, rests_on: Basis) -> None:
    tx.execute(
        "INSERT INTO plans VALUES ($run, $sync, $audience, $scope, $now, $members, $before, $watermark, "
        "$generation, 0, NULL, $people)",
        {
            "run": request.run,
            "sync": request.sync,
            "audience": request.audience,
            "scope": request.scope.value,
            "now": naive(request.now),
            "members": _members(tx, request),
            "before": delivered_before(tx, request),
            **rests_on._asdict(),
        },
    )


_INSERT = """
INSERT INTO plan
SELECT $run, pid, external_id, key, op, reason, allowed_until, shared,
  CASE WHEN op NOT IN ('withheld', 'rejected') THEN row_number() OVER () END, fingerprint
FROM (SELECT * FROM ({decision}) d
  ORDER BY op IN ('withheld', 'rejected'), coalesce(reason, '') <> 'withdrawn', pid, op) o
"""


_WITHDRAWN_SINCE = """
SELECT min(since) FROM (
  SELECT max(greatest(e.recorded_at, i.linked_at)) AS since
  FROM plan p JOIN consent c ON c.pid = p.pid AND c.purpose IN ({purposes}) AND c.state <> 'GRANTED'
  JOIN consent_entries e ON e.seq = c.seq JOIN identifiers i ON i.pid = c.pid AND i.subject = e.subject
  WHERE p.run = $run AND p.op = 'remove' AND p.reason = 'withdrawn' GROUP BY p.pid) w
"""


def _members(reader: Reader, request: PlanRequest) -> int:
    if not request.scope.whole:
        return 0
    known = f"SELECT count(*) FROM memberships m JOIN profiles p ON p.pid = m.pid {members_names(reader, request)}"
    asked = {"segment": request.segment, "lens": request.lens.value}
    return int(reader.rows(f"{known} WHERE m.segment = $segment AND m.lens = $lens", asked)[0][0])


def _summary(counts: list[Count], members: int, scope: Scope, before: int, mark: int, generation: int) -> PlanSummary:
    def of(op: str, reason: str | None = None) -> int:
        return sum(counted for kind, why, counted in counts if kind == op and reason in {None, why})

    return PlanSummary(
        members=members,
        unchanged=members - sum(counted for op, _, counted in counts if op != Op.REMOVE),
        to_add=of(Op.ADD),
        to_update=of(Op.UPDATE),
        to_keep=of(Op.KEEP),
        rejected=of("rejected"),
        withheld={WithheldReason(why): counted for op, why, counted in counts if op == "withheld" and why},
        leavers=of(Op.REMOVE),
        moved=of(Op.REMOVE, Left.MOVED),
        withdrawn=of(Op.REMOVE, Left.WITHDRAWN),
        swept=of(Op.REMOVE, Left.SWEPT),
        delivered_before=before,
        watermark=mark,
        generation=generation,
        scope=scope,
    )


def _forget_older(tx: Transaction, request: PlanRequest) -> None:
    """Of settled runs, withheld people stay for the newest only, the rest of a plan for the newest few, and what the
    vendor refused for good."""
    found = tx.rows(
        "SELECT run FROM plans WHERE sync = $sync AND settled_at IS NOT NULL ORDER BY run DESC", {"sync": request.sync}
    )
    settled = [run for (run,) in found]
    if request.scope.whole:
        _delete(tx, "plan", settled, "AND op = 'withheld'")
    _delete(tx, "plan", settled[KEPT_RUNS - 1 :], "AND op <> 'withheld'")
    _delete(tx, "outcomes", settled[KEPT_RUNS - 1 :], "AND kind NOT IN ('rejected', 'suppressed')")
    for table in ("taken", "fences"):
        _delete(tx, table, settled[KEPT_RUNS - 1 :])


def _delete(tx: Transaction, table: str, runs: list[int], which: str = "") -> None:
    if runs:
        numbers: dict[str, Any] = {f"run{n}": run for n, run in enumerate(runs)}
        names = ", ".join(f"${name}" for name in numbers)
        tx.execute(f"DELETE FROM {table} WHERE run IN ({names}) {which}", numbers)
