"""What a person in front of a terminal sees: problems, tables and progress."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from hub.errors import Problem


def print_problems(problems: Iterable[Problem]) -> None:
    """One problem a line on standard error: where, what, and what to do."""
    for problem in problems:
        place = [".".join(problem.path)] if problem.path else []
        if problem.line is not None:
            place.append(f"line {problem.line}" + (f", column {problem.column}" if problem.column is not None else ""))
        where = f" ({'; '.join(place)})" if place else ""
        said = problem.suggestion is None or problem.suggestion in problem.message
        meant = "" if said else f" Did you mean {problem.suggestion}?"
        print(f"{problem.code}: {problem.message}{where}{meant}", file=sys.stderr)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table for people; plain columns with tabs when nobody is looking."""
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(str(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console().print(table)


def print_counts(counts: Mapping[str, int]) -> None:
    """Counts on one line, those of zero left out."""
    print(", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing to do")


class Bar(Protocol):
    """Something that shows how far a long work is."""

    def show(self, done: int, total: int, status: str = "") -> None:
        """`done` of `total` are behind us."""


class _Quiet:
    def show(self, done: int, total: int, status: str = "") -> None:
        """Nobody is looking."""


class _Rich:
    def __init__(self, progress: Any, words: str) -> None:
        self._progress, self._words = progress, words
        self._task = progress.add_task(words, total=None)

    def show(self, done: int, total: int, status: str = "") -> None:
        described = f"{self._words} {status.lower()}".rstrip()
        self._progress.update(self._task, completed=done, total=total or None, description=described)


@contextmanager
def bar(words: str) -> Iterator[Bar]:
    """A progress bar on standard error where somebody is looking."""
    if not sys.stderr.isatty():
        yield _Quiet()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        yield _Rich(progress, words)
