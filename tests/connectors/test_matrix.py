"""The matrix in the documentation: what it counts is what the kit counts, and what it says of limits can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.sdk.limits import DailyBudget, Gauge, Limit, PerSecond, Remaining, Window
from hub.sdk.scores import Kept, score_folder
from tests.connectors import matrix
from tests.connectors.proven import PROMISES, applies
from tests.kit import test_examples as examples

CONTRACTS = (examples.TestAcme, examples.TestAcmeBulk, examples.TestAcmeTelling)
EXAMPLE = Path(__file__).parents[2] / "docs/examples/acme"


def test_as_many_promises_are_counted_as_the_kit_keeps() -> None:
    for card in score_folder(EXAMPLE):
        [contract] = [one for one in CONTRACTS if one.connector.key == card.connector]
        counted = {name for name in PROMISES if applies(contract, name)}
        kept = {f"test_{one.name.replace(' ', '_')}" for one in card.promises if one.kept is Kept.KEPT}
        assert counted == kept and len(card.promises) == len(PROMISES)


def test_a_connector_that_nobody_tests_is_not_listed_silently() -> None:
    with pytest.raises(AssertionError, match="holds first to its promises"):
        matrix.proofs([examples.First])


def test_an_outdated_page_is_found_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(matrix, "TARGET", tmp_path / "README.md")
    assert matrix.main(["--check"]) == 1 and "make matrix" in capsys.readouterr().err
    assert matrix.main([]) == 0 and matrix.main(["--check"]) == 0
    assert "| [Mailchimp](mailchimp.md) | email | " in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (PerSecond(10, burst=20), "10/s, 20 at once"),
        (Window(150, seconds=60), "150 in 1 min"),
        (Window(3, seconds=86_400), "3 in 24 h"),
        (DailyBudget(250_000), "250,000 a day"),
        (Remaining("x-left"), "`x-left`"),
        (Gauge("x-usage", most=0.9), "`x-usage` up to 90%"),
    ],
)
def test_limits_are_told_in_words(limit: Limit, said: str) -> None:
    assert matrix._limit(limit) == said
