"""Turns lark's tree into ours, and tells conditions from values: a bare name may be either."""

from __future__ import annotations

import math
import re
from typing import Any, cast

from lark import Token, v_args
from lark.tree import Meta
from lark.visitors import Transformer_NonRecursive

from hub.core.rules import tree
from hub.core.rules.tree import Condition, Duration, Literal, Name, Node, Position, Value
from hub.errors import ErrorCode

LONGEST_DAYS = 36_525
MOST_ASKED_OF_A_LIST = 500
TAKES_NO_PROPERTY = {"count", "first", "last"}
VALUES = (tree.Literal, tree.Name, tree.Column, tree.Ago, tree.Negative, tree.Arithmetic, tree.Aggregate)


@v_args(meta=True)
class Builder(Transformer_NonRecursive):  # type: ignore[misc]
    """One method per rule of the grammar; each gets where it begins and its parts."""

    def any_of(self, meta: Meta, parts: list[Any]) -> Node:
        return tree.Or(_conditions(parts), at=_at(meta))

    def all_of(self, meta: Meta, parts: list[Any]) -> Node:
        return tree.And(_conditions(parts), at=_at(meta))

    def negated(self, meta: Meta, parts: list[Any]) -> Node:
        return tree.Not(self.condition(parts[1]), at=_at(meta))

    def bracketed(self, _meta: Meta, parts: list[Any]) -> Node:
        return cast(Node, parts[0])

    def compare(self, meta: Meta, parts: list[Any]) -> Node:
        left, sign, right = parts
        return tree.Compare(str(sign).lower(), _value(left), _value(right), at=_at(meta))

    def between(self, meta: Meta, parts: list[Any]) -> Node:
        value, _, low, _, high = parts
        return tree.Between(_value(value), _value(low), _value(high), at=_at(meta))

    def one_of(self, meta: Meta, parts: list[Any]) -> Node:
        return tree.OneOf(_value(parts[0]), parts[-1], at=_at(meta))

    def none_of(self, meta: Meta, parts: list[Any]) -> Node:
        return tree.OneOf(_value(parts[0]), parts[-1], negated=True, at=_at(meta))

    def in_last(self, meta: Meta, parts: list[Any]) -> Node:
        return tree.InLast(_value(parts[0]), parts[-1], at=_at(meta))

    def known(self, meta: Meta, parts: list[Any]) -> Node:
        return tree.Known(_value(parts[0]), at=_at(meta))

    def unknown(self, meta: Meta, parts: list[Any]) -> Node:
        return tree.Known(_value(parts[0]), negated=True, at=_at(meta))

    def contains(self, meta: Meta, parts: list[Any]) -> Node:
        return tree.Matches("contains", _value(parts[0]), _unquoted(parts[-1]), at=_at(meta))

    def starts_with(self, meta: Meta, parts: list[Any]) -> Node:
        return tree.Matches("starts with", _value(parts[0]), _unquoted(parts[-1]), at=_at(meta))

    def ends_with(self, meta: Meta, parts: list[Any]) -> Node:
        return tree.Matches("ends with", _value(parts[0]), _unquoted(parts[-1]), at=_at(meta))

    def has_any(self, meta: Meta, parts: list[Any]) -> Node:
        return tree.Has(_value(parts[0]), _asked_of_a_list(parts[-1]), at=_at(meta))

    def has_all(self, meta: Meta, parts: list[Any]) -> Node:
        return tree.Has(_value(parts[0]), _asked_of_a_list(parts[-1]), every=True, at=_at(meta))

    def in_segment(self, meta: Meta, parts: list[Any]) -> Node:
        return tree.InSegment(_unquoted(parts[-1]), at=_at(meta))

    def everyone(self, meta: Meta, _parts: list[Any]) -> Node:
        return tree.Everyone(at=_at(meta))

    def arithmetic(self, meta: Meta, parts: list[Any]) -> Node:
        left, sign, right = parts
        return tree.Arithmetic(str(sign), _value(left), _value(right), at=_at(meta))

    def negative(self, meta: Meta, parts: list[Any]) -> Node:
        value = _value(parts[1])
        if isinstance(value, Literal) and type(value.value) is float:
            return Literal(-value.value, at=_at(meta))
        return tree.Negative(value, at=_at(meta))

    def number(self, meta: Meta, parts: list[Any]) -> Literal:
        return _number(parts[0], 1.0, _at(meta))

    def minus_number(self, meta: Meta, parts: list[Any]) -> Literal:
        return _number(parts[1], -1.0, _at(meta))

    def text(self, meta: Meta, parts: list[Any]) -> Literal:
        return Literal(_unquoted(parts[0]), at=_at(meta))

    def true(self, meta: Meta, _parts: list[Any]) -> Literal:
        return Literal(True, at=_at(meta))

    def false(self, meta: Meta, _parts: list[Any]) -> Literal:
        return Literal(False, at=_at(meta))

    def ago(self, meta: Meta, parts: list[Any]) -> Node:
        return tree.Ago(parts[0], at=_at(meta))

    def named(self, _meta: Meta, parts: list[Any]) -> Name:
        return cast(Name, parts[0])

    def word(self, meta: Meta, parts: list[Any]) -> Name:
        return Name(str(parts[0]), at=_at(meta))

    def quoted(self, meta: Meta, parts: list[Any]) -> Name:
        if len(parts[0]) == 2:
            raise _at(meta).refuse(ErrorCode.RULE_SYNTAX, "A name cannot be empty.")
        return Name(str(parts[0])[1:-1], at=_at(meta))

    def event(self, _meta: Meta, parts: list[Any]) -> str:
        return cast(str, parts[0].name)

    def any_event(self, _meta: Meta, _parts: list[Any]) -> None:
        return None

    def events(self, meta: Meta, parts: list[Any]) -> tuple[tree.Events, Name | None]:
        name, prop, _, where, _, window = parts
        condition = None if where is None else self.condition(where)
        return tree.Events(name, condition, window, at=_at(meta)), prop

    def did(self, meta: Meta, parts: list[Any]) -> Node:
        events, prop = parts[-1]
        if prop:
            raise prop.at.refuse(ErrorCode.RULE_SYNTAX, "`did` takes an event alone; put its property into `where`.")
        return tree.Did(events, at=_at(meta))

    def aggregate(self, meta: Meta, parts: list[Any]) -> Node:
        function, (events, prop) = str(parts[0]).lower(), parts[-1]
        if prop and function in TAKES_NO_PROPERTY:
            message = f"`{function}` takes an event alone, without a property."
            raise prop.at.refuse(ErrorCode.RULE_SYNTAX, message)
        if not prop and function not in TAKES_NO_PROPERTY:
            message = f"`{function}` needs a property of the event, as in `{function}(purchase.value)`."
            raise events.at.refuse(ErrorCode.RULE_SYNTAX, message)
        return tree.Aggregate(function, events, prop, at=_at(meta))

    def options(self, meta: Meta, parts: list[Any]) -> tuple[Literal, ...]:
        options = tuple(part for part in parts if part is not None)
        if not options:
            raise _at(meta).refuse(ErrorCode.RULE_SYNTAX, "A list cannot be empty: nothing could ever be in it.")
        return options

    def duration(self, meta: Meta, parts: list[Any]) -> Duration:
        number, unit = parts
        duration = (
            Duration(int(number), str(unit).lower().rstrip("s")) if number.isdigit() and len(number) < 12 else None
        )
        if duration is None or not 0 < duration.seconds <= LONGEST_DAYS * 86_400:
            message = f"A length of time is a whole number of at least 1, and at most {LONGEST_DAYS:,} days."
            raise _at(meta).refuse(ErrorCode.RULE_SYNTAX, message)
        return duration

    def sequence(self, meta: Meta, _parts: list[Any]) -> Node:
        raise _at(meta).refuse(ErrorCode.UNSUPPORTED, "`did … then …` is not supported yet.")

    def same(self, meta: Meta, _parts: list[Any]) -> Node:
        raise _at(meta).refuse(ErrorCode.UNSUPPORTED, "`same … (…)` is not supported yet.")

    def reference(self, meta: Meta, parts: list[Any]) -> Node:
        message = f"Reference tables (`{parts[0].name}.{parts[1].name}`) are not supported yet."
        raise _at(meta).refuse(ErrorCode.UNSUPPORTED, message)

    @staticmethod
    def condition(part: Any) -> Condition:
        """The part as a condition; a bare name becomes one. Raises RULE_SYNTAX for a number or a text."""
        if isinstance(part, Name):
            return tree.Truth(part, at=part.at)
        if isinstance(part, VALUES):
            message = "A condition is needed here, and this is only a value: compare it with something."
            raise part.at.refuse(ErrorCode.RULE_SYNTAX, message)
        return cast(Condition, part)


