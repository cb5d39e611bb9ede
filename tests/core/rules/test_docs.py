"""Every example in docs/rules.md is a rule, and every refusal it shows is the one given."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hub.core.rules.check import check_text
from hub.core.rules.syntax import parse
from hub.errors import HubError
from tests.core.rules.world import CATALOGUE

PAGE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text("utf-8")
RULES = [line for block in re.findall(r"```rule\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
REFUSALS = re.findall(r"\| `([A-Z_]+)` \| `(.+?)`: (.+) \|", PAGE)


@pytest.mark.parametrize("rule", RULES)
def test_every_example_parses(rule: str) -> None:
    assert parse(rule)


@pytest.mark.parametrize(("code", "rule", "message"), REFUSALS)
def test_every_refusal_is_the_one_shown(code: str, rule: str, message: str) -> None:
    with pytest.raises(HubError) as refused:
        check_text(rule, CATALOGUE)
    assert (refused.value.code.value, refused.value.problems[0].message) == (code, message)


def test_the_page_has_examples() -> None:
    assert len(RULES) > 25
    assert len(REFUSALS) == 4
