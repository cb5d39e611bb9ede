"""A rule as a tree of plain values: what the parser makes, the checker resolves, and everything else reads.

The parser leaves `Name` and text literals; `check` turns them into `Column`s and instants. Positions never take part in
equality, so two rules that say the same are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from hub.core.records import TraitType
from hub.errors import ErrorCode, HubError, refuse


@dataclass(frozen=True, slots=True)
class Position:
    """Where a part of the rule begins; both count from 1, in characters."""

    line: int = 1
    column: int = 1

    def refuse(self, code: ErrorCode, message: str, suggestion: str | None = None) -> HubError:
        return refuse(code, message, "rule", line=self.line, column=self.column, suggestion=suggestion)


NOWHERE = Position()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Anything in a rule that has a place in its text."""

    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Literal(Part):
    """Text, a number (always a double), true or false; after checking also an instant, naive in UTC."""

    value: str | float | bool | datetime


@dataclass(frozen=True, slots=True)
class Name(Part):
    """A trait, or inside `where` a property, before it was looked up."""

    name: str


@dataclass(frozen=True, slots=True)
class Column(Part):
    """A trait or property that was looked up. `column` is physical; empty for a property of an event never seen."""

    name: str
    column: str
    type: TraitType
    of_event: bool = False


@dataclass(frozen=True, slots=True)
class Duration:
    count: int
    unit: str  # second, minute, hour, day or week

    @property
    def seconds(self) -> int:
        return self.count * SECONDS[self.unit]


SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}


@dataclass(frozen=True, slots=True)
class Ago(Part):
    """The instant that long before asOf."""

    duration: Duration


@dataclass(frozen=True, slots=True)
class Negative(Part):
    value: Value


@dataclass(frozen=True, slots=True)
class Arithmetic(Part):
    sign: str  # + - * /
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Events(Part):
    """Which events: of one name (`None` is any event), for which `where` is true, in (asOf - window, asOf]."""

    name: str | None
    where: Condition | None = None
    window: Duration | None = None


@dataclass(frozen=True, slots=True)
class Aggregate(Part):
    """count, first, last take events alone; distinct, sum, avg, min, max also a property of them."""

    function: str
    events: Events
    property: Name | Column | None = None


@dataclass(frozen=True, slots=True)
class Everyone(Part):
    pass


@dataclass(frozen=True, slots=True)
class Truth(Part):
    """A bare boolean trait or property, standing as a condition."""

    value: Value


@dataclass(frozen=True, slots=True)
class And(Part):
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or(Part):
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not(Part):
    part: Condition


@dataclass(frozen=True, slots=True)
class Compare(Part):
    """`before` and `after` are `<` and `>` of instants."""

    sign: str  # = != < <= > >= before after
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Between(Part):
    """Both ends belong to it."""

    value: Value
    low: Value
    high: Value


@dataclass(frozen=True, slots=True)
class OneOf(Part):
    value: Value
    options: tuple[Literal, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Known(Part):
    value: Value
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Matches(Part):
    manner: str  # contains, starts with, ends with
    value: Value
    text: str


@dataclass(frozen=True, slots=True)
class Has(Part):
    value: Value
    options: tuple[Literal, ...]
    every: bool = False


@dataclass(frozen=True, slots=True)
class InLast(Part):
    """The instant lies in (asOf - window, asOf]."""

    value: Value
    window: Duration


@dataclass(frozen=True, slots=True)
class Did(Part):
    events: Events


@dataclass(frozen=True, slots=True)
class InSegment(Part):
    """`rule` is the other segment's checked rule, so that the same asOf holds inside."""

    key: str
    rule: Condition | None = None


Value = Literal | Name | Column | Ago | Negative | Arithmetic | Aggregate
Condition = (
    Everyone | Truth | And | Or | Not | Compare | Between | OneOf | Known | Matches | Has | InLast | Did | InSegment
)
Node = Value | Condition | Events


def children(node: Node) -> Iterator[Node]:
    """The parts a node is made of, but neither list options nor the rule behind `in segment`."""
    match node:
        case And(parts=parts) | Or(parts=parts):
            yield from parts
        case Not(part=part):
            yield part
        case Arithmetic(left=left, right=right) | Compare(left=left, right=right):
            yield from (left, right)
        case Between(value=value, low=low, high=high):
            yield from (value, low, high)
        case Did(events=events):
            yield events
        case Aggregate(events=events, property=prop):
            yield from (events,) if prop is None else (events, prop)
        case Events(where=where):
            yield from () if where is None else (where,)
        case Negative() | Truth() | OneOf() | Known() | Matches() | Has() | InLast():
            yield node.value


def walk(node: Node, unfold: bool = False) -> Iterator[tuple[Node, int]]:
    """Every node with its depth (the root has 1), without recursion: safe on a tree of any depth.

    `unfold` goes on into the rules behind `in segment`.
    """
    waiting: list[tuple[Node, int]] = [(node, 1)]
    while waiting:
        current, depth = waiting.pop()
        yield current, depth
        waiting.extend((child, depth + 1) for child in children(current))
        if unfold and isinstance(current, InSegment) and current.rule is not None:
            waiting.append((current.rule, depth + 1))
