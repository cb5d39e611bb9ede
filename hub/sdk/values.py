"""Mapped fields as they are sent."""

from __future__ import annotations

from collections.abc import Set

from hub.sdk.contract import Person
from hub.sdk.errors import RefusedError

JsonValue = str | float | int | bool | list[str] | None


def json_fields(person: Person, never: Set[str] = frozenset()) -> dict[str, JsonValue]:
    """The person's fields as JSON has them. Raises RefusedError, naming the field, where one is among those that are
    `never` sent, since they could change somebody's subscription or who somebody is."""
    if refused := never & person.fields.keys():
        raise RefusedError(f"{', '.join(sorted(refused))}: could change a subscription or a user, and is not sent")
    scalar = str | int | float | None
    return {name: value if isinstance(value, scalar) else list(value) for name, value in person.fields.items()}
