"""What a rule may name: traits, events with their properties, and other segments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hub.core.records import EventType, Trait


@dataclass(frozen=True, slots=True)
class Catalogue:
    """`rules` holds the text of each segment's rule by its key."""

    traits: Mapping[str, Trait] = field(default_factory=dict)
    events: Mapping[str, EventType] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(traits: Iterable[Trait], events: Iterable[EventType], rules: Mapping[str, str] | None = None) -> Catalogue:
        by_name = {trait.name: trait for trait in traits}
        return Catalogue(by_name, {event.name: event for event in events}, dict(rules or {}))
