"""Seeded schedules by the thousand, with progress; or one of them, told from beginning to end.

`python -m tests.simulation 100000` searches, `--seed 7` replays, `--seed 7 --bug NAME` replays with a planted bug.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.simulation.bugs import BUGS
from tests.simulation.checker import violations
from tests.simulation.schedule import simulate
from tests.simulation.search import Failure, first_failure

AT_A_TIME = 250
# Coverage slows a schedule down several times: a sample says as much.
SAMPLE = 1_000
MOST_FOR_A_BUG = 10_000

console = Console()


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    asked.add_argument("seeds", type=int, nargs="?", default=2000, help="how many schedules")
    asked.add_argument("--seed", type=int, help="replay this one and tell its story")
    asked.add_argument("--bug", choices=sorted(BUGS), help="plant this bug in the replay")
    asked.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    options = asked.parse_args()
    if options.seed is not None:
        return replay(options.seed, options.bug)
    failure = search(options.seeds, options.jobs)
    if failure:
        console.print(f"[bold red]A law is broken.[/] {failure}", highlight=False)
        return 1
    report_coverage(min(SAMPLE, options.seeds))
    return report_bugs()


def replay(seed: int, bug: str | None) -> int:
    with BUGS[bug]() if bug else nullcontext():
        hub = simulate(seed, tell=True)
        wrong = list(violations(hub))
    print(*(hub.story or []), sep="\n")
    print(f"\n{type(hub.vendor).__name__}, key {hub.town.key}, {hub.limits}")
    print(*(wrong or ["All laws hold."]), sep="\n")
    return 1 if wrong else 0


def search(seeds: int, jobs: int) -> Failure | None:
    began = time.perf_counter()
    starts = range(0, seeds, AT_A_TIME)
    with ProcessPoolExecutor(jobs) as pool, _progress() as progress:
        task = progress.add_task("schedules", total=seeds)
        parts = [pool.submit(first_failure, range(start, min(start + AT_A_TIME, seeds))) for start in starts]
        for done, part in enumerate(as_completed(parts), 1):
            if failure := part.result():
                pool.shutdown(cancel_futures=True)
                return failure
            progress.update(task, completed=min(done * AT_A_TIME, seeds))
    took = time.perf_counter() - began
    console.print(
        f"{seeds:,} schedules in {took:.1f} s: {seeds / took:,.0f} a second on {jobs} processes. No law broken."
    )
    return None


def _progress() -> Progress:
    columns = SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console)


def report_coverage(sample: int) -> None:
    """In a process of its own, since what is imported before the measuring begins is not measured."""
    console.print(f"Branch coverage of hub/core/delivery over the first {sample:,} schedules:")
    subprocess.run([sys.executable, "-m", "tests.simulation.covered", str(sample)], check=True)


def report_bugs() -> int:
    table = Table()
    table.add_column("planted bug", no_wrap=True)
    table.add_column("schedules", justify="right")
    table.add_column("first sign", no_wrap=True)
    missed = 0
    for bug in BUGS:
        failure = first_failure(range(MOST_FOR_A_BUG), bug)
        missed += failure is None
        table.add_row(
            bug, str(failure.seed + 1) if failure else "[red]not found[/]", failure.wrong[0] if failure else ""
        )
    console.print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
