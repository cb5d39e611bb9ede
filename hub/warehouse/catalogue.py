"""What is known about people and events: which traits and properties there are, of which type, in which column.

A column appears when a trait is first seen with a value, and its type stays. Physical names are unique however an
engine folds case, and short enough for PostgreSQL.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC
from typing import Any

from hub.core.identifiers import IDENTIFIER_TRAITS
from hub.core.records import EventType, Trait, TraitType
from hub.core.rules.catalogue import Catalogue
from hub.warehouse.engine import Reader, Transaction
from hub.warehouse.values import FORMS

DDL = (
    "CREATE TABLE traits (name VARCHAR NOT NULL, column_name VARCHAR NOT NULL, type VARCHAR NOT NULL, "
    "classification VARCHAR NOT NULL)",
    "CREATE TABLE event_types (name VARCHAR NOT NULL)",
    "CREATE TABLE properties (event VARCHAR NOT NULL, name VARCHAR NOT NULL, column_name VARCHAR NOT NULL, "
    "type VARCHAR NOT NULL)",
)

LONGEST_SLUG = 40
IDENTIFIER = "identifier"
UNCLASSIFIED = "unclassified"


def load(reader: Reader, rules: Mapping[str, str] | None = None) -> Catalogue:
    """What a rule may name, without counting anything; `rules` are the texts of the segments by key."""
    return Catalogue.of(_traits(reader), _events(reader), rules)


def traits(reader: Reader) -> list[Trait]:
    """Every trait by name, each with the number of profiles that have it."""
    found = _traits(reader)
    counts = ", ".join(f'count("{trait.column}")' for trait in found)
    [known] = reader.rows(f"SELECT {counts} FROM profiles") if found else [()]
    return [replace(trait, known=count) for trait, count in zip(found, known, strict=True)]


def event_types(reader: Reader) -> list[EventType]:
    """Every kind of event by name, with its properties and how often each was seen."""
    found = _events(reader)
    columns = sorted({prop.column for event in found for prop in event.properties})
    counts = "".join(f', count("{column}")' for column in columns)
    rows = reader.rows(f"SELECT name, count(*), min(ts), max(ts){counts} FROM events GROUP BY name")
    seen = {name: seen for name, *seen in rows}
    return [_seen(event, columns, seen.get(event.name)) for event in found]


def trait_types(reader: Reader) -> dict[str, TraitType]:
    """The type of every trait by name."""
    return {trait.name: trait.type for trait in _traits(reader)}


def property_types(reader: Reader) -> dict[str, TraitType]:
    """The type of every property by name; TEXT, which anything can be read from, where events differ."""
    types: dict[str, TraitType] = {}
    for prop in _properties(reader).values():
        agreed = types.setdefault(prop.name, prop.type) is prop.type
        types[prop.name] = prop.type if agreed else TraitType.TEXT
    return types


def ensure_traits(tx: Transaction, types: Mapping[str, TraitType]) -> dict[str, Trait]:
    """Give every new trait its column; all traits by name."""
    known = {trait.name: trait for trait in _traits(tx)}
    taken = {trait.column for trait in known.values()}
    for name, kind in types.items():
        if name in known:
            continue
        column = column_for("t_", name, taken)
        taken.add(column)
        tx.execute(f'ALTER TABLE profiles ADD COLUMN "{column}" {FORMS[kind].storage}')
        classification = IDENTIFIER if name in IDENTIFIER_TRAITS else UNCLASSIFIED
        tx.execute(
            "INSERT INTO traits VALUES ($name, $column, $type, $classification)",
            {"name": name, "column": column, "type": kind.value, "classification": classification},
        )
        known[name] = Trait(name, column, kind, 0, classification)
    return known


def ensure_events(tx: Transaction, names: Collection[str]) -> None:
    """Note the names of events that were never seen before."""
    for name in set(names) - {event.name for event in _events(tx)}:
        tx.execute("INSERT INTO event_types VALUES ($name)", {"name": name})


def ensure_properties(tx: Transaction, types: Mapping[tuple[str, str], TraitType]) -> dict[tuple[str, str], Trait]:
    """Give every new property (event, name) a column, one that events share where name and type agree; all by key."""
    known = _properties(tx)
    shared = {(prop.name, prop.type): prop.column for prop in known.values()}
    for (event, name), kind in types.items():
        if (event, name) in known:
            continue
        if (name, kind) not in shared:
            shared[name, kind] = column_for("p_", name, set(shared.values()))
            tx.execute(f'ALTER TABLE events ADD COLUMN "{shared[name, kind]}" {FORMS[kind].storage}')
        known[event, name] = Trait(name, shared[name, kind], kind)
        tx.execute(
            "INSERT INTO properties VALUES ($event, $name, $column, $type)",
            {"event": event, "name": name, "column": shared[name, kind], "type": kind.value},
        )
    return known


def column_for(prefix: str, name: str, taken: Collection[str]) -> str:
    """A physical name for a trait or property that no other has: `t_first_name`, then `t_first_name_2`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:LONGEST_SLUG] or "x"
    # The plain column of an identifier stays free for the identifier itself.
    reserved = slug in IDENTIFIER_TRAITS and name != slug
    candidates = (f"{prefix}{slug}" + (f"_{number}" if number > 1 else "") for number in range(1 + reserved, 10**6))
    return next(candidate for candidate in candidates if candidate not in taken)


def _traits(reader: Reader) -> list[Trait]:
    rows = reader.rows("SELECT name, column_name, type, classification FROM traits")
    return [
        Trait(name, column, TraitType(kind), 0, classification) for name, column, kind, classification in sorted(rows)
    ]


def _properties(reader: Reader) -> dict[tuple[str, str], Trait]:
    rows = reader.rows("SELECT event, name, column_name, type FROM properties")
    return {(event, name): Trait(name, column, TraitType(kind)) for event, name, column, kind in sorted(rows)}


def _events(reader: Reader) -> list[EventType]:
    properties = _properties(reader)
    names = sorted(name for (name,) in reader.rows("SELECT name FROM event_types"))
    return [EventType(name, tuple(prop for (of, _), prop in properties.items() if of == name)) for name in names]


def _seen(event: EventType, columns: list[str], counts: list[Any] | None) -> EventType:
    if counts is None:
        return event
    count, first, last, *known = counts
    of = dict(zip(columns, known, strict=True))
    properties = tuple(replace(prop, known=of[prop.column]) for prop in event.properties)
    return EventType(event.name, properties, count, first.replace(tzinfo=UTC), last.replace(tzinfo=UTC))
