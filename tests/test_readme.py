"""The README tells the truth: its code is the tested code, its queries fit the schema, its rules parse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from graphql import build_schema, parse, validate

from hub.core.rules.syntax import parse as parse_rule

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for found, text in fenced if found == language]


def test_the_first_connector_is_the_tested_one() -> None:
    source = (ROOT / "docs" / "examples" / "first" / "first_connector.py").read_text()
    [shown] = blocks("python")
    assert shown.strip() in source


def test_every_graphql_request_fits_the_schema() -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text())
    requests = re.findall(r"^(?:mutation )?\{.*?(?=\n\n|\Z)", "\n\n".join(blocks("graphql")), re.MULTILINE | re.DOTALL)
    assert len(requests) >= 6
    assert [error for request in requests for error in validate(schema, parse(request))] == []


@pytest.mark.parametrize("page", ["README.md", "docs/connectors/writing.md", "docs/graphql.md"])
def test_every_request_given_to_the_command_line_fits_the_schema(page: str) -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text())
    requests = re.findall(r"hub query '(.*?)'", (ROOT / page).read_text(), re.DOTALL)
    assert requests and [error for request in requests for error in validate(schema, parse(request))] == []


@pytest.mark.parametrize("rule", [line for line in blocks("")[-1].splitlines() if line])
def test_every_rule_parses(rule: str) -> None:
    parse_rule(rule)


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []
