"""How well a connector keeps its promises: its own tests are found, run by a Python of their own, and counted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hub.errors import ErrorCode, refuse
from hub.sdk.contract import Connector

PLUGIN = "hub.sdk.testing.score"
TEST_FILES = ("test_*.py", "*_test.py")
NO_TESTS = 5
FIRST = "every connector"


class Kept(StrEnum):
    """Worst last: of several tests of one promise, the worst counts."""

    DOES_NOT_APPLY = "skipped"
    KEPT = "passed"
    BROKEN = "failed"


@dataclass(frozen=True, slots=True)
class Promise:
    group: str
    name: str
    kept: Kept
    why: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True)
class ScoreCard:
    """What one connector promises, in the order in which it was asked."""

    connector: str
    title: str
    promises: Sequence[Promise]

    @property
    def groups(self) -> Mapping[str, Sequence[Promise]]:
        """The promises by who asks for them, those that every connector makes first."""
        names = sorted({one.group for one in self.promises}, key=lambda name: (name != FIRST, name))
        return {name: [one for one in self.promises if one.group == name] for name in names}


def score_folder(folder: Path) -> list[ScoreCard]:
    """The cards of all connectors whose contracts are tested in this folder. HubError INVALID where there are none, or
    where its tests cannot be run."""
    return _cards(folder, ["."], [])


def score_connector(connector: type[Connector[Any]]) -> list[ScoreCard]:
    """The card of an installed connector, by the tests beside it; HubError NOT_FOUND where they were not installed."""
    project = _project_of(connector)
    tests = [file for file in _test_files(project) if connector.__name__ in file.read_text(encoding="utf-8")]
    if not tests:
        raise _tests_missing(connector)
    return _cards(project, [str(file) for file in tests], ["--connector", connector.key])


def _project_of(connector: type[Connector[Any]]) -> Path:
    source = Path(sys.modules[connector.__module__].__file__ or "")
    for folder in source.parents:
        if folder.name in {"site-packages", "dist-packages"}:
            break
        if (folder / "pyproject.toml").is_file():
            return folder
    raise _tests_missing(connector)


def _test_files(project: Path) -> Iterable[Path]:
    found = (file for pattern in TEST_FILES for file in project.rglob(pattern))
    return sorted(file for file in found if not any(part.startswith(".") for part in file.relative_to(project).parts))


def _tests_missing(connector: type[Connector[Any]]) -> Exception:
    said = f"The tests of {connector.key} were not installed with it: name the folder that they are in."
    return refuse(ErrorCode.NOT_FOUND, said)


def _cards(folder: Path, tests: Sequence[str], further: Sequence[str]) -> list[ScoreCard]:
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "score.json"
        asked = [sys.executable, "-m", "pytest", "-p", PLUGIN, "--score", str(file), "-p", "no:cacheprovider", "-q"]
        ran = subprocess.run([*asked, *further, *tests], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - their own tests
        scores = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    if not scores:
        raise _could_not_run(folder, ran)
    return [_card(key, [score for score in scores if score["connector"] == key]) for key in _keys(scores)]


def _keys(scores: Iterable[Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(score["connector"] for score in scores))


def _card(key: str, scores: Sequence[Mapping[str, str]]) -> ScoreCard:
    worst: dict[tuple[str, str], Promise] = {}
    for score in scores:
        one = Promise(score["group"], score["promise"], Kept(score["outcome"]), score["why"], score["where"])
        before = worst.setdefault((one.group, one.name), one)
        if list(Kept).index(one.kept) > list(Kept).index(before.kept):
            worst[one.group, one.name] = one
    return ScoreCard(key, scores[0]["title"], list(worst.values()))


def _could_not_run(folder: Path, ran: subprocess.CompletedProcess[str]) -> Exception:
    if "No module named pytest" in ran.stderr or f'"{PLUGIN}"' in ran.stderr:
        return refuse(ErrorCode.INVALID, "The kit is not installed: pip install 'audience-hub[testing]'.")
    if ran.returncode == NO_TESTS or " deselected" in ran.stdout:
        said = "holds no test class that inherits ConnectorContract or HttpConnectorContract"
        return refuse(ErrorCode.INVALID, f"{folder} {said}: docs/connectors/writing.md shows one.")
    last = "\n".join((ran.stdout + ran.stderr).strip().splitlines()[-30:])
    return refuse(ErrorCode.INVALID, f"The tests in {folder} could not be run:\n{last}")
