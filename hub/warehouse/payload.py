"""What is to be said about planned people, read the moment before it is said: payload, consent and how far both go.

A reading is one statement, hence one snapshot: nobody's payload is older than the consent it goes out with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache, cached_property, partial
from itertools import repeat
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hub.core.clock import aware
from hub.core.planning import Op, PlanRequest, Reading
from hub.core.spellings import spelling
from hub.sdk.contract import FieldValue, Person
from hub.warehouse.basis import Basis
from hub.warehouse.consent import watermark
from hub.warehouse.decision import allowed, consent_params
from hub.warehouse.engine import Reader
from hub.warehouse.fingerprint import fingerprint, mapping, signal_params, signals_of, traits_of
from hub.warehouse.naming import is_own, names, names_params, quoted
from hub.warehouse.outcomes import LATEST, LOGGED

_WHOLE_NUMBERS = 2.0**53
UNSAID: Mapping[str, bool] = MappingProxyType({})


def read_people(
    reader: Reader, request: PlanRequest, after: int = 0, limit: int = 8000, *, positions: Sequence[int] | None = None
) -> Reading:
    """The next people of the plan, looked for at positions `after` + 1 to `after` + `limit`, without those who have a
    final outcome already; or those at `positions` as they are now, outcome or not.

    For someone who may no longer be sent, `reason` is the `WithheldReason`. `last` is the highest position looked at.
    """
    if positions is None:
        window = {"after": after, "upto": after + limit}
        return _read(reader, request, _WITHIN, window, finished=False)
    window = {"after": min(positions, default=1) - 1, "upto": max(positions, default=0)}
    which = f'{_WITHIN} AND p."position" IN (SELECT unnest($wanted))'
    return _read(reader, request, which, {**window, "wanted": list(positions)}, finished=True)


_WITHIN = 'p."position" > $after AND p."position" <= $upto'


class _Stretch(NamedTuple):
    """What lies in a stretch of the plan, so that the statement that reads it asks for no more than it must.

    `shared`: the plan knew of other holders of some of these keys. `told`: somebody in it has an outcome. `planned` is
    the basis of the plan, `now` the one as of now.
    """

    low: int
    high: int
    last: int
    shared: bool
    told: bool
    planned: Basis
    now: Basis

    @property
    def as_planned(self) -> bool:
        """Whether what the plan says of these people still holds."""
        return self.now == self.planned

    def others(self, request: PlanRequest) -> bool:
        """Whether other holders of these keys must be asked for."""
        return not is_own(request) and (self.shared or self.planned.generation != self.now.generation)


def _read(reader: Reader, request: PlanRequest, which: str, window: dict[str, Any], *, finished: bool) -> Reading:
    stretch = _look(reader, request, which, window)
    if stretch is None:
        return Reading(watermark(reader), window["after"])
    sql = _statement(reader, request, which, stretch, leave_out=stretch.told and not finished)
    consent = consent_params(request, request.now)
    bounds = {"low": stretch.low, "high": stretch.high}
    params = {"run": request.run, **window, **consent, **bounds, "mapping": mapping(request)}
    params |= {**names_params(request), **signal_params(request)}
    rows = reader.query(sql, _only_named(params, sql))
    if not rows.num_rows:
        return Reading(watermark(reader), stretch.last)
    if _basis(rows) != stretch.now:
        # What the statement took for granted has changed between the look and the reading.
        return _read(reader, request, which, window, finished=finished)
    return _reading(rows, request, stretch.last)


def _look(reader: Reader, request: PlanRequest, which: str, window: dict[str, Any]) -> _Stretch | None:
    asked = {"run": request.run, **window}
    [(low, high, last, shared, told, *states)] = reader.rows(_LOOK.format(which=which), asked)
    if last is None:
        return None
    return _Stretch(low, high, last, shared, bool(told), Basis(*states[:3]), Basis(*states[3:]))


def _basis(rows: pa.Table) -> Basis:
    return Basis(*(column[0].as_py() for column in rows.columns[-3:]))


def _statement(reader: Reader, request: PlanRequest, which: str, stretch: _Stretch, *, leave_out: bool) -> str:
    said = [*(f"f.{quoted(column)}" for _, column in request.fields), *signals_of(request, "p.pid")]
    found = _AS_PLANNED if stretch.as_planned else _anew(reader, request, which, stretch)
    fields = "".join(f", {one}" for one in said)
    return _PEOPLE.format(which=which, fields=fields, unfinished=f"AND {_UNFINISHED}" if leave_out else "", **found)


def _anew(reader: Reader, request: PlanRequest, which: str, stretch: _Stretch) -> dict[str, str]:
    """What of the statement asks for consent and payloads again."""
    others = stretch.others(request)
    barred = "coalesce(h.barred, FALSE)" if others else "FALSE"
    payload = [*(f"f.{column}" for column in traits_of(request)), *signals_of(request, "p.pid")]
    consent = f"LEFT JOIN ({allowed(request, 'pid BETWEEN $low AND $high')}) a ON a.pid = p.pid"
    return {
        "reason": f"WHEN a.pid IS NULL THEN 'NO_CONSENT' WHEN {barred} THEN 'SHARED_IDENTIFIER' ELSE ''",
        "may_go": f"a.pid IS NOT NULL AND f.pid IS NOT NULL AND NOT {barred}",
        "fingerprint": fingerprint(payload),
        "until": "least(a.until, h.until)" if others else "a.until",
        "consent": consent + (_holders(reader, request, which) if others else ""),
    }


def _holders(reader: Reader, request: PlanRequest, which: str) -> str:
    permitted = allowed(request, "pid IN (SELECT pid FROM others)")
    return _HOLDERS.format(which=which, names=names(reader, request), allowed=permitted)


def _only_named(params: dict[str, Any], sql: str) -> dict[str, Any]:
    # Engines refuse a parameter that the statement does not name.
    return {name: value for name, value in params.items() if re.search(rf"\${name}\b", sql)}


_LOOK = """
SELECT w.*, h.watermark, h.generation, h.people, c.watermark, c.generation, t.generation
FROM (
  SELECT min(p.pid), max(p.pid), max(p."position"), coalesce(bool_or(p.shared), FALSE),
    (SELECT count(*) FROM outcomes o WHERE o.run = $run AND o."position" > $after AND o."position" <= $upto)
      + (SELECT count(*) FROM taken t WHERE t.run = $run AND t.upto > $after AND t."position" <= $upto)
  FROM plan p WHERE p.run = $run AND {which}) w
