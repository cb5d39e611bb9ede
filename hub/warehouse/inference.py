"""Which type each new column of a staged file has, decided once from all of its values.

A quick look at some rows rules most types out, so that the pass over the whole file asks little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hub.core.records import TraitType
from hub.warehouse.engine import Reader
from hub.warehouse.files.block import Native
from hub.warehouse.values import FORMS, Form

GUESSES = (TraitType.BOOLEAN, TraitType.NUMBER, TraitType.DATETIME, TraitType.TEXTS)
LOOK = 5000

# The group of values that one type is decided for: one event name, or everybody.
Group = str | None


@dataclass(frozen=True, slots=True)
class Question:
    """A new column: its name, where it is staged, and which types are still possible."""

    name: str
    column: str
    guesses: tuple[TraitType, ...]


def guesses(native: Iterable[Native]) -> tuple[TraitType, ...]:
    """The types that a column may turn out to have, going by what the file says of its values."""
    said = frozenset(native)
    if said == {Native.TEXT}:
        return (TraitType.DATETIME,)
    return GUESSES


@dataclass(frozen=True, slots=True)
class Inferred:
    """The type of a new column; `clean` when every value fits, so that nobody needs to look again."""

    type: TraitType
    clean: bool


def infer(reader: Reader, questions: Sequence[Question], group: str | None = None) -> dict[tuple[Group, str], Inferred]:
    """The type per group and column; a column without any value in a group is left out.

    `group` is the staged column that holds the group, None for one group of all.
    """
    if not questions:
        return {}
    glance = _ask(reader, questions, group, f"(SELECT * FROM staged LIMIT {LOOK}) AS glance", Form.like)
    narrowed = [replace(q, guesses=_left(q, glance)) for q in questions]
    fitting = _ask(reader, narrowed, group, "staged", Form.fits)
    doubtful = [open_to for q in narrowed if (open_to := _doubt(q, glance, fitting, questions))]
    alike = _ask(reader, doubtful, group, "staged", _looks_like_some) if doubtful else {}
    answers = {key: Inferred(held[0], True) for key, held in fitting.items() if held}
    for key, held in fitting.items():
        if not held:
            kinds = alike.get(key, ())
            answers[key] = Inferred(kinds[0], False) if kinds else Inferred(TraitType.TEXT, True)
    return answers


def _left(question: Question, glance: Held) -> tuple[TraitType, ...]:
    """The guesses that a glance leaves open in any group; all of them where it saw no value."""
    seen = [held for (_, name), held in glance.items() if name == question.name]
    return tuple(guess for guess in question.guesses if not seen or any(guess in held for held in seen))


Held = Mapping[tuple[Group, str], Sequence[TraitType]]


def _doubt(narrowed: Question, glance: Held, fitting: Held, asked: Sequence[Question]) -> Question | None:
    """What to ask again of a column whose values do not all fit: they may still look alike, and in a group that the
    glance had no value of, no type was ruled out."""
    unfit = [key for key, held in fitting.items() if key[1] == narrowed.name and not held]
    unseen = [key for key in unfit if key not in glance]
    guesses = next(q.guesses for q in asked if q.name == narrowed.name) if unseen else narrowed.guesses
    return replace(narrowed, guesses=guesses) if unfit and guesses else None


def _looks_like_some(form: Form, column: str) -> str:
    return form.like(column)


def _ask(
    reader: Reader, questions: Sequence[Question], group: str | None, source: str, test: Callable[[Form, str], str]
) -> dict[tuple[Group, str], tuple[TraitType, ...]]:
    """Per group and column with any value: the guesses for which the test holds for all values, and fits one."""
    asked = [(q, guess) for q in questions for guess in q.guesses]
    filled = [f"count(*) FILTER (WHERE {q.column} <> '')" for q in questions]
    misses = [f"count(*) FILTER (WHERE {q.column} <> '' AND NOT {test(FORMS[guess], q.column)})" for q, guess in asked]
    fitted = [_any_fits(FORMS[guess], q.column, test) for q, guess in asked]
    by = f"GROUP BY {group}" if group else ""
    rows = reader.rows(f"SELECT {', '.join([group or 'NULL', *filled, *misses, *fitted])} FROM {source} {by}")
    answers: dict[tuple[Group, str], tuple[TraitType, ...]] = {}
    for of, *counts in rows:
        values, missed, fits = _cut(counts, len(questions), len(asked))
        held = [pair for pair, miss, fit in zip(asked, missed, fits, strict=True) if not miss and fit]
        for q, count in zip(questions, values, strict=True):
            if count:
                answers[of, q.name] = tuple(guess for known, guess in held if known is q)
    return answers


def _any_fits(form: Form, column: str, test: Callable[[Form, str], str]) -> str:
    # Values that all look like numbers and are none (NaN throughout) make no number column; where the test is the
    # fit itself there is nothing more to ask.
    if test is not _looks_like_some or form.like_if is None:
        return "TRUE"
    return f"coalesce(bool_or({form.fits(column)}) FILTER (WHERE {column} <> ''), FALSE)"


def _cut(counts: Sequence[Any], first: int, second: int) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    return counts[:first], counts[first : first + second], counts[first + second :]
