"""Looks up the names in a rule: traits, events and their properties."""

from __future__ import annotations

from hub.core.records import Trait, TraitType
from hub.core.rules.catalogue import Catalogue
from hub.core.rules.kinds import PLAIN
from hub.core.rules.tree import Column, Events, Name, Position
from hub.errors import ErrorCode, HubError, Problem, nearest


def trait(catalogue: Catalogue, node: Name, also: tuple[str, ...] = ()) -> Column:
    """`also` are words that could have been meant in the trait's place. Raises RULE_UNKNOWN_TRAIT."""
    found = catalogue.traits.get(node.name)
    if found is None:
        meant = nearest(node.name, (*also, *catalogue.traits))
        raise unknown(ErrorCode.RULE_UNKNOWN_TRAIT, node.at, f"There is no trait `{node.name}`.", meant)
    return Column(found.name, found.column, found.type, at=node.at)


def event_property(catalogue: Catalogue, events: Events, node: Name, like: TraitType | None) -> Column:
    """A property of these events. Of an event never seen any may be named: it has the type `like` and is unknown.

    Raises RULE_UNKNOWN_TRAIT, or RULE_TYPE where `any event` would mix two types.
    """
    if never_seen(catalogue, events):
        return Column(node.name, "", like or TraitType.TEXT, of_event=True, at=node.at)
    known = _properties(catalogue, events)
    if node.name not in known:
        whose = f"The event `{events.name}` has" if events.name is not None else "No event has"
        message = f"{whose} {'no' if events.name is not None else 'a'} property `{node.name}`."
        raise unknown(ErrorCode.RULE_UNKNOWN_TRAIT, node.at, message, nearest(node.name, known))
    first, *others = known[node.name].values()
    if others:
        kinds = " in one event and ".join(PLAIN[kind] for kind in sorted(prop.type for prop in (first, *others)))
        raise node.at.refuse(ErrorCode.RULE_TYPE, f"`{node.name}` is {kinds} in another: name the event.")
    return Column(node.name, first.column, first.type, of_event=True, at=node.at)


def never_seen(catalogue: Catalogue, events: Events) -> bool:
    return not catalogue.events if events.name is None else events.name not in catalogue.events


def warning(catalogue: Catalogue, events: Events) -> Problem | None:
    """What to say about an event name that was never seen."""
    if events.name is None or events.name in catalogue.events:
        return None
    meant = nearest(events.name, catalogue.events)
    message = f"No event `{events.name}` was ever seen." + (f" Did you mean `{meant}`?" if meant else "")
    return Problem(ErrorCode.INVALID, message, ("rule",), events.at.line, events.at.column, suggestion=meant)


def unknown(code: ErrorCode, at: Position, message: str, meant: str | None) -> HubError:
    return at.refuse(code, message + (f" Did you mean `{meant}`?" if meant else ""), meant)


def _properties(catalogue: Catalogue, events: Events) -> dict[str, dict[str, Trait]]:
    """By name and physical column, of this event or of any; one name with two types has two columns."""
    types = catalogue.events.values() if events.name is None else [catalogue.events[events.name]]
    found: dict[str, dict[str, Trait]] = {}
    for prop in (prop for type_ in types for prop in type_.properties):
        found.setdefault(prop.name, {})[prop.column] = prop
    return found
