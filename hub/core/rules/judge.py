"""The rule applied to one person, naively: why somebody is in or out, and the oracle that the SQL must agree with.

True, False or None (unknown). Instants are naive, in UTC. Numbers are ordered as engines order them: NaN equals
itself and is greater than everything.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hub.core.rules import tree
from hub.core.rules.explain import explain, explain_value
from hub.core.rules.tree import Condition, Duration, Events, Value

Truth = bool | None
BEGINNING = datetime(1, 1, 1)  # noqa: DTZ001 (naive on purpose, like every instant of the data plane)
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "before": operator.lt,
    "after": operator.gt,
}


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    ts: datetime
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Person:
    """Traits and properties by name; what is absent or None is unknown."""

    traits: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Event] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one part of the rule says of the person, and from which values (`saw`) or smaller parts."""

    part: str
    verdict: Truth
    saw: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Verdict, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The tree in JSON's own types: `verdict` is true, false or null."""
        shown: dict[str, Any] = {"part": self.part, "verdict": self.verdict}
        if self.saw:
            shown["saw"] = {name: _in_json(value) for name, value in self.saw.items()}
        if self.parts:
            shown["parts"] = [part.as_json() for part in self.parts]
        return shown


def judge(rule: Condition, person: Person, as_of: datetime) -> Verdict:
    """The verdict of a checked rule, with that of each of its parts. `as_of` may be aware or naive in UTC."""
    naive = as_of.astimezone(UTC).replace(tzinfo=None) if as_of.tzinfo else as_of
    return _Judge(person.traits, person.events, naive).condition(rule)


class _Judge:
    def __init__(self, columns: Mapping[str, Any], events: Iterable[Event], as_of: datetime) -> None:
        self.columns = columns
        self.events = [event for event in events if event.ts <= as_of]
        self.as_of = as_of

    def condition(self, node: Condition) -> Verdict:
        match node:
            case tree.Everyone():
                return Verdict(explain(node), True)
            case tree.And():
                parts = tuple(self.condition(part) for part in node.parts)
                return Verdict("all of these", _all(part.verdict for part in parts), parts=parts)
            case tree.Or():
                parts = tuple(self.condition(part) for part in node.parts)
                return Verdict("any of these", _not(_all(_not(part.verdict) for part in parts)), parts=parts)
            case tree.Not():
                inner = self.condition(node.part)
                return Verdict("not", _not(inner.verdict), parts=(inner,))
            case tree.Did():
                times = len(self._seen(node.events))
                return Verdict(explain(node), times > 0, {"times": float(times)})
            case tree.InSegment(rule=rule) if rule is not None:
                inner = self.condition(rule)
                return Verdict(explain(node), inner.verdict is True, parts=(inner,))
        return Verdict(explain(node), self._about_a_value(node), self._values_in(node))

    def value(self, node: Value) -> Any:
        match node:
            case tree.Literal(value=literal):
                return literal
            case tree.Column(name=name):
                return self.columns.get(name)
            case tree.Ago(duration=duration):
                return _earlier(self.as_of, duration)
            case tree.Negative():
                value = self.value(node.value)
                return None if value is None else -value
            case tree.Arithmetic():
                return _calculated(node.sign, self.value(node.left), self.value(node.right))
            case tree.Aggregate():
                return self._fold(node)
        raise AssertionError(f"no value for {type(node).__name__}")

    def _about_a_value(self, node: Condition) -> Truth:
        match node:
            case tree.Compare(sign=sign):
                return _compared(sign, self.value(node.left), self.value(node.right))
            case tree.Between():
                value = self.value(node.value)
                low, high = self.value(node.low), self.value(node.high)
                return _all([_compared(">=", value, low), _compared("<=", value, high)])
            case tree.Known():
                return (self.value(node.value) is None) is node.negated
            case tree.InLast():
                value = self.value(node.value)
                return None if value is None else _earlier(self.as_of, node.window) < value <= self.as_of
            case tree.Truth() | tree.OneOf() | tree.Matches() | tree.Has():
                return self._among(node, self.value(node.value))
        raise AssertionError(f"no verdict for {type(node).__name__}")

    def _among(self, node: tree.Truth | tree.OneOf | tree.Matches | tree.Has, value: Any) -> Truth:
        if value is None:
            return None
        match node:
            case tree.Truth():
                return bool(value)
            case tree.OneOf():
                return (_ordered(value) in {_ordered(option.value) for option in node.options}) is not node.negated
            case tree.Matches(manner=manner, text=text):
                tests = {"contains": text in value, "starts with": value.startswith(text)}
                return bool(tests.get(manner, value.endswith(text)))
            case tree.Has():
                wanted = {option.value for option in node.options}
                return wanted <= set(value) if node.every else not wanted.isdisjoint(value)

    def _values_in(self, node: Condition) -> dict[str, Any]:
        """Every trait and aggregate in it, by its plain words, with the value this person has."""
        found = (part for part in tree.children(node) if not isinstance(part, tree.Events))
        leaves: dict[str, Any] = {}
        for part in found:
            if isinstance(part, tree.Column | tree.Aggregate):
                leaves[explain_value(part)] = self.value(part)
            elif isinstance(part, tree.Arithmetic | tree.Negative):
                leaves |= self._values_in(part)  # type: ignore[arg-type]
        return leaves

    def _seen(self, events: Events) -> list[Event]:
        since = None if events.window is None else _earlier(self.as_of, events.window)
        named = [event for event in self.events if events.name in {None, event.name}]
        within = [event for event in named if since is None or event.ts > since]
        if events.where is None:
            return within
        return [event for event in within if self._holds(events.where, event)]

    def _holds(self, where: Condition, event: Event) -> bool:
        return _Judge(event.properties, (), self.as_of).condition(where).verdict is True

    def _fold(self, node: tree.Aggregate) -> Any:
        seen = self._seen(node.events)
        if node.property is None:
            times = [event.ts for event in seen]
            return {"count": float(len(times)), "first": min(times, default=None), "last": max(times, default=None)}[
                node.function
            ]
        named = (event.properties.get(node.property.name) for event in seen)
        return _folded(node.function, [value for value in named if value is not None])


def _folded(function: str, values: list[Any]) -> Any:
    match function:
        case "distinct":
            return float(len({_ordered(value) for value in values}))
        case "sum":
            return float(sum(values))
        case "avg":
            return sum(values) / len(values) if values else None
        case "min":
            return min(values, key=_ordered, default=None)
    return max(values, key=_ordered, default=None)


def _compared(sign: str, left: Any, right: Any) -> Truth:
    return None if left is None or right is None else ORDER[sign](_ordered(left), _ordered(right))


def _calculated(sign: str, left: float | None, right: float | None) -> float | None:
    if left is None or right is None or (sign == "/" and right == 0):
        return None
    calculations = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
    return float(calculations[sign](left, right))


def _ordered(value: Any) -> Any:
    """A key that sorts and compares as engines do."""
    if isinstance(value, float):
        return (1, 0.0) if math.isnan(value) else (0, value)
    return value


def _earlier(instant: datetime, duration: Duration) -> datetime:
    try:
        return instant - timedelta(seconds=duration.seconds)
    except OverflowError:
        return BEGINNING


def _not(verdict: Truth) -> Truth:
    return None if verdict is None else not verdict


def _all(verdicts: Iterable[Truth]) -> Truth:
    found = list(verdicts)
    if False in found:
        return False
    return None if None in found else True


def _in_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, float):
        return None if not math.isfinite(value) else int(value) if value.is_integer() and abs(value) < 2**53 else value
    return list(value) if isinstance(value, tuple | set) else value
