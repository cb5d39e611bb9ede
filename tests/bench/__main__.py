"""Run each contender in a process of its own, some times over, and print the ratios of their medians."""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.sink import running_sink
from tests.bench.workload import make_workload

CONTENDERS = {"hub": "by_hub", "script": "by_script", "dlt": "by_dlt"}
# What the first end-to-end issue asks of the hub against the hand-written script.
AIMS = {"import": 2.0, "segments": 1.3, "first sync": 1.5, "delta sync": 2.0, "peak MB": 2.0}

console = Console(width=110)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--people", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.people[0])))
        return
    for people in arguments.people:
        make_workload(people, workload_folder(people))
        rounds = [{name: in_a_process(name, people) for name in arguments.only} for _ in range(arguments.repeat)]
        show(people, rounds)


def workload_folder(people: int) -> Path:
    return Path(tempfile.gettempdir()) / f"hub-bench-{people}"


def in_a_process(contender: str, people: int) -> dict[str, float]:
    """The contender's seconds by phase, its peak memory in MB, and what reached the sink."""
    command = [sys.executable, "-m", "tests.bench", "--one", contender, "--people", str(people)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(contender: str, people: int) -> dict[str, float]:
    folder = Path(tempfile.mkdtemp(prefix=f"hub-bench-{contender}-"))
    try:
        with running_sink() as sink:
            module: Any = importlib.import_module(f"tests.bench.{CONTENDERS[contender]}")
            seconds = module.run(make_workload(people, workload_folder(people)), sink.url, folder)
            received = sink.totals()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**seconds, "peak MB": peak, "people received": received["people"], "requests": received["requests"]}


def show(people: int, rounds: list[dict[str, dict[str, float]]]) -> None:
    medians = {name: medians_of([one[name] for one in rounds]) for name in rounds[0]}
    title = f"{people:,} people, {5 * people:,} events; medians of {len(rounds)}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for name in medians:
        table.add_column(f"{name}", justify="right")
    for name in list(medians)[1:]:
        table.add_column(f"hub ÷ {name}", justify="right")
    table.add_column("aim", justify="right", style="dim")
    for phase in dict.fromkeys(phase for each in medians.values() for phase in each):
        values = [each.get(phase) for each in medians.values()]
        ratios = [ratio(values[0], other) for other in values[1:]]
        aim = f"≤ {AIMS[phase]}" if phase in AIMS else ""
        table.add_row(
            phase, *("" if v is None else f"{v:,.2f}" if v < 100 else f"{v:,.0f}" for v in values), *ratios, aim
        )
    console.print(table)


def medians_of(runs: list[dict[str, float]]) -> dict[str, float]:
    return {phase: statistics.median(run[phase] for run in runs) for phase in runs[0]}


def ratio(ours: float | None, theirs: float | None) -> str:
    return f"{ours / theirs:.2f} ×" if ours is not None and theirs else ""


if __name__ == "__main__":
    main()
