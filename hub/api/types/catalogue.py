"""What a rule may name: traits of profiles, and events with their properties."""

from __future__ import annotations

from datetime import datetime

import strawberry

from hub.api.words import says
from hub.core import records

LARGEST_INT = 2**31 - 1


@strawberry.type(description="A trait of profiles, or a property of one kind of event.")
class Trait:
    name: str = says("The name as rules write it.")
    type: str = says("text, number, boolean, datetime or texts (a list of text).")
    classification: str = says("How sensitive it is; `unclassified` until somebody says.")
    known: int = says("How many profiles, or events, have a value.")

    @classmethod
    def of(cls, trait: records.Trait) -> Trait:
        return cls(
            name=trait.name,
            type=trait.type.value,
            classification=trait.classification,
            known=within_int(trait.known),
        )


@strawberry.type(description="A kind of event that has been seen, with its properties.")
class EventType:
    name: str = says("The name as rules write it.")
    count: int = says("How many of these events there are.")
    first_seen: datetime | None = says("When the earliest happened.")
    last_seen: datetime | None = says("When the latest happened.")
    properties: list[Trait] = says("The properties these events carry.")

    @classmethod
    def of(cls, event: records.EventType) -> EventType:
        return cls(
            name=event.name,
            count=within_int(event.count),
            first_seen=event.first_seen,
            last_seen=event.last_seen,
            properties=[Trait.of(prop) for prop in event.properties],
        )


def within_int(count: int) -> int:
    """GraphQL's Int ends at 2³¹ − 1; a larger count is shown as that."""
    return min(count, LARGEST_INT)
