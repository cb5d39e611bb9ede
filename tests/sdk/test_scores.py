"""The score card: what is broken is shown with its reason, and what cannot be asked is refused with the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.webhook import Webhook
from hub.cli import connecting
from hub.errors import ErrorCode, HubError
from hub.plugins import Registry
from hub.sdk.scores import Kept, score_connector, score_folder
from hub.sdk.starter import start


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return start("acme", tmp_path)


def rewrite(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_broken_promise_is_shown_with_its_reason(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(package / "acme_audiences.py", "token: SecretStr", "token: str")
    rewrite(package / "acme_audiences.py", ".get_secret_value()", "")
    with pytest.raises(SystemExit) as ended:
        connecting.check(str(package))
    said = capsys.readouterr().out
    assert ended.value.code == 1
    assert "broken: secrets are typed as secrets: token sounds like a secret: type it SecretStr" in said
    assert "does not apply: the vendor cannot: jobs (3 promises)" in said


def test_one_fault_is_told_once_with_its_place_however_many_promises_it_breaks(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(package / "acme_audiences.py", "token: SecretStr", "token: str")
    with pytest.raises(SystemExit):
        connecting.check(str(package))
    said = capsys.readouterr().out
    [line] = [line for line in said.splitlines() if "broken: adding puts" in line]
    place = 1 + (package / "acme_audiences.py").read_text().split("get_secret_value")[0].count("\n")
    assert " more): AttributeError: 'str' object has no attribute" in line
    assert line.endswith(f"(acme_audiences.py:{place})")
    assert "pytest -k test_adding_puts_people_into_the_audience" in said


def test_a_configuration_that_does_not_fit_says_which_field(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(package / "test_acme_audiences.py", 'config: ClassVar = {"token"', 'config: ClassVar = {"tokn"')
    with pytest.raises(SystemExit):
        connecting.check(str(package))
    assert "2 validation errors for AcmeConfig token Field required" in capsys.readouterr().out


def test_a_package_that_is_not_installed_yet_keeps_its_promises_and_is_told_so(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    connecting.check(str(package))
    assert "The hub does not find it yet: pip install --editable ." in capsys.readouterr().out


def test_a_connector_that_the_hub_cannot_use_fails_the_check_whatever_it_keeps(
    package: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    disabled = {"acme": "TypeError: it offers no connectors"}
    monkeypatch.setattr(connecting, "load_registry", lambda: Registry(disabled=disabled))
    with pytest.raises(SystemExit):
        connecting.check(str(package))
    said = capsys.readouterr().out
    assert "broken" not in said and "The hub cannot use it: TypeError: it offers no connectors\n" in said


def test_a_promise_of_several_test_classes_is_as_good_as_its_worst(package: Path) -> None:
    with (package / "test_acme_audiences.py").open("a") as tests:
        tests.write("\n\nclass TestAcmeAgain(TestAcme):\n    refuses_people = False\n")
        tests.write("\n    async def test_an_empty_batch_is_no_fault(self):\n        raise AssertionError('it is')\n")
    [card] = score_folder(package)
    kept = {one.name: one.kept for one in card.promises}
    assert kept["a reason names no person"] is Kept.KEPT
    assert [name for name, how in kept.items() if how is Kept.BROKEN] == ["an empty batch is no fault"]


def test_what_a_connector_is_tested_for_besides_is_its_own(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (package / "test_acme_audiences.py").open("a") as tests:
        tests.write("\n    async def test_a_quirk(self):\n        async with self.staged() as stage:\n")
        tests.write("            assert (await stage.connector.check()).label == 'The shop'\n")
    connecting.check(str(package))
    assert "\n  its own           1 kept\n" in capsys.readouterr().out


def test_a_package_that_cannot_be_imported_says_why(package: Path) -> None:
    rewrite(package / "acme_audiences.py", "from urllib.parse import quote", "from urllib.parse import qoute as quote")
    with pytest.raises(HubError, match="cannot import name 'qoute'") as refused:
        score_folder(package)
    assert refused.value.code is ErrorCode.INVALID


def test_a_folder_without_a_contract_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "test_something.py").write_text("def test_it(): pass\n")
    with pytest.raises(HubError, match="no test class that inherits ConnectorContract"):
        score_folder(tmp_path)


def test_an_installed_connector_without_its_tests_asks_for_their_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.modules", {Webhook.__module__: type("Module", (), {"__file__": "/x/site-packages/a.py"})})
    with pytest.raises(HubError, match="name the folder") as refused:
        score_connector(Webhook)
    assert refused.value.code is ErrorCode.NOT_FOUND


def test_an_installed_connector_is_known_by_the_tests_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    connecting.check("file")
    assert capsys.readouterr().out.startswith("Files (file): ")


def test_a_name_that_is_neither_installed_nor_a_folder_is_refused() -> None:
    with pytest.raises(HubError) as refused:
        connecting.check("webhok")
    assert refused.value.problems[0].suggestion == "webhook"
