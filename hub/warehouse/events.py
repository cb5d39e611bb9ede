"""What people did: one row an event, a column for every property, and how a file of events goes in.

An event with an id goes in once. Events without one are never taken for duplicates, since real data holds true
doubles; but a file whose very content came in before changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from hub.core.identifiers import EXTERNAL_ID, Pepper
from hub.core.imports import ImportKind, ImportReport, Shape
from hub.core.records import Trait, TraitType
from hub.warehouse.catalogue import ensure_events, ensure_properties, property_types
from hub.warehouse.consent import bump_generation, refold
from hub.warehouse.engine import Reader, Transaction
from hub.warehouse.inference import Inferred, Question, guesses, infer
from hub.warehouse.links import EPOCH, introduce
from hub.warehouse.schema import take_numbers
from hub.warehouse.staging import Misfit, Staged
from hub.warehouse.values import FORMS, misfit, read_as

DDL = (
    "CREATE TABLE events (pid BIGINT NOT NULL, ts TIMESTAMP NOT NULL, name VARCHAR NOT NULL, "
    "event_id VARCHAR USING COMPRESSION uncompressed)",
    "CREATE TABLE imports (content_hash VARCHAR NOT NULL, kind VARCHAR NOT NULL, imported_at TIMESTAMP NOT NULL)",
)

EVENT_ID, PERSON, TIME, NAME = "id", "profile_id", "ts", "name"
OWN_COLUMNS = (EVENT_ID, PERSON, TIME, NAME)
OWN_TYPES = {EVENT_ID: TraitType.TEXT, PERSON: TraitType.TEXT, TIME: TraitType.DATETIME, NAME: TraitType.TEXT}


@dataclass(frozen=True, slots=True)
class Slot:
    """A physical column of properties, the staged column it is filled from, and the events that have it: all of
    them, or those in the temporary table `only`; `typed` when the values are staged as what they are, `clean` when
    every one of them is known to fit."""

    prop: Trait
    staged: str
    only: str | None
    typed: bool
    clean: bool

    def of_events(self, name: str) -> str:
        return f"{name} IN (SELECT name FROM {self.only})" if self.only else "TRUE"


def shape(reader: Reader) -> Shape:
    """What a file of events has to have."""
    return Shape((PERSON, TIME, NAME), {PERSON: EXTERNAL_ID}, types=property_types(reader) | OWN_TYPES)


def import_events(
    tx: Transaction, staged: Staged, now: datetime, pepper: Pepper, mapping: Mapping[str, str] | None = None
) -> ImportReport:
    """Bring the staged file in at `now` (UTC, without a zone); people it speaks of who are unknown become profiles.

    `mapping` is the one that the file was read under: the same bytes read another way are another content.
    """
    slots = _slots(tx, staged)
    _reject_misfits(tx, staged, slots)
    total = _count(tx)
    if not _first_time(tx, staged, now, mapping or {}):
        return staged.report(0, total)
    _drop_known(tx, staged)
    accepted = _insert(tx, staged, slots, "profiles")
    if accepted < _count(tx):
        _add_strangers(tx, staged, now, pepper)
        accepted += _insert(tx, staged, slots, "strangers")
    return staged.report(accepted, total - accepted)


def _count(tx: Transaction) -> int:
    return int(tx.rows("SELECT count(*) FROM staged")[0][0])


def _slots(tx: Transaction, staged: Staged) -> list[Slot]:
    """Where each property of the file goes: the type of a new one is decided per event, from all of its values."""
    told = {name: column for name, column in staged.columns.items() if name not in OWN_COLUMNS}
    events = [name for (name,) in tx.rows(f"SELECT DISTINCT {staged.columns[NAME]} FROM staged ORDER BY 1")]
    ensure_events(tx, events)
    found = _inferred(tx, staged, told, events)
    known = ensure_properties(tx, {key: kind.type for key, kind in found.items()})
    holders: dict[str, list[str]] = {}
    dirty = {prop.column for key, prop in known.items() if key not in found or not found[key].clean}
    for event, name in known:
        if event in events and name in told:
            holders.setdefault(known[event, name].column, []).append(event)
    props = {prop.column: prop for prop in known.values()}
    return [_slot(tx, staged, props[column], of, events, column not in dirty) for column, of in holders.items()]


def _slot(tx: Transaction, staged: Staged, prop: Trait, of: list[str], events: list[str], clean: bool) -> Slot:
    typed = prop.name in staged.typed
    return Slot(prop, staged.columns[prop.name], _only(tx, prop.column, of, events), typed, typed or clean)


def _only(tx: Transaction, column: str, of: list[str], events: list[str]) -> str | None:
    """A table of the events that have the property, where not all of the file's do."""
    if len(of) == len(events):
        return None
    tx.load(f"having_{column}", pa.table({"name": pa.array(of, pa.string())}))
    return f"having_{column}"


