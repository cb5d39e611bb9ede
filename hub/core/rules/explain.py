"""A rule in plain English, for whoever did not write it. Works on a rule as parsed or as checked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from hub.core.records import TraitType
from hub.core.rules import tree
from hub.core.rules.kinds import type_of
from hub.core.rules.tree import Condition, Duration, Events, Literal, Value

RELATIONS = {
    "=": "is",
    "!=": "is not",
    "<": "is less than",
    "<=": "is at most",
    ">": "is more than",
    ">=": "is at least",
    "before": "is before",
    "after": "is after",
}
# Of a moment, “less than 12 days ago” would be the opposite of `< 12 days ago`.
OF_TIME = {**RELATIONS, "<": "is before", "<=": "is not after", ">": "is after", ">=": "is not before"}
ARITHMETIC = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
FOLDS = {"distinct": "number of different", "sum": "sum of", "avg": "average", "min": "smallest", "max": "largest"}
MOST_OPTIONS = 20


def explain(rule: Condition) -> str:
    """One sentence without a full stop, such as `country is “DE” or “AT”, and plan is not “free”`."""
    match rule:
        case tree.Everyone():
            return "everyone"
        case tree.And(parts=parts):
            return ", and ".join(_in_brackets(part) for part in parts)
        case tree.Or(parts=parts):
            return ", or ".join(_in_brackets(part) for part in parts)
        case tree.Not(part=part):
            return _denied(part)
        case tree.Did(events=events):
            return f"did {_events(events)}"
        case tree.InSegment(key=key):
            return f"is in the segment “{key}”"
        case tree.Truth(value=value):
            return f"{explain_value(value)} is true"
    return _about_a_value(rule)


def explain_value(value: Value) -> str:
    """A noun, such as `ltv` or `the number of “purchase” events in the last 90 days`."""
    match value:
        case Literal(value=literal):
            return _literal(literal)
        case tree.Name(name=name) | tree.Column(name=name):
            return name
        case tree.Ago(duration=duration):
            return f"{_duration(duration)} ago"
        case tree.Negative(value=inner):
            return f"minus {explain_value(inner)}"
        case tree.Arithmetic(left=left, right=right, sign=sign):
            return f"({explain_value(left)} {ARITHMETIC[sign]} {explain_value(right)})"
    return _aggregate(value)


def _about_a_value(rule: Condition) -> str:
    match rule:
        case tree.Compare(left=left, right=right, sign=sign):
            relations = OF_TIME if TraitType.DATETIME in {type_of(left), type_of(right)} else RELATIONS
            return f"{explain_value(left)} {relations[sign]} {explain_value(right)}"
        case tree.Between(value=value, low=low, high=high):
            return f"{explain_value(value)} is between {explain_value(low)} and {explain_value(high)}"
        case tree.OneOf(value=value, options=options, negated=negated):
            verb, word = (
                ("is neither", "nor") if negated and len(options) > 1 else ("is not" if negated else "is", "or")
            )
            return f"{explain_value(value)} {verb} {_listed(options, word)}"
        case tree.Known(value=value, negated=negated):
            return f"{explain_value(value)} is {'unknown' if negated else 'known'}"
        case tree.Matches(value=value, manner=manner, text=text):
            return f"{explain_value(value)} {manner} {_literal(text)}"
        case tree.Has(value=value, options=options, every=every):
            return f"{explain_value(value)} has {_listed(options, 'and' if every else 'or')}"
        case tree.InLast(value=value, window=window):
            return f"{explain_value(value)} is in the last {_duration(window)}"
    raise AssertionError(f"no words for {type(rule).__name__}")


def _aggregate(value: Value) -> str:
    match value:
        case tree.Aggregate(function="first" | "last", events=events):
            return f"the time of the {value.function} {_events(events, any_name='event of any name')}"
        case tree.Aggregate(function="count", events=events):
            return f"the number of {_events(events, ' events', 'events')}"
        case tree.Aggregate(property=tree.Name(name=name) | tree.Column(name=name), events=events):
            return f"the {FOLDS[value.function]} {name} of {_events(events, ' events', 'all events')}"
    raise AssertionError(f"no words for {type(value).__name__}")


def _events(events: Events, noun: str = "", any_name: str = "any event") -> str:
    name = f"“{events.name}”{noun}" if events.name is not None else any_name
    where = f" (where {explain(events.where)})" if events.where else ""
    window = f" in the last {_duration(events.window)}" if events.window else ""
    return name + where + window


def _denied(part: Condition) -> str:
    match part:
        case tree.Did(events=events):
            return f"did not {_events(events)}"
        case tree.InSegment(key=key):
            return f"is not in the segment “{key}”"
        case tree.Truth(value=value):
            return f"{explain_value(value)} is false"
    return f"not ({explain(part)})"


def _in_brackets(part: Condition) -> str:
    return f"({explain(part)})" if isinstance(part, tree.And | tree.Or) else explain(part)


def _listed(options: Sequence[Literal], word: str) -> str:
    shown = [_literal(option.value) for option in options[:MOST_OPTIONS]]
    if len(options) > MOST_OPTIONS:
        shown.append(f"{len(options) - MOST_OPTIONS:,} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {word} {shown[-1]}"


def _literal(value: str | float | bool | datetime) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else repr(value)
        case datetime():
            return value.strftime("%Y-%m-%d") if value.time() == datetime.min.time() else f"{value.isoformat(' ')} UTC"
    return f"“{value}”"


def _duration(duration: Duration) -> str:
    return f"{duration.count:,} {duration.unit}{'' if duration.count == 1 else 's'}"
