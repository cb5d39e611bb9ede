"""Files: whole or not there, once each, harmless in a spreadsheet, and only where the operator allows."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from connectors.file import File, FileConfig
from hub.errors import ErrorCode, HubError
from hub.sdk import Batch, Http, Person, TransientError, Workspace
from hub.sdk.contract import Audience
from hub.sdk.egress import EgressPolicy
from hub.sdk.testing import ConnectorContract, Vendor
from tests.connectors.through_the_hub import ThroughTheHub


class Reader(Vendor):
    """Whoever reads the files: applies every delta that has its manifest, in the order of the runs."""

    def members(self, audience: Audience) -> set[str]:
        manifests = (self.folder / "out" / audience.ref).glob("*/manifest.json")
        present: set[str] = set()
        for manifest in sorted(manifests, key=lambda path: path.stat().st_mtime_ns):
            about = json.loads(manifest.read_text())
            content = (manifest.parent / about["file"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == about["sha256"]
            rows = list(csv.DictReader(content.decode().splitlines()))
            assert len(rows) == about["row_count"]
            present |= {row["id"] for row in rows if row["audience_action"] == "true"}
            present -= {row["id"] for row in rows if row["audience_action"] == "false"}
        return present


class TestFile(ThroughTheHub, ConnectorContract):
    connector = File
    config: ClassVar = {"directory": "out"}
    fields: ClassVar = {"email": "someone.private@kit.example"}
    refuses_people = False

    def make_vendor(self) -> Vendor:
        return Reader()


def file(folder: Path, **config: Any) -> File:
    return File(FileConfig(**config), Http(EgressPolicy()), Workspace(folder))


async def written(
    connector: File, add: Sequence[Person], remove: Sequence[Person] = (), *, snapshot: bool = False, run: str = "7"
) -> tuple[dict[str, Any], bytes]:
    audience = await connector.ensure_audience("vip")
    await connector.begin(audience, run, snapshot=snapshot)
    await connector.apply(audience, Batch(add=add, remove=remove, sync="vip-to-file", run=run))
    await connector.finish(audience, run)
    folder = connector.workspace.path(connector.config.directory, "vip", run)
    manifest = json.loads((folder / "manifest.json").read_text())
    return manifest, (folder / manifest["file"]).read_bytes()


ANN = Person("ann", "ann", {"email": "ann@example.com", "age": 30.5, "vip": True, "tags": ["a", "b"]})
BOB = Person("bob", "bob", {"email": None, "city": 'Say "hi", Köln'})


async def test_a_delta_in_csv(tmp_path: Path) -> None:
    manifest, content = await written(file(tmp_path), [BOB, ANN], [Person("cem", "cem")])
    assert content.decode() == (
        "id,audience_action,age,city,email,tags,vip\r\n"
        'ann,true,30.5,,ann@example.com,"[""a"", ""b""]",true\r\n'
        'bob,true,,"Say ""hi"", Köln",,,\r\n'
        "cem,false,,,,,\r\n"
    )
    assert manifest == {
        "audience": "vip",
        "sync": "vip-to-file",
        "run": "7",
        "mode": "delta",
        "file": "part-0001.csv",
        "row_count": 3,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


async def test_a_delta_in_lines_of_json(tmp_path: Path) -> None:
    _, content = await written(
        file(tmp_path, format="ndjson", identifier="email"), [ANN], [Person("c", "c@example.com")]
    )
    assert [json.loads(line) for line in content.splitlines()] == [
        {"email": "ann", "audience_action": True, "age": 30.5, "vip": True, "tags": ["a", "b"]},
        {"email": "c@example.com", "audience_action": False},
    ]


async def test_a_snapshot_holds_everybody_and_no_actions(tmp_path: Path) -> None:
    manifest, content = await written(file(tmp_path), [ANN], [BOB], snapshot=True)
    assert manifest["mode"] == "snapshot" and manifest["row_count"] == 1
    assert content.decode().splitlines() == ["id,age,email,tags,vip", 'ann,30.5,ann@example.com,"[""a"", ""b""]",true']


async def test_a_snapshot_of_nobody_is_a_file_and_a_delta_of_nothing_is_none(tmp_path: Path) -> None:
    connector = file(tmp_path)
    audience = await connector.ensure_audience("vip")
    await connector.begin(audience, "1", snapshot=True)
    await connector.finish(audience, "1")
    await connector.begin(audience, "2", snapshot=False)
    await connector.finish(audience, "2")
    assert sorted(path.name for path in (tmp_path / "vip").iterdir()) == ["1"]
    assert json.loads((tmp_path / "vip/1/manifest.json").read_text())["row_count"] == 0


async def test_a_killed_run_goes_on_without_doubles_and_nobody_sees_half_of_it(tmp_path: Path) -> None:
    audience = Audience("vip", "vip")
    before = file(tmp_path)
    await before.begin(audience, "7", snapshot=False)
    await before.apply(audience, Batch(add=[ANN, BOB], run="7"))
    assert not list((tmp_path / "vip").glob("7/*"))
    manifest, _ = await written(file(tmp_path), [BOB], [Person("ann", "ann")])
    assert manifest["row_count"] == 2
    await file(tmp_path).finish(audience, "7")
    assert {path.name for path in (tmp_path / "vip/7").iterdir()} == {"manifest.json", "part-0001.csv"}
    assert not list((tmp_path / "vip").glob(".*"))


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "\tx", "\rx", "\nx", '=HYPERLINK("x")'],
)
async def test_text_that_a_spreadsheet_would_run_is_quoted(tmp_path: Path, text: str) -> None:
    _, content = await written(file(tmp_path), [Person(text, text, {text: text})])
    rows = list(csv.reader(content.decode().splitlines(keepends=True)))
    assert rows[0][2] == f"'{text}" and rows[1] == [f"'{text}", "true", f"'{text}"]
    _, plain = await written(file(tmp_path, formula_guard=False), [Person("a", "a", {"x": text})], run="8")
    assert list(csv.reader(plain.decode().splitlines(keepends=True)))[1][2] == text


async def test_numbers_and_telephones_stay_as_they_are(tmp_path: Path) -> None:
    _, content = await written(file(tmp_path), [Person("+4915112345678", "+4915112345678", {"x": -5.5, "y": "-3"})])
    assert content.decode().splitlines()[1] == "+4915112345678,true,-5.5,-3"


async def test_nothing_replaces_the_columns_of_the_hub(tmp_path: Path) -> None:
    _, content = await written(
        file(tmp_path, format="ndjson"), [Person("a", "a", {"id": "x", "audience_action": False})]
    )
    assert json.loads(content) == {"id": "a", "audience_action": True}


@pytest.mark.parametrize("directory", ["/etc", "..", "a/../../b", "a/..", "~/x", "a\\b", "a//b", ".hidden", "a\x00b"])
def test_a_folder_outside_the_hubs_own_cannot_be_configured(directory: str) -> None:
    with pytest.raises(ValidationError):
        FileConfig(directory=directory)


@pytest.mark.parametrize("name", ["../../etc", "/etc/passwd", "..", ".", "", "a/b", "x" * 400, "vip\x00", "ÄÖÜ"])
async def test_no_name_of_an_audience_or_run_leads_out(tmp_path: Path, name: str) -> None:
    connector = file(tmp_path / "files")
    audience = await connector.ensure_audience(name)
    await connector.apply(audience, Batch(add=[ANN], run=name))
    await connector.finish(audience, name)
    assert [path.name for path in tmp_path.iterdir()] == ["files"]
    assert len(list((tmp_path / "files").glob("*/*/manifest.json"))) == 1


async def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/out").symlink_to(tmp_path)
    with pytest.raises(HubError) as refused:
        await file(tmp_path / "files", directory="out").apply(Audience("vip", "vip"), Batch(add=[ANN], run="1"))
    assert refused.value.code is ErrorCode.POLICY


async def test_without_a_workspace_files_are_refused() -> None:
    with pytest.raises(HubError) as refused:
        await File(FileConfig(), Http(EgressPolicy())).check()
    assert refused.value.code is ErrorCode.POLICY


async def test_a_file_that_cannot_be_written_is_tried_again_later(tmp_path: Path) -> None:
    (tmp_path / "vip").write_text("in the way")
    with pytest.raises(TransientError):
        await file(tmp_path).apply(Audience("vip", "vip"), Batch(add=[ANN], run="1"))