def _inferred(
    tx: Transaction, staged: Staged, told: Mapping[str, str], events: list[str]
) -> dict[tuple[str, str], Inferred]:
    known = ensure_properties(tx, {})
    new = [name for name in told if any((event, name) not in known for event in events)]
    asked = [Question(name, told[name], guesses(staged.native[name])) for name in new if name not in staged.typed]
    found = infer(tx, asked, staged.columns[NAME]) | _typed(tx, staged, [name for name in new if name in staged.typed])
    return {(of, name): kind for (of, name), kind in found.items() if of is not None and (of, name) not in known}


def _typed(tx: Transaction, staged: Staged, names: list[str]) -> dict[tuple[str | None, str], Inferred]:
    """The type of each of these columns for every event that has a value of it."""
    if not names:
        return {}
    counts = ", ".join(f"count({staged.columns[name]})" for name in names)
    rows = tx.rows(f"SELECT {staged.columns[NAME]}, {counts} FROM staged GROUP BY 1")
    held = [(of, name) for of, *values in rows for name, count in zip(names, values, strict=True) if count]
    return {(of, name): Inferred(staged.typed[name], True) for of, name in held}


def _reject_misfits(tx: Transaction, staged: Staged, slots: list[Slot]) -> None:
    kind, tests = TraitType.DATETIME, list[Misfit]()
    if TIME not in staged.typed:
        tests.append(Misfit(misfit(kind, staged.columns[TIME]), f"is not {FORMS[kind].article}", TIME))
    for slot in slots:
        if not slot.clean and slot.prop.type is not TraitType.TEXT:
            test = f"({misfit(slot.prop.type, slot.staged)} AND {slot.of_events(staged.columns[NAME])})"
            tests.append(Misfit(test, f"is not {FORMS[slot.prop.type].article}", slot.prop.name))
    staged.reject_misfits(tx, tests)


def _first_time(tx: Transaction, staged: Staged, now: datetime, mapping: Mapping[str, str]) -> bool:
    """Note the content of the file; false if the same came in before, read the same way."""
    digest = hashlib.sha256(f"{staged.content_hash}{sorted(mapping.items())}".encode()).hexdigest()
    known = {"hash": digest, "kind": ImportKind.EVENTS.value}
    if tx.rows("SELECT 1 FROM imports WHERE content_hash = $hash AND kind = $kind", known):
        return False
    tx.execute("INSERT INTO imports VALUES ($hash, $kind, CAST($now AS TIMESTAMP))", {**known, "now": now})
    return True


