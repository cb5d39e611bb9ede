"""The types of values, and the refusals when they do not fit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from hub.core.records import TraitType
from hub.core.rules import tree
from hub.core.rules.tree import Column, Literal, Position, Value
from hub.errors import ErrorCode, HubError

Fit = TypeVar("Fit", bound=Value)
ORDERED = (TraitType.NUMBER, TraitType.TEXT, TraitType.DATETIME)
PLAIN = {
    TraitType.TEXT: "text",
    TraitType.NUMBER: "a number",
    TraitType.BOOLEAN: "true or false",
    TraitType.DATETIME: "a date",
    TraitType.TEXTS: "a list of texts",
}
FOLDS = {
    "distinct": (TraitType.TEXT, TraitType.NUMBER, TraitType.BOOLEAN, TraitType.DATETIME),
    "sum": (TraitType.NUMBER,),
    "avg": (TraitType.NUMBER,),
    "min": (TraitType.NUMBER, TraitType.DATETIME),
    "max": (TraitType.NUMBER, TraitType.DATETIME),
}


def type_of(value: Value) -> TraitType:
    """The type of a checked value."""
    match value:
        case Literal(value=bool()):
            return TraitType.BOOLEAN
        case Literal(value=str()):
            return TraitType.TEXT
        case Literal(value=datetime()) | tree.Ago() | tree.Aggregate(function="first" | "last"):
            return TraitType.DATETIME
        case Column(type=type_) | tree.Aggregate(function="min" | "max", property=Column(type=type_)):
            return type_
    return TraitType.NUMBER


def fitted(value: Fit, wanted: TraitType, by: str) -> Fit:
    """The value in the wanted type: a text beside a date is read as one. Raises RULE_TYPE."""
    if isinstance(value, Literal) and isinstance(value.value, str) and wanted is TraitType.DATETIME:
        return replace(value, value=_instant(value.value, value.at))
    if type_of(value) is not wanted:
        raise mistyped(value, wanted, by)
    return value


def mistyped(value: Value, wanted: TraitType, by: str) -> HubError:
    message = f"{by} needs {PLAIN[wanted]}, and {_shown(value)} is {PLAIN[type_of(value)]}."
    return value.at.refuse(ErrorCode.RULE_TYPE, message)


def refuse_lists(value: Value) -> None:
    if type_of(value) is TraitType.TEXTS:
        message = f"{_shown(value)} is a list of texts: ask it with `has any` or `has all`."
        raise value.at.refuse(ErrorCode.RULE_TYPE, message, "has any")


def refuse_unordered(value: Value, by: str) -> None:
    refuse_lists(value)
    if type_of(value) not in ORDERED:
        message = f"{by} needs an order, and {_shown(value)} is {PLAIN[type_of(value)]}."
        raise value.at.refuse(ErrorCode.RULE_TYPE, message, "=")


def refuse_unfoldable(function: str, prop: Column) -> None:
    if prop.type not in FOLDS[function]:
        wanted = " or ".join(PLAIN[type_] for type_ in FOLDS[function])
        message = f"`{function}` needs {wanted}, and `{prop.name}` is {PLAIN[prop.type]}."
        raise prop.at.refuse(ErrorCode.RULE_TYPE, message)


def _instant(text: str, at: Position) -> datetime:
    """An ISO 8601 date or time as a naive instant in UTC; without a zone it is UTC already."""
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant
    except (ValueError, OverflowError):
        message = 'A date is written as "2025-01-31" or "2025-01-31T18:30:00+01:00".'
        raise at.refuse(ErrorCode.RULE_TYPE, message) from None


def _shown(value: Value) -> str:
    match value:
        case Column(name=name):
            return f"`{name}`"
        case tree.Aggregate(function=function):
            return f"`{function}(…)`"
        case Literal():
            return "this value"
    return "this"
