"""The relational form of a rule, as Ibis expressions over tables that are only described.

Traits are filtered first, then events are tied to the people left over, then they are grouped: grouping is what costs.
What is asked of events or other segments as a whole conjunct becomes a semi-join or an anti-join; what stands inside an
`or` or a comparison becomes a left join, whose missing row means "nothing", never "unknown".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import ibis
from ibis.backends.sql import compilers
from sqlglot import exp

from hub.core.records import TraitType
from hub.core.rules import tree
from hub.core.rules.expressions import COUNTED, DATA_TYPES, Expressions, folds_nothing, instant_type
from hub.core.rules.tree import Aggregate, And, Condition, Did, Events, InSegment, Not, walk

Table = Any
# Engines fold selects that are nested by themselves, and in less time than Ibis does.
ibis.options.sql.fuse_selects = False


@ibis.udf.scalar.builtin(signature=((), "timestamp"))  # type: ignore[untyped-decorator, unused-ignore]
def as_of() -> None:
    """Where DuckDB's parameter `$as_of` will stand."""


def to_sql(rule: Condition, dialect: str) -> str:
    compiler = getattr(compilers, dialect).compiler
    query = compiler.to_sqlglot(_Relations(rule, dialect).members(rule))
    return str(query.transform(_bound).sql(dialect=compiler.dialect))


def _bound(node: Any) -> Any:
    if isinstance(node, exp.Anonymous) and node.name.lower() == as_of.__name__:
        return exp.cast(exp.Placeholder(this=as_of.__name__), "timestamp")
    return node


class _Relations:
    def __init__(self, rule: Condition, dialect: str) -> None:
        columns = {node for node, _ in walk(rule, unfold=True) if isinstance(node, tree.Column) and node.column}
        traits = {column.column: _data_type(column, dialect) for column in columns if not column.of_event}
        properties = {column.column: _data_type(column, dialect) for column in columns if column.of_event}
        ts = instant_type(dialect)
        # A column that is never chosen: were `pid` all there is, Ibis would drop choosing it and write `SELECT *`.
        self.profiles = ibis.table({"pid": "int64", **dict(sorted(traits.items())), "_": "int64"}, name="profiles")
        self.events = ibis.table(
            {"pid": "int64", "ts": ts, "name": "string", **dict(sorted(properties.items()))}, name="events"
        )
        # DuckDB prunes by what is constant, and reads on one thread beside a subquery.
        self.now = as_of() if dialect == "duckdb" else ibis.table({"as_of": ts}, name="clock").as_of.as_scalar()
        self.dialect = dialect

    def members(self, rule: Condition) -> Table:
        """One column, `pid`: those for whom the rule is true."""
        conjuncts = [part for part in _conjuncts(rule) if not isinstance(part, tree.Everyone)]
        of_traits = [part for part in conjuncts if not _asks_beyond_traits(part)]
        of_sets = [part for part in conjuncts if _is_a_set(part)]
        rest = [part for part in conjuncts if part not in of_traits and part not in of_sets]
        wanted = [part for part in of_sets if not isinstance(part, Not)]
        people = self._where(self.profiles, of_traits).select("pid", *_trait_columns(rest))
        for part in wanted:
            people = people.semi_join(self._set(part), "pid")
        if rest:
            people = self._by_aggregates(people, rest, narrowed=bool(of_traits or wanted))
        for unwanted in (part.part for part in of_sets if isinstance(part, Not)):
            people = people.anti_join(self._set(unwanted), "pid")
        return people.select("pid") if rest else people

    def _where(self, table: Table, conditions: Sequence[Condition], known: dict[Any, Any] | None = None) -> Table:
        expressions = Expressions(table, self.now, self.dialect, known or {})
        return table.filter([expressions.condition(part) for part in conditions]) if conditions else table

    def _set(self, part: Condition) -> Table:
        """The people who did it, or who are in that segment."""
        if isinstance(part, InSegment) and part.rule is not None:
            return self.members(part.rule)
        if isinstance(part, Did):
            return self._seen(part.events)
        raise AssertionError(f"{type(part).__name__} is not a set of people")

    def _seen(self, events: Events) -> Table:
        """These events in (asOf - window, asOf], and never one after asOf."""
        table = self.events
        within = [table.ts <= self.now]
        if events.name is not None:
            within.append(table.name == events.name)
        if events.window is not None:
            within.append(table.ts > self.now - ibis.interval(seconds=events.window.seconds))
        if events.where is not None:
            within.append(Expressions(table, self.now, self.dialect, {}).condition(events.where))
        return table.filter(within)

    def _by_aggregates(self, people: Table, rest: Sequence[Condition], narrowed: bool) -> Table:
        """Joins one row of numbers per person for each selection of events, then filters."""
        known: dict[Any, Any] = {node: self._set(node).pid for node in _found(rest, Did | InSegment)}
        joined = people
        for number, (events, folds) in enumerate(_folds(rest).items()):
            beside = self._beside(events, folds, number, people if narrowed else None)
            joined = joined.left_join(beside, joined.pid == beside[f"pid_{number}"])
            known |= {node: f"fold_{number}_{place}" for place, node in enumerate(folds)}
        return self._where(joined, rest, known)

    def _beside(self, events: Events, folds: list[Aggregate], number: int, people: Table | None) -> Table:
        seen = self._seen(events)
        seen = seen if people is None else seen.semi_join(people, "pid")
        measures = {f"fold_{number}_{place}": self._fold(seen, node) for place, node in enumerate(folds)}
        return seen.group_by(seen.pid.name(f"pid_{number}")).aggregate(**measures)

    def _fold(self, seen: Table, node: Aggregate) -> Any:
        if node.property is None:
            folded = {"count": seen.count, "first": seen.ts.min, "last": seen.ts.max}[node.function]()
        else:
            values = Expressions(seen, self.now, self.dialect, {}).value(node.property)
            folds = {"distinct": "nunique", "sum": "sum", "avg": "mean", "min": "min", "max": "max"}
            folded = getattr(values, folds[node.function])()
        return folded.cast("float64") if node.function in COUNTED else folded


def _folds(rest: Iterable[Condition]) -> dict[Events, list[Aggregate]]:
    """What has to be joined, with the folds that ask for it: a selection of events once, however often it is named."""
    asked: dict[Events, list[Aggregate]] = {}
    for node in _found(rest, Aggregate):
        if not folds_nothing(node):
            asked.setdefault(node.events, []).append(node)
    return asked


def _found(rest: Iterable[Condition], kind: Any) -> dict[Any, None]:
    """The nodes of that kind, each once, in the order of the rule."""
    return dict.fromkeys(node for part in rest for node, _ in walk(part) if isinstance(node, kind))


def _conjuncts(rule: Condition) -> list[Condition]:
    if isinstance(rule, And):
        return [inner for part in rule.parts for inner in _conjuncts(part)]
    return [rule]


def _asks_beyond_traits(part: Condition) -> bool:
    return any(isinstance(node, Aggregate | Did | InSegment) for node, _ in walk(part))


def _is_a_set(part: Condition) -> bool:
    return isinstance(part.part if isinstance(part, Not) else part, Did | InSegment)


def _trait_columns(rest: Iterable[Condition]) -> list[str]:
    nodes = (node for part in rest for node, _ in walk(part))
    return sorted({node.column for node in nodes if isinstance(node, tree.Column) and not node.of_event})


def _data_type(column: tree.Column, dialect: str) -> str:
    return instant_type(dialect) if column.type is TraitType.DATETIME else DATA_TYPES[column.type]