JOIN projection c ON c.name = 'consent' JOIN projection t ON t.name = 'people' LEFT JOIN plans h ON h.run = $run
"""

# The plan's pids lie close together, so the bounds spare the engine almost all of the profiles and consents.
_PEOPLE = """
SELECT p."position", p.pid, p.external_id, p.key, p.op, CASE WHEN p.op = 'remove' THEN p.reason {reason} END AS reason,
  p.op = 'remove' OR ({may_go}) AS allowed, CASE WHEN p.op = 'remove' THEN '' ELSE {fingerprint} END AS fingerprint
  {fields},
  CASE WHEN p.op <> 'remove' THEN {until} END AS until, p.fingerprint AS foreseen,
  c.watermark, c.generation, t.generation AS people
FROM plan p JOIN projection c ON c.name = 'consent' JOIN projection t ON t.name = 'people'
LEFT JOIN (SELECT * FROM profiles WHERE pid BETWEEN $low AND $high) f ON f.pid = p.pid {consent}
WHERE p.run = $run AND {which} {unfinished} ORDER BY p."position"
"""

_AS_PLANNED = {
    "reason": "ELSE ''",
    "may_go": "f.pid IS NOT NULL",
    "fingerprint": "p.fingerprint",
    "until": "p.allowed_until",
    "consent": "",
}

_HOLDERS = """
LEFT JOIN (
  WITH others AS MATERIALIZED (
    SELECT i.key, i.pid FROM ({names}) i JOIN plan p ON p.key = i.key
    WHERE p.op <> 'remove' AND p.run = $run AND {which})
  SELECT o.key, bool_or(c.pid IS NULL) AS barred, min(c.until) AS until
  FROM others o LEFT JOIN ({allowed}) c ON c.pid = o.pid GROUP BY o.key) h ON h.key = p.key"""

_UNFINISHED = f"""p."position" NOT IN (
  WITH {LATEST} SELECT l."position" FROM latest l WHERE l.kind NOT IN ('retry', 'unknown') OR l.job IS NOT NULL)"""


def _reading(rows: pa.Table, request: PlanRequest, last: int) -> Reading:
    """Column by column, as people by the million are read: what a column holds is settled by its type."""
    positions, pids, ids, keys, planned, reasons, allowed, fingerprints = rows.columns[:_ABOUT]
    ops, called = _ops(planned), ids.to_pylist()
    said = rows.columns[_ABOUT:-_BEHIND]
    fields = _fields(_spelled(list(map(_sendable, said[: len(request.fields)])), request), request, ops)
    signals = _signals([column.to_pylist() for column in said[len(request.fields) :]], request, ops)
    until, foreseen, *_ = rows.columns[-_BEHIND:]
    return Reading(
        as_of=_basis(rows)[:2],
        last=last,
        positions=_positions(positions),
        pids=Unread(pids),
        ops=ops,
        # As `Person` itself would do it, without a call of Python's own for each of them.
        people=list(
            map(
                partial(tuple.__new__, Person),
                zip(called, called if keys.equals(ids) else keys.to_pylist(), fields, signals, strict=False),
            )
        ),
        fingerprints=Unread(fingerprints),
        allowed=[True] * len(rows) if pc.all(allowed).as_py() else allowed.to_pylist(),
        until=_instants(until),
        reasons=Unread(reasons),
        lines=_lines(rows, foreseen),
    )


class Unread(Sequence[Any]):
    """A column that becomes Python's own values once somebody looks at one: where all goes well, nobody does."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, which: Any) -> Any:
        return self._values[which]

    @cached_property
    def _values(self) -> list[Any]:
        return self._column.to_pylist()  # type: ignore[no-any-return]


