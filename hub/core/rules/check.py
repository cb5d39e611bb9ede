"""Does the rule fit the catalogue? Looks up every name, gives every value its type, unfolds other segments' rules.

Types are those of `TraitType`. Text compared with a date is read as a date. An event never seen is a warning, and its
properties are unknown; an unknown trait, property or segment is an error with a suggestion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from hub.core.records import TraitType
from hub.core.rules import naming, tree
from hub.core.rules.catalogue import Catalogue
from hub.core.rules.kinds import fitted, mistyped, refuse_lists, refuse_unfoldable, refuse_unordered, type_of
from hub.core.rules.syntax import MAX_NESTING, parse
from hub.core.rules.tree import Column, Condition, Events, Literal, Name, Value, walk
from hub.errors import ErrorCode, HubError, Problem, nearest

MAX_UNFOLDED_PARTS = 3_000
MAX_UNFOLDED_NESTING = 3 * MAX_NESTING
MAX_CHAIN = 16


@dataclass(frozen=True, slots=True)
class Checked:
    """A rule that fits: it names physical columns and holds the rules behind `in segment`. It needs no catalogue any
    more, and is its own cache key."""

    rule: Condition
    warnings: tuple[Problem, ...] = field(default=(), compare=False)


def check_text(text: str, catalogue: Catalogue, segment: str | None = None) -> Checked:
    """Parse and check. `segment` is the key that this rule is for, so that a rule can never lean on itself.

    Raises HubError with RULE_SYNTAX, RULE_UNKNOWN_TRAIT, RULE_TYPE, NOT_FOUND (segment), INVALID (circle),
    UNSUPPORTED or LIMIT, each with line and column.
    """
    return check(parse(text), catalogue, segment)


def check(rule: Condition, catalogue: Catalogue, segment: str | None = None) -> Checked:
    """As `check_text`, for a rule that is parsed already."""
    checker = _Checker(catalogue, (segment,) if segment else ())
    checked = checker.condition(rule)
    if any(depth > MAX_UNFOLDED_NESTING for _, depth in walk(checked, unfold=True)):
        raise rule.at.refuse(ErrorCode.LIMIT, "With the segments it names, the rule is nested too deeply.")
    return Checked(checked, tuple(dict.fromkeys(checker.warnings)))


class _Checker:
    """Walks one rule. `inside` are the segments being unfolded, `event` the events whose `where` is being read."""

    def __init__(self, catalogue: Catalogue, inside: tuple[str, ...], parts: int = 0) -> None:
        self.catalogue = catalogue
        self.inside = inside
        self.parts = parts
        self.warnings: list[Problem] = []
        self.event: Events | None = None

    def condition(self, node: Condition) -> Condition:
        self._count(node)
        match node:
            case tree.And() | tree.Or():
                return replace(node, parts=self._all(node.parts))
            case tree.Not():
                return replace(node, part=self.condition(node.part))
            case tree.Did():
                return replace(node, events=self._events(node.events))
            case tree.InSegment():
                return self._in_segment(node)
            case tree.Truth():
                return self._truth(node)
            case tree.Everyone():
                return node
        return self._about_a_value(node)

    def value(self, node: Value, like: TraitType | None = None) -> Value:
        """The value, looked up. `like` is the type of what stands beside it: that of a property never seen."""
        self._count(node)
        match node:
            case Name():
                return self._column(node, like)
            case tree.Negative():
                return replace(node, value=self._of_type(node.value, TraitType.NUMBER, "`-`"))
            case tree.Arithmetic():
                left = self._of_type(node.left, TraitType.NUMBER, f"`{node.sign}`")
                return replace(node, left=left, right=self._of_type(node.right, TraitType.NUMBER, f"`{node.sign}`"))
            case tree.Aggregate():
                return self._aggregate(node, like)
        return node

    def _count(self, node: Condition | Value) -> None:
        """Segments that name one another twice each would unfold without end."""
        self.parts += 1
        if self.parts > MAX_UNFOLDED_PARTS:
            message = f"With the segments it names, the rule has more than {MAX_UNFOLDED_PARTS:,} parts."
            raise node.at.refuse(ErrorCode.LIMIT, message)

    def _all(self, parts: Iterable[Condition]) -> tuple[Condition, ...]:
        """All parts, so that the answer names the faults of each and not only the first."""
        checked: list[Condition] = []
        problems: list[Problem] = []
        for part in parts:
            try:
                checked.append(self.condition(part))
            except HubError as error:
                if error.code is ErrorCode.LIMIT:
                    raise
                problems.extend(error.problems)
        if problems:
            raise HubError(*problems)
        return tuple(checked)

    def _about_a_value(self, node: Condition) -> Condition:
        match node:
            case tree.Compare():
                return self._compare(node)
            case tree.Between():
                return self._between(node)
            case tree.OneOf():
                return self._one_of(node)
            case tree.Known():
                return replace(node, value=self.value(node.value))
            case tree.Matches():
                return replace(node, value=self._of_type(node.value, TraitType.TEXT, f"`{node.manner}`"))
            case tree.InLast():
                return replace(node, value=self._of_type(node.value, TraitType.DATETIME, "`in last`"))
            case tree.Has():
                return self._has(node)
        raise AssertionError(f"no check for {type(node).__name__}")

    def _compare(self, node: tree.Compare) -> Condition:
        left, right = self._pair(node.left, node.right, node.sign)
        if node.sign not in {"=", "!="}:
            refuse_unordered(left, f"`{node.sign}`")
        return replace(node, left=left, right=right)

    def _between(self, node: tree.Between) -> Condition:
        value, low = self._pair(node.value, node.low, "between")
        refuse_unordered(value, "`between`")
        high = fitted(self.value(node.high, type_of(value)), type_of(value), "`between` here")
        return replace(node, value=value, low=low, high=high)

    def _one_of(self, node: tree.OneOf) -> Condition:
        value = self.value(node.value, type_of(node.options[0]))
        refuse_lists(value)
        options = tuple(fitted(option, type_of(value), "`in` here") for option in node.options)
        return replace(node, value=value, options=options)

    def _has(self, node: tree.Has) -> Condition:
        manner = "`has all`" if node.every else "`has any`"
        value = self._of_type(node.value, TraitType.TEXTS, manner)
        wrong = next((option for option in node.options if type_of(option) is not TraitType.TEXT), None)
        if wrong:
            raise mistyped(wrong, TraitType.TEXT, manner)
        return replace(node, value=value)

    def _pair(self, left: Value, right: Value, sign: str) -> tuple[Value, Value]:
        """Both sides in one type: a literal follows the other side, and so does a property never seen."""
        wanted = TraitType.DATETIME if sign in {"before", "after"} else None
        by = f"`{sign}` here"
        first = self.value(left, wanted or (type_of(right) if isinstance(right, Literal) else None))
        refuse_lists(first)
        if wanted:
            first = fitted(first, wanted, by)
        second = self.value(right, wanted or type_of(first))
        if isinstance(first, Literal) and not isinstance(second, Literal):
            return fitted(first, type_of(second), by), second
        return first, fitted(second, type_of(first), by)

    def _of_type(self, node: Value, wanted: TraitType, by: str) -> Value:
        value = self.value(node, wanted)
        if type_of(value) is not wanted:
            raise mistyped(value, wanted, by)
        return value

    def _truth(self, node: tree.Truth) -> Condition:
        if isinstance(node.value, Name) and self.event is None:
            naming.trait(self.catalogue, node.value, also=("everyone",))
        value = self._of_type(node.value, TraitType.BOOLEAN, "A condition without a comparison")
        return replace(node, value=value)

    def _column(self, node: Name, like: TraitType | None) -> Column:
        if self.event is None:
            return naming.trait(self.catalogue, node)
        return naming.event_property(self.catalogue, self.event, node, like)

    def _aggregate(self, node: tree.Aggregate, like: TraitType | None) -> Value:
        events = self._events(node.events)
        if not isinstance(node.property, Name):
            return replace(node, events=events)
        if node.function != "distinct":
            dated = node.function in {"min", "max"} and like in {TraitType.DATETIME, TraitType.TEXT}
            like = TraitType.DATETIME if dated else TraitType.NUMBER
        prop = naming.event_property(self.catalogue, node.events, node.property, like)
        refuse_unfoldable(node.function, prop)
        return replace(node, events=events, property=prop)

    def _events(self, events: Events) -> Events:
        if self.event is not None:
            message = "Inside `where`, only the event's own properties can be asked, not other events."
            raise events.at.refuse(ErrorCode.RULE_TYPE, message)
        if warning := naming.warning(self.catalogue, events):
            self.warnings.append(warning)
        if events.where is None:
            return events
        self.event = events
        try:
            return replace(events, where=self.condition(events.where))
        finally:
            self.event = None

    def _in_segment(self, node: tree.InSegment) -> Condition:
        if self.event is not None:
            raise node.at.refuse(ErrorCode.RULE_TYPE, "`in segment` asks about a person, not about one of the events.")
        if node.key in self.inside:
            circle = " → ".join((*self.inside[self.inside.index(node.key) :], node.key))
            raise node.at.refuse(ErrorCode.INVALID, f"A segment cannot lean on itself: {circle}.")
        if node.key not in self.catalogue.rules:
            meant = nearest(node.key, self.catalogue.rules)
            raise naming.unknown(ErrorCode.NOT_FOUND, node.at, f"There is no segment `{node.key}`.", meant)
        return replace(node, rule=self._unfolded(node))

    def _unfolded(self, node: tree.InSegment) -> Condition:
        """The other segment's rule; its faults are shown where it is named."""
        if len(self.inside) >= MAX_CHAIN:
            raise node.at.refuse(ErrorCode.LIMIT, f"At most {MAX_CHAIN} segments may name one another in a row.")
        inner = _Checker(self.catalogue, (*self.inside, node.key), self.parts)
        try:
            rule = inner.condition(parse(self.catalogue.rules[node.key]))
        except HubError as error:
            fault = error.problems[0].message
            circular = error.code in {ErrorCode.INVALID, ErrorCode.LIMIT}
            message = fault if circular else f"The rule of segment `{node.key}` no longer holds: {fault}"
            raise node.at.refuse(error.code, message) from None
        finally:
            # Also after a fault: otherwise segments that double with every step would be looked through without end.
            self.parts = inner.parts
        self.warnings.extend(replace(warning, line=node.at.line, column=node.at.column) for warning in inner.warnings)
        return rule
