"""Decisions read a whole column at a time: what `consent_form.validate` says of one entry, said of a batch of lines.

A line that denies or withdraws is heard in full: for every identifier it names, and for every purpose if it names
none. A grant speaks for one person and one purpose.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from hub.core.consent_form import FIELDS, LONGEST_PURPOSE, SKEW, UNNAMED_SOURCE, Fault
from hub.core.identifier_columns import normalise_column
from hub.core.identifiers import KINDS, Pepper, subjects
from hub.core.imports import Rejection
from hub.core.instants import Instants, microseconds
from hub.core.records import ConsentAction
from hub.errors import ErrorCode

LINE = "line"
COLUMNS = ("purpose", "action", "source", "effective_at", "expires_at", "entry_id")
ACTIONS = {action.lower(): action.value for action in ConsentAction}

NO_ACTION = "The action must be grant, deny or withdraw."
# What a reader puts in the place of bytes that are not text.
UNREADABLE = "\ufffd"
NOBODY = "The line names nobody: fill in id or a column of an identifier."

# The faults in the order in which a line is told the first of them.
FAULTS = tuple(Fault)

# `effective_us` and `expires_us` are microseconds since 1970; a null `effective_us` stands for the moment of recording.
STATEMENTS = pa.schema(
    [
        (LINE, pa.int64()),
        ("subject", pa.binary()),
        ("purpose", pa.string()),
        ("action", pa.string()),
        ("source", pa.string()),
        ("evidence", pa.string()),
        ("effective_us", pa.int64()),
        ("expires_us", pa.int64()),
        ("entry_id", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Heard:
    """The statements of a batch of lines (columns of `STATEMENTS`) and the lines that are not taken."""

    statements: pa.Table
    rejections: list[Rejection]


def hear(lines: pa.Table, purposes: Collection[str], pepper: Pepper, now: datetime, region: str | None = None) -> Heard:
    """Read lines of text columns, named as in an import of consents, with their numbers in `line`.

    Columns of any other name are evidence. `region` reads phone numbers that lack a country code.
    """
    texts = {name: _text(lines, name) for name in COLUMNS}
    action = _spelled(pc.utf8_lower(texts["action"]))
    is_grant = pc.fill_null(pc.equal(action, ConsentAction.GRANT.value), False)
    effective, expires = Instants.of(texts["effective_at"]), Instants.of(texts["expires_at"])
    fault = _faults(texts, is_grant, effective, expires, purposes, now)
    people = _people(lines, is_grant, pc.and_(pc.is_valid(action), pc.is_null(fault)), pepper, region)
    base = pa.table(
        {
            LINE: lines[LINE].combine_chunks(),
            "purpose": pc.utf8_slice_codeunits(texts["purpose"], 0, LONGEST_PURPOSE),
            "action": action,
            "source": pc.if_else(_blank(texts["source"]), UNNAMED_SOURCE, texts["source"]),
            "evidence": _evidence(lines),
            "effective_us": _usable(effective.us, is_grant, now),
            "expires_us": pc.if_else(is_grant, expires.us, pa.scalar(None, pa.int64())),
            "entry_id": texts["entry_id"],
        }
    )
    statements = pa.concat_tables([EMPTY, *(_said(base, reached) for reached in people.reached)])
    rejections = list(_rejections(base[LINE].combine_chunks(), action, fault, people))
    return Heard(_for_every_purpose(statements, purposes), rejections)


EMPTY = STATEMENTS.empty_table()


def _text(lines: pa.Table, name: str) -> pa.Array:
    """The column as `storable` text, empty where there is none."""
    if name not in lines.column_names:
        return pa.repeat(pa.scalar("", pa.string()), lines.num_rows)
    column = pc.fill_null(lines[name].combine_chunks().cast(pa.string()), "")
    return pc.utf8_trim_whitespace(pc.replace_substring(column, "\x00", ""))


def _blank(texts: pa.Array) -> pa.Array:
    return pc.equal(texts, "")


def _spelled(actions: pa.Array) -> pa.Array:
    """The actions as the ledger spells them; null for any other word."""
    return pa.array(ACTIONS.values(), pa.string()).take(pc.index_in(actions, pa.array(ACTIONS, pa.string())))


def _usable(us: pa.Array, is_grant: pa.Array, now: datetime) -> pa.Array:
    """A denial from the future counts from the moment of recording, like one without a time."""
    soon = pc.less_equal(us, microseconds(now + SKEW))
    return pc.if_else(pc.fill_null(pc.or_(is_grant, soon), False), us, pa.scalar(None, pa.int64()))


def _faults(
    texts: Mapping[str, pa.Array],
    is_grant: pa.Array,
    effective: Instants,
    expires: Instants,
    purposes: Collection[str],
    now: datetime,
) -> pa.Array:
    """The first fault of each grant as its number in `FAULTS`; null for a line in order and for every denial."""
    wrong = {
        Fault.PURPOSE: pc.invert(pc.is_in(texts["purpose"], pa.array(list(purposes), pa.string()))),
        Fault.SOURCE: _blank(texts["source"]),
        Fault.NO_EFFECTIVE_AT: _blank(texts["effective_at"]),
        Fault.EFFECTIVE_AT: effective.malformed,
        Fault.EFFECTIVE_ZONE: effective.zoneless,
        Fault.FUTURE: pc.fill_null(pc.greater(effective.us, microseconds(now + SKEW)), False),
        Fault.EXPIRES_AT: expires.malformed,
        Fault.EXPIRES_ZONE: expires.zoneless,
        Fault.EXPIRES_EARLY: pc.fill_null(pc.less_equal(expires.us, effective.us), False),
    }
    conditions = pa.StructArray.from_arrays(
        [pc.and_(is_grant, wrong[fault]) for fault in FAULTS], [*map(str, range(len(FAULTS)))]
    )
    return pc.case_when(conditions, *(pa.scalar(number, pa.int8()) for number in range(len(FAULTS))))


@dataclass(frozen=True, slots=True)
class _Reached:
    """Whom one column of identifiers names: positions in the batch, their subjects, and whether another column has
    named somebody on the same line already."""

    kind: str
    positions: pa.Array
    subjects: pa.Array
    again: pa.Array


@dataclass(frozen=True, slots=True)
class _People:
    """`named` says of each line whether it names somebody; `reasons`, why an identifier cannot be used: position →
    column and reason."""

    reached: list[_Reached]
    named: pa.Array
    reasons: dict[int, tuple[str, str]]


def _people(lines: pa.Table, is_grant: pa.Array, in_order: pa.Array, pepper: Pepper, region: str | None) -> _People:
    """A grant is for the first identifier that is filled in, a denial for all of them."""
    reached: list[_Reached] = []
    reasons: dict[int, tuple[str, str]] = {}
    claimed = named = pa.repeat(False, lines.num_rows)
    for kind in (kind for kind in KINDS if kind in lines.column_names):
        texts = _text(lines, kind)
        spelled = normalise_column(kind, texts, region)
        readable = pc.invert(pc.match_substring(texts, UNREADABLE))
        filled = pc.and_(readable, pc.fill_null(pc.not_equal(spelled.values, ""), False))
        speaking = pc.and_(pc.and_not(in_order, pc.and_(is_grant, claimed)), filled)
        at = pc.indices_nonzero(speaking)
        hashed = pa.array(subjects(pepper, kind, spelled.values.take(at).to_pylist()), pa.binary())
        reached.append(_Reached(kind, at, hashed, named.take(at)))
        named, claimed = pc.or_(named, speaking), pc.or_(claimed, pc.invert(_blank(texts)))
        for position, reason in spelled.reasons.items():
            reasons.setdefault(position, (kind, f"The {kind} {reason}."))
    return _People(reached, named, reasons)


def _said(base: pa.Table, reached: _Reached) -> pa.Table:
    """What the lines say of the people in one column. An entry id names one entry: others append the kind."""
    said = base.take(reached.positions)
    further = pc.and_(reached.again, pc.invert(_blank(said["entry_id"])))
    ids = pc.if_else(further, pc.binary_join_element_wise(said["entry_id"], reached.kind, "#"), said["entry_id"])
    said = said.set_column(said.schema.get_field_index("entry_id"), "entry_id", ids)
    return said.append_column("subject", reached.subjects).select(STATEMENTS.names).cast(STATEMENTS)


def _for_every_purpose(statements: pa.Table, purposes: Collection[str]) -> pa.Table:
    """A line that names no purpose, which only a denial may, is heard for each of them."""
    open_ended = _blank(statements["purpose"])
    if not purposes or not pc.any(open_ended, min_count=0).as_py():
        return statements
    every = statements.filter(open_ended)
    copies = [_about(every, key) for key in sorted(purposes)]
    return pa.concat_tables([statements.filter(pc.invert(open_ended)), *copies])


def _about(statements: pa.Table, purpose: str) -> pa.Table:
    ids = statements["entry_id"]
    ids = pc.if_else(_blank(ids), ids, pc.binary_join_element_wise(ids, purpose, "#"))
    said = statements.set_column(STATEMENTS.get_field_index("entry_id"), "entry_id", ids)
    return said.set_column(STATEMENTS.get_field_index("purpose"), "purpose", pa.repeat(purpose, said.num_rows))


def _evidence(lines: pa.Table) -> pa.Array:
    """Every other column of a line as one JSON object, null where they are all empty."""
    names = [name for name in lines.column_names if name not in (LINE, *COLUMNS, *KINDS)]
    if not names:
        return pa.nulls(lines.num_rows, pa.string())
    cells: Sequence[Sequence[str]] = [_text(lines, name).to_pylist() for name in names]
    told = ({name: cell for name, cell in zip(names, row, strict=True) if cell} for row in zip(*cells, strict=True))
    return pa.array([orjson.dumps(one).decode() if one else None for one in told], pa.string())


def _rejections(line: pa.Array, action: pa.Array, fault: pa.Array, people: _People) -> Iterator[Rejection]:
    positions = pc.indices_nonzero(pc.invert(people.named))
    told = (column.take(positions).to_pylist() for column in (line, action, fault))
    for position, number, word, found in zip(positions.to_pylist(), *told, strict=True):
        if word is None:
            yield _invalid(number, "action", NO_ACTION)
        elif found is not None:
            yield _invalid(number, FIELDS[FAULTS[found]], FAULTS[found].value)
        else:
            yield _invalid(number, *people.reasons.get(position, ("id", NOBODY)))


def _invalid(line: int, column: str, reason: str) -> Rejection:
    return Rejection(line, reason, column, ErrorCode.CONSENT_INVALID)
