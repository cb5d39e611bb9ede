"""What the mutants say about the tests."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tests.mutation.equivalents import Equivalent
from tests.mutation.run import Mutant

SCORE = 0.9


def survivors(tried: Iterable[Mutant], equivalents: Collection[Equivalent]) -> list[Mutant]:
    """Those that no test noticed and nobody has judged to change nothing."""
    return [mutant for mutant in tried if not mutant.found and not _judged(mutant, equivalents)]


def score_of(tried: Iterable[Mutant], equivalents: Collection[Equivalent], module: str) -> float:
    """The share of the module's mutants that the tests found, of those that change anything."""
    telling = [m for m in tried if m.module == module and (m.found or not _judged(m, equivalents))]
    return sum(mutant.found for mutant in telling) / len(telling) if telling else 1.0


def _judged(mutant: Mutant, equivalents: Collection[Equivalent]) -> bool:
    """By function and text, never by line number: a mutant of other code must be judged anew."""
    return any(
        (one.function, one.was) == (mutant.function, mutant.was) and mutant.became in one.became for one in equivalents
    )
