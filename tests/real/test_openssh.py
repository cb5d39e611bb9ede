"""SFTP, the connector, against OpenSSH."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from connectors.sftp import Sftp, SftpConfig
from hub.sdk import Audience, AuthError, Batch, EgressPolicy, Http, Person
from tests.connectors import parts_reader
from tests.connectors.sftp_server import Folder
from tests.real.openssh import RealSsh

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="function")]

VIP = Audience("vip", "vip")


@pytest.fixture
def folder(openssh: RealSsh) -> Folder:
    """One of this test's own."""
    root = openssh.root / uuid4().hex
    root.mkdir()
    return Folder(root, openssh.port)


def sftp(openssh: RealSsh, folder: Folder, **config: Any) -> Sftp:
    settings = SftpConfig(**openssh.config(**{"directory": str(folder.root), **config}))
    return Sftp(settings, Http(EgressPolicy(folder.listens)))


async def test_runs_are_written_and_a_reader_finds_who_is_in(openssh: RealSsh, folder: Folder) -> None:
    crowd = [Person(f"n{number}", f"n{number}", {"city": "Köln" * 50}) for number in range(3000)]
    connector = sftp(openssh, folder)
    for run, batches in (
        ("1", [Batch(crowd[:1500], run="1"), Batch(crowd[1500:], run="1")]),
        ("2", [Batch([], crowd[10:], run="2")]),
    ):
        await connector.begin(VIP, run, snapshot=False)
        for batch in batches:
            for _ in range(2):
                await connector.apply(VIP, batch)
        await sftp(openssh, folder).finish(VIP, run)
    assert folder.members(VIP) == {f"n{number}" for number in range(10)}
    files = folder.files()
    assert len(files) == 5 and not [path for path in files if path.endswith(".tmp")]
    await connector.finish(VIP, "1")
    assert folder.files() == files


async def test_a_snapshot_of_nobody(openssh: RealSsh, folder: Folder) -> None:
    connector = sftp(openssh, folder)
    await connector.begin(VIP, "1", snapshot=True)
    await connector.finish(VIP, "1")
    [(_, manifest)] = parts_reader.manifests(folder.files(), "vip").items()
    assert manifest["mode"] == "snapshot" and manifest["row_count"] == 0


async def test_its_key_is_pinned_as_ssh_keygen_prints_it(openssh: RealSsh, folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(openssh.keys["ed25519"])
    printed = subprocess.run(
        ["ssh-keygen", "-lf", tmp_path / "key.pub"], capture_output=True, text=True, check=True
    ).stdout
    for pinned in (printed.split()[1], *openssh.keys.values()):
        await sftp(openssh, folder, host_keys=[pinned]).check()
    with pytest.raises(AuthError, match=r"shows the key [a-z0-9-]+ SHA256:"):
        await sftp(openssh, folder, host_keys=["SHA256:" + "A" * 43]).check()


async def test_a_stranger_is_refused(openssh: RealSsh, folder: Folder, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "stranger"], check=True)
    connector = sftp(openssh, folder, private_key=(tmp_path / "stranger").read_text())
    with pytest.raises(AuthError, match="refuses the user"):
        await connector.check()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_may_not_be_written_to_pauses_the_destination(openssh: RealSsh, folder: Folder) -> None:
    folder.root.chmod(0o500)
    with pytest.raises(AuthError, match="does not let this user"):
        await sftp(openssh, folder).apply(VIP, Batch([Person("ann", "ann")], run="1"))
