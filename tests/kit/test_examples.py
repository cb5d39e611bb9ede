"""The connectors that the documentation shows: they pass the kit, and the pages show them as they are."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from hub.plugins import load_registry
from hub.sdk import Audience
from hub.sdk.testing import ConnectorContract, Vendor
from tests.connectors.matrix import declared
from tests.connectors.through_the_hub import ThroughTheHub

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "examples"
sys.path[:0] = [str(EXAMPLES / "acme"), str(EXAMPLES / "first")]

from first_connector import First  # type: ignore[import-not-found]  # noqa: E402
from test_acme_audiences import TestAcme  # type: ignore[import-not-found]  # noqa: E402
from test_acme_bulk import TestAcmeBulk  # type: ignore[import-not-found]  # noqa: E402
from test_acme_telling import TestAcmeTelling  # type: ignore[import-not-found]  # noqa: E402, F401


class TestAcmeThroughTheHub(ThroughTheHub):
    connector = TestAcme.connector
    config: ClassVar = TestAcme.config
    fields: ClassVar = TestAcme.fields

    def make_vendor(self) -> Vendor:
        return TestAcme().make_vendor()  # type: ignore[no-any-return]


class TestAcmeBulkThroughTheHub(TestAcmeThroughTheHub):
    connector = TestAcmeBulk.connector

    def make_vendor(self) -> Vendor:
        return TestAcmeBulk().make_vendor()  # type: ignore[no-any-return]


class Memory(Vendor):
    def members(self, audience: Audience) -> set[str]:
        return set(First.held.get(audience.ref, {}))


class TestFirst(ConnectorContract):
    connector = First
    refuses_people = False

    def make_vendor(self) -> Vendor:
        First.held.clear()
        return Memory()


def test_the_examples_are_found_as_plugins_are() -> None:
    from importlib.metadata import EntryPoint

    points = [EntryPoint(name, module, "hub.connectors") for name, module in
              (("acme", "acme_audiences"), ("first", "first_connector"))]  # fmt: skip
    assert set(load_registry(found=points).connectors) == {"acme", "first"}


def shown(page: Path) -> list[tuple[str, str, str]]:
    """Every code block that names where it is cut from: `<!-- cut: file#part -->` and the block after it."""
    pattern = r"<!-- cut: ([\w/.]+)#(\w+) -->\n```\w+\n(.*?)```"
    return [(file, part, code) for file, part, code in re.findall(pattern, page.read_text(), re.DOTALL)]


@pytest.mark.parametrize("page", sorted((DOCS / "connectors").glob("*.md")), ids=lambda page: page.stem)
def test_code_on_a_page_is_cut_from_a_tested_file(page: Path) -> None:
    for file, part, code in shown(page):
        source = (EXAMPLES / file).read_text()
        cut = re.search(rf"# \[{part}\]\n(.*?)\n*# \[/{part}\]", source, re.DOTALL)
        assert cut, f"{file} has no part {part}"
        assert code.strip() == cut[1].strip(), f"{page.name}: the part {part} of {file} has changed"


def test_the_page_on_writing_shows_code() -> None:
    assert len(shown(DOCS / "connectors/writing.md")) >= 4


def test_every_connector_has_its_page() -> None:
    for connector in declared():
        page = (DOCS / f"connectors/{connector.key}.md").read_text()
        missing = [name for name in connector.Config.model_fields if f"`{name}`" not in page]
        assert not missing, f"docs/connectors/{connector.key}.md does not mention {missing}"