def _drop_known(tx: Transaction, staged: Staged) -> None:
    """Take out the events whose id is known, and of those with one id in this file all but the first."""
    if (column := staged.column(EVENT_ID)) is None:
        return
    if tx.rows("SELECT 1 FROM events WHERE event_id IS NOT NULL LIMIT 1"):
        tx.execute(f"DELETE FROM staged WHERE {column} <> '' AND {column} IN (SELECT event_id FROM events)")
    # Equal ids have equal hashes; counting those takes a fraction of the memory that counting texts would.
    tx.execute(
        f"CREATE TEMP TABLE doubled AS SELECT hub_hash({column}) AS hashed FROM staged WHERE {column} <> '' "
        "GROUP BY 1 HAVING count(*) > 1"
    )
    if tx.rows("SELECT 1 FROM doubled LIMIT 1"):
        tx.execute(
            f"DELETE FROM staged WHERE line IN (SELECT line FROM (SELECT line, "
            f"row_number() OVER (PARTITION BY {column} ORDER BY line) AS nth FROM staged "
            f"WHERE {column} <> '' AND hub_hash({column}) IN (SELECT hashed FROM doubled)) AS told WHERE nth > 1)"
        )


def _add_strangers(tx: Transaction, staged: Staged, now: datetime, pepper: Pepper) -> None:
    """Give a profile without traits to everybody whom only events know: `strangers` (pid, external_id, line)."""
    person = staged.columns[PERSON]
    first = take_numbers(tx, "next_pid", staged.last_line + 1)
    tx.execute(
        f"CREATE TEMP TABLE strangers AS SELECT $first + min(s.line) AS pid, s.{person} AS external_id, "
        f"min(s.line) AS line FROM staged s LEFT JOIN profiles p ON p.external_id = s.{person} WHERE p.pid IS NULL "
        f"GROUP BY s.{person}",
        {"first": first},
    )
    tx.execute(
        "INSERT INTO profiles (pid, external_id, first_seen, changed_at) "
        "SELECT pid, external_id, CAST($now AS TIMESTAMP), CAST($now AS TIMESTAMP) FROM strangers",
        {"now": now},
    )
    people = "SELECT pid, external_id AS value, line FROM strangers"
    introduce(tx, EXTERNAL_ID, people, EPOCH, pepper, staged.last_line)
    bump_generation(tx)
    refold(tx, "strangers")


def _insert(tx: Transaction, staged: Staged, slots: list[Slot], people: str) -> int:
    """Add the events of the people in a relation of pid and external_id."""
    columns = staged.columns
    names = "".join(f', "{slot.prop.column}"' for slot in slots)
    values = "".join(f", {_value(slot, columns[NAME])}" for slot in slots)
    time = f"s.{columns[TIME]}" if TIME in staged.typed else read_as(TraitType.DATETIME, f"s.{columns[TIME]}")
    event_id = f"nullif(s.{columns[EVENT_ID]}, '')" if EVENT_ID in columns else "CAST(NULL AS VARCHAR)"
    return tx.execute(
        f"INSERT INTO events (pid, ts, name, event_id{names}) "
        f"SELECT p.pid, {time}, s.{columns[NAME]}, {event_id}{values} "
        f"FROM staged s JOIN {people} p ON p.external_id = s.{columns[PERSON]}"
    )


def _value(slot: Slot, name: str) -> str:
    value = f"s.{slot.staged}" if slot.typed else read_as(slot.prop.type, f"s.{slot.staged}")
    return f"CASE WHEN {slot.of_events(f's.{name}')} THEN {value} END" if slot.only else value


def of_person(reader: Reader, pid: int) -> list[dict[str, Any]]:
    """What one person did, oldest first: `name`, `ts` (aware) and `properties` by name."""
    props: dict[str, dict[str, str]] = {}
    for event, name, column in reader.rows("SELECT event, name, column_name FROM properties"):
        props.setdefault(event, {})[column] = name
    columns = sorted({column for of in props.values() for column in of})
    told = "".join(f', "{column}"' for column in columns)
    rows = reader.rows(f"SELECT name, ts{told} FROM events WHERE pid = $pid ORDER BY ts", {"pid": pid})
    return [
        {
            "name": name,
            "ts": ts.replace(tzinfo=UTC),
            "properties": _named(props.get(name, {}), dict(zip(columns, values, strict=True))),
        }
        for name, ts, *values in rows
    ]


def _named(names: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: values[column] for column, name in names.items() if values[column] is not None}
    return {name: v.replace(tzinfo=UTC) if isinstance(v, datetime) else v for name, v in found.items()}
