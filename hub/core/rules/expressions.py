"""The scalar form of a rule's conditions and values, as Ibis expressions over one table.

SQL's own three values are the language's: a comparison with NULL is NULL, and a filter keeps only what is true.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import ibis
import ibis.expr.operations as ops

from hub.core.records import TraitType
from hub.core.rules import tree
from hub.core.rules.kinds import type_of
from hub.core.rules.tree import Condition, Literal, Value

Expression = Any
DATA_TYPES = {
    TraitType.TEXT: "string",
    TraitType.NUMBER: "float64",
    TraitType.BOOLEAN: "boolean",
    TraitType.TEXTS: "array<string>",
}
COUNTED = {"count", "distinct", "sum"}
# Not `==` itself, which Ibis turns into IS NULL beside a NULL: that would make an unknown property false, not unknown.
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": lambda left, right: ops.Equals(left, right).to_expr(),
    "!=": lambda left, right: ops.NotEquals(left, right).to_expr(),
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "before": operator.lt,
    "after": operator.gt,
}


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator, unused-ignore]
def convert_to(text: str, encoding: str) -> bytes:  # type: ignore[empty-body]
    """PostgreSQL's own function: the bytes of a text, which sort by code point whatever the column's collation."""


def folds_nothing(node: tree.Aggregate) -> bool:
    """Whether it folds a property that was never seen: there is no column, and the answer is that of no events."""
    return isinstance(node.property, tree.Column) and not node.property.column


def instant_type(dialect: str) -> str:
    """BigQuery's arithmetic on instants is for those with a zone only."""
    return "timestamp('UTC')" if dialect == "bigquery" else "timestamp"


class Expressions:
    """`known` names the columns in which joined aggregates are found, and holds the people of each set."""

    def __init__(self, table: Any, now: Expression, dialect: str, known: Mapping[Any, Any]) -> None:
        self.table, self.now, self.dialect, self.known = table, now, dialect, known

    def condition(self, node: Condition) -> Expression:
        match node:
            case tree.Everyone():
                return ibis.literal(True)
            case tree.And():
                return _balanced(operator.and_, [self.condition(part) for part in node.parts])
            case tree.Or():
                return _balanced(operator.or_, [self.condition(part) for part in node.parts])
            case tree.Not():
                return ~self.condition(node.part)
            case tree.Did() | tree.InSegment():
                return self.table.pid.isin(self.known[node])
        return self._about_a_value(node)

    def value(self, node: Value) -> Expression:
        match node:
            case Literal():
                return self._literal(node)
            case tree.Column(column=""):
                return ibis.null(self._data_type(node.type))
            case tree.Column():
                return self.table[node.column]
            case tree.Ago():
                return self.now - ibis.interval(seconds=node.duration.seconds)
            case tree.Negative():
                return -self.value(node.value)
            case tree.Arithmetic():
                return self._arithmetic(node)
            case tree.Aggregate():
                return self._aggregate(node)
        raise AssertionError(f"no expression for {type(node).__name__}")

    def _about_a_value(self, node: Condition) -> Expression:
        match node:
            case tree.Truth():
                return self.value(node.value)
            case tree.Compare():
                return self._compare(node)
            case tree.Between():
                value = self._ordered(node.value)
                return (value >= self._ordered(node.low)) & (value <= self._ordered(node.high))
            case tree.OneOf():
                found = self.value(node.value).isin([self._literal(option) for option in node.options])
                return ~found if node.negated else found
            case tree.Known():
                value = self.value(node.value)
                return value.isnull() if node.negated else value.notnull()
            case tree.Matches():
                return self._matches(node)
            case tree.Has():
                value = self.value(node.value)
                return _balanced(
                    operator.and_ if node.every else operator.or_,
                    [value.contains(self._literal(option)) for option in node.options],
                )
            case tree.InLast():
                value = self.value(node.value)
                return (value > self.now - ibis.interval(seconds=node.window.seconds)) & (value <= self.now)
        raise AssertionError(f"no expression for {type(node).__name__}")

    def _compare(self, node: tree.Compare) -> Expression:
        if node.sign in {"=", "!="}:
            return COMPARISONS[node.sign](self.value(node.left), self.value(node.right))
        return COMPARISONS[node.sign](self._ordered(node.left), self._ordered(node.right))

    def _ordered(self, node: Value) -> Expression:
        """The value in a form that sorts by code point."""
        value = self.value(node)
        if self.dialect == "postgres" and type_of(node) is TraitType.TEXT:
            return convert_to(value, "UTF8")
        return value

    def _matches(self, node: tree.Matches) -> Expression:
        value = self.value(node.value)
        searches = {"contains": value.contains, "starts with": value.startswith, "ends with": value.endswith}
        return searches[node.manner](node.text)

    def _aggregate(self, node: tree.Aggregate) -> Expression:
        nothing = folds_nothing(node)
        folded = ibis.null(self._data_type(type_of(node))) if nothing else self.table[self.known[node]]
        return folded.fill_null(0.0) if node.function in COUNTED else folded

    def _arithmetic(self, node: tree.Arithmetic) -> Expression:
        left, right = self.value(node.left), self.value(node.right)
        match node.sign:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
        return left / right.nullif(ibis.literal(0.0, "float64"))

    def _literal(self, node: Literal) -> Expression:
        match node.value:
            case float():
                # Through text: engines read a bare 0.1 as a decimal, and its nearest double may then be another.
                return ibis.literal(repr(node.value)).cast("float64")
            case datetime():
                zoned = self.dialect == "bigquery"
                return ibis.literal(node.value.replace(tzinfo=UTC) if zoned else node.value, instant_type(self.dialect))
        return ibis.literal(node.value)

    def _data_type(self, type_: TraitType) -> str:
        return instant_type(self.dialect) if type_ is TraitType.DATETIME else DATA_TYPES[type_]


def _balanced(join: Callable[[Any, Any], Any], parts: list[Expression]) -> Expression:
    """Joined as a tree of logarithmic depth: a long list must not nest as deep as it is long."""
    while len(parts) > 1:
        parts = [reduce(join, parts[place : place + 2]) for place in range(0, len(parts), 2)]
    return parts[0]