# How many columns come before the fields and behind them, which may be called like one of them.
_ABOUT, _BEHIND = 8, 5
_OPS = {op.value: op for op in Op}


def _positions(column: pa.ChunkedArray) -> Sequence[int]:
    first, last = column[0].as_py(), column[-1].as_py()
    return range(first, last + 1) if last - first == len(column) - 1 else column.to_pylist()


def _ops(column: pa.ChunkedArray) -> list[Op]:
    """Almost always one for all of them."""
    if pc.all(pc.equal(column, column[0])).as_py():
        return [_OPS[column[0].as_py()]] * len(column)
    return [_OPS[op] for op in column.to_pylist()]


def _lines(rows: pa.Table, foreseen: pa.ChunkedArray) -> pa.Table:
    about = rows.select(range(_ABOUT))
    return about.select(LOGGED).append_column("as_planned", pc.equal(about["fingerprint"], foreseen))


def _instants(column: pa.ChunkedArray) -> list[datetime | None]:
    return [aware(moment) for moment in column.to_pylist()] if column.null_count < len(column) else [None] * len(column)


def _fields(
    columns: Sequence[Sequence[FieldValue]], request: PlanRequest, ops: Sequence[Op]
) -> list[dict[str, FieldValue]]:
    """Nothing but the name is said about whoever is to go. Field by field, which takes a third of person by person."""
    said: list[dict[str, FieldValue]] = [{} for _ in ops]
    for (name, _), values in zip(request.fields, columns, strict=True):
        for fields, value in zip(said, values, strict=True):
            fields[name] = value
    return [fields if op.adds else {} for fields, op in zip(said, ops, strict=True)] if Op.REMOVE in ops else said


def _spelled(columns: list[Sequence[FieldValue]], request: PlanRequest) -> list[Sequence[FieldValue]]:
    """The fields that the vendor wants normalised and hashed; towns and countries come over and over."""
    wanted = dict(request.spelled)
    for at, (name, _) in enumerate(request.fields):
        if name in wanted:
            spell = cache(spelling(wanted[name]).of)
            columns[at] = [spell(value if not isinstance(value, list) else ",".join(value)) for value in columns[at]]
    return columns


def _signals(
    columns: Sequence[Sequence[bool]], request: PlanRequest, ops: Sequence[Op]
) -> Iterable[Mapping[str, bool]]:
    """Nothing is said about the consent of whoever is to go."""
    if not request.signals:
        return repeat(UNSAID)
    told = [name for name, _ in sorted(request.signals)]
    rows = zip(*columns, strict=True)
    return [dict(zip(told, row, strict=True)) if op.adds else UNSAID for row, op in zip(rows, ops, strict=True)]


def _sendable(column: pa.ChunkedArray) -> Sequence[FieldValue]:
    """Values as JSON has them: instants as text in UTC, whole numbers without a fraction."""
    values: list[Any] = column.to_pylist()
    if pa.types.is_timestamp(column.type):
        return [value.isoformat() + "Z" if value is not None else None for value in values]
    if pa.types.is_floating(column.type):
        whole = pc.and_(pc.equal(pc.trunc(column), column), pc.less(pc.abs(column), _WHOLE_NUMBERS))
        for at in pc.indices_nonzero(whole).to_pylist():
            values[at] = int(values[at])
    return values
