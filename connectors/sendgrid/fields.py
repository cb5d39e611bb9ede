"""Mapped fields as SendGrid takes them: reserved ones by name, custom ones by an id that it has given them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hub.sdk import FieldValue, Person, RefusedError

from .answers import FieldDefinition, FieldDefinitions

Known = Mapping[str, FieldDefinition]


def known(definitions: FieldDefinitions) -> Known:
    """By name. A reserved field has the name for an id as far as contacts are concerned."""
    reserved = {one.name: one.model_copy(update={"id": ""}) for one in definitions.reserved if not one.read_only}
    return {**{one.name: one for one in definitions.custom}, **reserved}


def names(people: Iterable[Person]) -> set[str]:
    return {name for person in people for name in person.fields}


def insist_known(wanted: set[str], fields: Known) -> None:
    if unknown := sorted(wanted - fields.keys()):
        raise RefusedError(f"SendGrid has no fields called {', '.join(unknown)}: define them there, or map others")


def contact(person: Person, fields: Known) -> dict[str, Any]:
    told = {name: (fields[name], value) for name, value in person.fields.items()}
    reserved = {name: _value(name, field, value) for name, (field, value) in told.items() if not field.id}
    custom = {field.id: _value(name, field, value) for name, (field, value) in told.items() if field.id}
    return {**reserved, **({"custom_fields": custom} if custom else {}), "email": person.key}


def _value(name: str, field: FieldDefinition, value: FieldValue) -> Any:
    """An empty text clears a field: one that is left out stays as it was."""
    if name == "alternate_emails":
        return [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else []
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return value if field.kind == "Number" else str(value)
    return ", ".join(value)
