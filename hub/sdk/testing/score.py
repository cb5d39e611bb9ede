"""A pytest plugin that writes down which promises a connector keeps: `pytest -p hub.sdk.testing.score --score FILE`.

Only the contract's own tests are run, with `--connector KEY` those of that connector; whatever else a package tests is
its own business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import hub.sdk
from hub.sdk.testing.contract import ConnectorContract

GROUPS = {"ConnectorContract": "every connector", "HttpConnectorContract": "over HTTP"}
PROMISED = ("AssertionError", "assert ", "Failed: ")
LINES_OF_AN_ERROR = 3
LONGEST = 300
SDK = Path(hub.sdk.__file__).parent
_SCORES = pytest.StashKey[list[dict[str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--score", metavar="FILE", help="write the score as JSON into this file")
    parser.addoption("--connector", metavar="KEY", help="only the promises of this connector")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SCORES] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("--connector")
    kept = [item for item in items if _is_promise(item) and wanted in {None, _class_of(item).connector.key}]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" or report.outcome != "passed":
        connector, name = _class_of(item).connector, item.name
        item.config.stash[_SCORES].append(
            {
                "connector": connector.key,
                "title": connector.title,
                "group": _group_of(_class_of(item), name),
                "promise": name.removeprefix("test_").replace("_", " "),
                "outcome": report.outcome,
                "why": _why(report),
                "where": _where(report, item.config.invocation_params.dir),
            }
        )
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if file := session.config.getoption("--score"):
        Path(file).write_text(json.dumps(session.config.stash[_SCORES]), encoding="utf-8")


def _is_promise(item: pytest.Item) -> bool:
    contract = _class_of(item)
    return isinstance(contract, type) and issubclass(contract, ConnectorContract)


def _class_of(item: pytest.Item) -> Any:
    return getattr(item, "cls", None)


def _group_of(contract: type, name: str) -> str:
    """Named after whoever made the promise first: what a test class asks of itself is its own."""
    maker = next(kind.__name__ for kind in reversed(contract.__mro__) if name.partition("[")[0] in vars(kind))
    if maker.startswith("Test"):
        return "its own"
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", maker.removesuffix("Contract")).lower()
    return GROUPS.get(maker, words)


def _why(report: pytest.TestReport) -> str:
    """What went wrong, or why it does not apply: the first line of what a promise says, and of another error the lines
    that name the field or the value besides."""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    told = [line.strip() for line in (crash.message if crash else report.longreprtext).splitlines() if line.strip()]
    said = told[:1] if told and told[0].startswith(PROMISED) else told[:LINES_OF_AN_ERROR]
    return " ".join(said).removeprefix("AssertionError: ")[:LONGEST]


def _where(report: pytest.TestReport, folder: Path) -> str:
    """The innermost line of the package's own that led to an error; empty where the promise itself was found broken."""
    entries = getattr(getattr(report.longrepr, "reprtraceback", None), "reprentries", ())
    places = [place for entry in entries if (place := getattr(entry, "reprfileloc", None))]
    own = [place for place in places if _is_own((folder / place.path).resolve(), folder)]
    return f"{Path(own[-1].path).name}:{own[-1].lineno}" if own else ""


def _is_own(file: Path, folder: Path) -> bool:
    installed = {"site-packages", "dist-packages"} & {*file.parts}
    return file.is_relative_to(folder.resolve()) and not installed and not file.is_relative_to(SDK)
