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

from hub.sdk.testing.contract import ConnectorContract

GROUPS = {"ConnectorContract": "every connector", "HttpConnectorContract": "over HTTP"}
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
    """The first line of what went wrong, or why it does not apply."""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    told = crash.message if crash else report.longreprtext
    return next(iter(told.splitlines()), "").removeprefix("AssertionError: ")
