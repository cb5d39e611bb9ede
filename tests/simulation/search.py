"""Looking for a seed that goes against a law."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import NamedTuple

from tests.simulation.bugs import BUGS
from tests.simulation.checker import violations
from tests.simulation.schedule import simulate


class Failure(NamedTuple):
    """`wrong` in words; the seed alone leads there again."""

    seed: int
    wrong: list[str]
    bug: str | None = None

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed}:", *(f"  {line}" for line in self.wrong), f"replay: {self.command}"])

    @property
    def command(self) -> str:
        planted = f" --bug {self.bug}" if self.bug else ""
        return f".venv/bin/python -m tests.simulation --seed {self.seed}{planted}"


def wrong_with(seed: int) -> list[str]:
    """What goes against a law in this schedule. A machine that breaks down or never ends counts as well."""
    try:
        return list(violations(simulate(seed)))
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


def first_failure(seeds: Iterable[int], bug: str | None = None) -> Failure | None:
    with BUGS[bug]() if bug else nullcontext():
        found = ((seed, wrong_with(seed)) for seed in seeds)
        return next((Failure(seed, wrong, bug) for seed, wrong in found if wrong), None)