def _conditions(parts: list[Any]) -> tuple[Condition, ...]:
    return tuple(Builder.condition(part) for part in parts if not isinstance(part, Token))


def _value(part: Any) -> Value:
    if isinstance(part, VALUES):
        return part
    raise part.at.refuse(ErrorCode.RULE_SYNTAX, "A value is needed here, and this is a condition.")


def _asked_of_a_list(options: tuple[Literal, ...]) -> tuple[Literal, ...]:
    """Each of these is a search of its own through every person's list."""
    if len(options) > MOST_ASKED_OF_A_LIST:
        message = f"`has any` and `has all` take at most {MOST_ASKED_OF_A_LIST:,} values."
        raise options[MOST_ASKED_OF_A_LIST].at.refuse(ErrorCode.RULE_SYNTAX, message)
    return options


def _number(token: Token, sign: float, at: Position) -> Literal:
    value = sign * float(token)
    if math.isinf(value):
        raise at.refuse(ErrorCode.RULE_SYNTAX, "This number is too large for a double.")
    return Literal(value, at=at)


def _unquoted(token: Token) -> str:
    inner = str(token)[1:-1]
    wrong = next((found for found in re.finditer(r"\\(.)", inner, re.DOTALL) if found[1] not in '"\\'), None)
    if wrong:
        at = Position(token.line or 1, (token.column or 1) + wrong.start() + 1)
        raise at.refuse(
            ErrorCode.RULE_SYNTAX, 'In text, a backslash stands only before `"` or another backslash.', "\\\\"
        )
    return re.sub(r"\\(.)", r"\1", inner)


def _at(meta: Meta) -> Position:
    return Position(getattr(meta, "line", 1), getattr(meta, "column", 1))
