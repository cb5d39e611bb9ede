"""Runs mutmut on a copy of the tree, so that nobody who edits it meanwhile is disturbed, and reads what came of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

TREE = Path(__file__).parents[2]
NEEDED = ("hub", "connectors", "tests", "pyproject.toml", "schema.graphql")
# A mutant under which the tests run on for ever has been noticed just as well.
FOUND = frozenset({"killed", "timeout", "segfault", "suspicious"})


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one function; `was` and `became` are the changed lines, without their indentation."""

    module: str
    function: str
    was: str
    became: str
    found: bool


class MutationFailed(Exception):
    """mutmut did not come to an end; the message holds the last that it said."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Less than pyproject.toml asks for: these modules, held against these tests, and of their mutants those whose
    names match one of the patterns."""

    modules: Sequence[str]
    tests: Sequence[str]
    names: Sequence[str]


def mutants(sample: Sample | None = None) -> list[Mutant]:
    """Every mutant that was tried, of all the modules in pyproject.toml or of the sample."""
    with TemporaryDirectory() as folder:
        _copy_to(Path(folder))
        if sample:
            _configure(Path(folder) / "pyproject.toml", sample)
        _mutate(Path(folder), sample.names if sample else ())
        with chdir(folder):
            return list(_tried())


def _copy_to(folder: Path) -> None:
    for name in NEEDED:
        if (TREE / name).is_dir():
            shutil.copytree(TREE / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(TREE / name, folder)


def _configure(project: Path, sample: Sample) -> None:
    told = project.read_text()
    for name, value in (("only_mutate", sample.modules), ("pytest_add_cli_args_test_selection", sample.tests)):
        # A list of texts is the same in JSON and in TOML.
        told = re.sub(rf"^{name} = \[.*?\]\n", f"{name} = {json.dumps(list(value))}\n", told, flags=re.M | re.S)
    project.write_text(told)


def _mutate(folder: Path, names: Sequence[str]) -> None:
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(os.cpu_count() or 1), *names]
    with (folder / "said.txt").open("w+b") as said:
        done = subprocess.run(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT, check=False)
        said.seek(0)
        if done.returncode:
            raise MutationFailed(said.read()[-3000:].decode(errors="replace"))


def _tried() -> Iterator[Mutant]:
    for meta in sorted(Path("mutants").rglob("*.py.meta")):
        path = str(meta.relative_to("mutants"))[: -len(".meta")]
        for name, code in json.loads(meta.read_text())["exit_code_by_key"].items():
            status = status_by_exit_code[code]
            if status != "not checked":
                yield _mutant(path, name, status in FOUND)


def _mutant(path: str, name: str, found: bool) -> Mutant:
    function, of = orig_function_and_class_names_from_key(name)
    changed = get_diff_for_mutant(name, path=path).splitlines()[3:]
    was, became = ("\n".join(line[1:].strip() for line in changed if line[0] == sign) for sign in "-+")
    return Mutant(path, f"{of}.{function}" if of else function, was, became, found)
