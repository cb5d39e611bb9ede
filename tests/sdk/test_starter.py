"""A connector that has just been begun: its package installs, the hub finds it, and it keeps every promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hub.errors import ErrorCode, HubError
from hub.sdk.scores import Kept, score_folder
from hub.sdk.starter import start

EXAMPLE = Path(__file__).parents[2] / "docs/examples/acme"
FOUND = "from hub.plugins import load_registry; print(load_registry(frozenset({'KEY'})))"


def install(package: Path, target: Path) -> None:
    """As pip does, into a folder of its own and without the network."""
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", str(target), str(package)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def found_in(target: Path, key: str) -> str:
    """What the registry says of this connector in a process that has the target on its path."""
    path = os.pathsep.join([str(target), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", FOUND.replace("KEY", key)]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_new_package_is_installed_and_found_and_keeps_its_promises(tmp_path: Path) -> None:
    package = start("north-wind", tmp_path)
    [card] = score_folder(package)
    assert (card.connector, card.title) == ("north-wind", "North Wind")
    kept = [one.kept for one in card.promises]
    assert Kept.BROKEN not in kept and kept.count(Kept.KEPT) > 30
    install(package, tmp_path / "installed")
    said = found_in(tmp_path / "installed", "north-wind")
    assert "<class 'north_wind_audiences.NorthWind'>" in said and "disabled={}" in said


def test_the_example_is_installed_and_found(tmp_path: Path) -> None:
    said = found_in(tmp_path, "acme")
    assert "connectors={}" in said and "'acme': 'not installed'" in said
    copy = tmp_path / "acme"
    copy.mkdir()
    for name in ("pyproject.toml", "acme_audiences.py"):
        (copy / name).write_text((EXAMPLE / name).read_text())
    install(copy, tmp_path / "installed")
    assert "<class 'acme_audiences.Acme'>" in found_in(tmp_path / "installed", "acme")


def test_the_example_is_what_the_command_makes(tmp_path: Path) -> None:
    package = start("acme", tmp_path, title="Acme Mail")
    for made in package.iterdir():
        shown = re.sub(r"# \[/?\w+\]\n", "", (EXAMPLE / made.name).read_text()).rstrip("\n") + "\n"
        assert made.read_text() == shown, f"docs/examples/acme/{made.name} is not what `hub connector new acme` makes"


def test_what_it_makes_is_in_order(tmp_path: Path) -> None:
    package = start("north_wind2", tmp_path)
    assert {file.name for file in package.iterdir()} == {
        "README.md",
        "north_wind2_audiences.py",
        "pyproject.toml",
        "test_north_wind2_audiences.py",
    }
    for command in (["check"], ["format", "--check", "--line-length", "120"]):
        ran = subprocess.run([sys.executable, "-m", "ruff", *command, "--isolated", str(package)], check=False)
        assert ran.returncode == 0, command


@pytest.mark.parametrize(
    ("name", "title", "spelled"),
    [
        ("activecampaign", "ActiveCampaign", "ActiveCampaign"),
        ("onesignal", "oneSignal", "OneSignal"),
        ("north-wind", "", "NorthWind"),
        ("acme", "Acme Mail", "Acme"),
        ("north_wind", "Nordwind", "NorthWind"),
    ],
)
def test_the_class_is_spelled_as_the_vendor_spells_itself(tmp_path: Path, name: str, title: str, spelled: str) -> None:
    package = start(name, tmp_path, title=title)
    [module] = [file for file in package.glob("*.py") if not file.name.startswith("test_")]
    assert f"class {spelled}(Connector[{spelled}Config])" in module.read_text()


@pytest.mark.parametrize(
    ("name", "meant"), [("Acme Mail!", "acme-mail"), ("3m", None), ("", None), ("../etc", "etc"), ("a" * 41, "a" * 40)]
)
def test_a_bad_name_is_refused_with_a_better_one(tmp_path: Path, name: str, meant: str | None) -> None:
    with pytest.raises(HubError) as refused:
        start(name, tmp_path)
    assert refused.value.code is ErrorCode.INVALID and refused.value.problems[0].suggestion == meant
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("title", ['Say "hi"', "back\\slash", "two\nlines", "x" * 61])
def test_a_title_that_would_break_the_package_is_refused(tmp_path: Path, title: str) -> None:
    with pytest.raises(HubError) as refused:
        start("acme", tmp_path, title=title)
    assert refused.value.code is ErrorCode.INVALID and not list(tmp_path.iterdir())


def test_the_name_of_an_installed_connector_is_taken(tmp_path: Path) -> None:
    with pytest.raises(HubError) as refused:
        start("acme", tmp_path, taken={"acme"})
    assert refused.value.code is ErrorCode.CONFLICT


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (start("acme", tmp_path) / "acme_audiences.py").write_text("mine")
    with pytest.raises(HubError) as refused:
        start("acme", tmp_path)
    assert refused.value.code is ErrorCode.CONFLICT
    assert (tmp_path / "acme-audiences/acme_audiences.py").read_text() == "mine"
