"""How much of the machine a sample of the schedules runs through: lines and branches, by coverage.py."""

from __future__ import annotations

import sys

import coverage


def main(sample: int) -> None:
    measured = coverage.Coverage(branch=True, source=["hub.core.delivery"], data_file=None)
    measured.start()
    # Imported only now, so that the lines of the modules themselves are counted.
    from tests.simulation.search import first_failure

    first_failure(range(sample))
    measured.stop()
    measured.report(show_missing=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
