"""How the schema is worded: every type, field, argument, input and enum value carries a description."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, TypeVar

import strawberry
from strawberry.types.unset import UNSET as UNSET

from hub.errors import ErrorCode, refuse

E = TypeVar("E", bound=type[Enum])


def says(description: str, **more: Any) -> Any:
    """A field or a resolver with its description."""
    return strawberry.field(description=description, **more)


def asks(description: str, default: Any = UNSET) -> Any:
    """A field of an input; without a default it may be left out, which keeps what was there."""
    return strawberry.field(description=description, default=default)


def needs(description: str) -> Any:
    """A field of an input that must be there."""
    return strawberry.field(description=description)


def worded(members: E, description: str, *, called: str | None = None, **values: str) -> E:
    """Put an enum of the core on the schema, each of its values described; KeyError names one left out."""
    strawberry.enum(members, name=called, description=description)
    for value in members.__strawberry_definition__.values:  # type: ignore[attr-defined]
        value.description = values[value.name]
    return members


def given(value: Any) -> Any:
    """The value, with one that was left out read as null."""
    return None if value is UNSET else value


def instant(value: Any) -> datetime | str:
    """What is given for a `DateTime`: the instant, or a text that nobody takes for one nor for nothing.

    A withdrawal must not be refused for it; whoever needs an instant refuses it in their own words.
    """
    try:
        return datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return repr(value)


DATE_TIME = strawberry.scalar(
    name="DateTime", description="Date with time (isoformat)", serialize=datetime.isoformat, parse_value=instant
)


def in_utc(moment: Any, *path: str) -> datetime | None:
    """The instant; one without a zone is in UTC, as in rules. HubError INVALID at `path` for what is none."""
    if moment is None or moment is UNSET:
        return None
    try:
        told: datetime = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (AttributeError, OverflowError):
        message = "The instant cannot be read: write it as in 2026-01-31T12:00:00Z."
        raise refuse(ErrorCode.INVALID, message, *path) from None
    return told


First = Annotated[int | None, strawberry.argument(description="How many at most: 50 if left out, 100 at most.")]
After = Annotated[str | None, strawberry.argument(description="The cursor after which to go on, taken from this list.")]
Key = Annotated[str, strawberry.argument(description="The key: the slug chosen when it was created.")]
AsOf = Annotated[
    datetime | None,
    strawberry.argument(description="The clock of the rule; now if left out. Without a zone it is UTC."),
]
