"""SFTP: a server whose key is pinned, files that are whole or not there; against a real server in this process."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import ValidationError

from connectors.sftp import Sftp, SftpConfig
from hub.sdk import Audience, AuthError, Batch, ConnectorError, EgressDenied, EgressPolicy, Http, Person, TransientError
from hub.sdk.testing import ConnectorContract
from hub.sdk.testing.http_contract import error_of
from tests.connectors import parts_reader
from tests.connectors.sftp_server import USER, Folder, Running, running
from tests.connectors.through_the_hub import ThroughTheHub

VIP = Audience("vip", "vip")
ANN, BOB = Person("ann", "ann", {"email": "ann@example.com"}), Person("bob", "bob", {"city": "=Köln"})


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    (tmp_path / "server").mkdir()
    async with running(tmp_path / "server") as server:
        yield server


class TestSftp(ThroughTheHub, ConnectorContract):
    connector = Sftp
    fields = {"first_name": "Annabella-Private"}  # noqa: RUF012
    refuses_people = False

    @pytest.fixture(autouse=True)
    async def _served(self, server: Running) -> None:
        self.server, self.config = server, server.config()  # type: ignore[misc]

    def make_vendor(self) -> Folder:
        return self.server.vendor()


def sftp(server: Running, **config: Any) -> Sftp:
    return Sftp(SftpConfig(**server.config(**config)), Http(EgressPolicy(server.vendor().listens)))


async def stored(connector: Sftp, *batches: Batch, snapshot: bool = False, run: str = "7") -> None:
    await connector.begin(VIP, run, snapshot=snapshot)
    for batch in batches:
        await connector.apply(VIP, batch)
    await connector.finish(VIP, run)


async def test_a_run_is_a_folder_of_parts_and_a_manifest(server: Running) -> None:
    await stored(
        sftp(server), Batch([BOB, ANN], [Person("cem", "cem")], run="7"), Batch([Person("dan", "dan")], run="7")
    )
    files = server.vendor().files()
    manifest = json.loads(files.pop("from/hub/vip/7/manifest.json"))
    assert {f"from/hub/vip/7/{part['file']}" for part in manifest["files"]} == files.keys()
    assert (manifest["mode"], manifest["row_count"]) == ("delta", 4)
    assert b"id,audience_action,city,email\r\nann,true,,ann@example.com\r\nbob,true,'=K\xc3\xb6ln,\r\n" in next(
        content for content in files.values() if b"ann" in content
    )


async def test_a_snapshot_goes_on_in_another_process(server: Running) -> None:
    first = sftp(server)
    await first.begin(VIP, "7", snapshot=True)
    await first.apply(VIP, Batch([ANN], [BOB], run="7"))
    await sftp(server).finish(VIP, "7")
    files = server.vendor().files()
    [(_, manifest)] = parts_reader.manifests(files, "from/hub/vip").items()
    assert manifest["mode"] == "snapshot" and parts_reader.members(files, "from/hub/vip") == {"ann"}
    await sftp(server).finish(VIP, "7")
    assert server.vendor().files() == files


async def test_the_same_batch_twice_is_one_file(server: Running) -> None:
    for _ in range(2):
        await sftp(server).apply(VIP, Batch([ANN], run="7"))
    assert len(server.vendor().files()) == 1


@pytest.mark.parametrize("directory", ["", "/deep/er", "with space"])
async def test_a_directory_is_made_if_it_is_missing(server: Running, directory: str) -> None:
    await stored(sftp(server, directory=directory), Batch([ANN], run="7"))
    assert parts_reader.members(server.vendor().files(), f"{directory}/vip".strip("/")) == {"ann"}


class CutsOff(asyncssh.SFTPServer):
    """Breaks the connection in the middle of a file."""

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        super().write(file_obj, offset, data[: len(data) // 2])
        self.channel.get_connection().abort()
        return len(data)


class KeepsHalf(asyncssh.SFTPServer):
    """Says that it kept what it did not."""

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        super().write(file_obj, offset, data[: len(data) // 2])
        return len(data)


@pytest.mark.parametrize("faulty", [CutsOff, KeepsHalf])
async def test_half_a_file_is_never_taken_for_a_part(server: Running, faulty: type[asyncssh.SFTPServer]) -> None:
    server.sftp = faulty
    error = await error_of(lambda: sftp(server).apply(VIP, Batch([ANN], run="7")))
    assert isinstance(error, TransientError) and error.sent
    [aside] = server.vendor().files()
    assert aside.endswith(".tmp")
    server.sftp = asyncssh.SFTPServer
    await stored(sftp(server), Batch([ANN], run="7"))
    assert server.vendor().members(Audience("vip", "vip")) == {"ann"}


class ReadOnly(asyncssh.SFTPServer):
    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        raise asyncssh.SFTPPermissionDenied(f"{path!r} is not yours")


class Full(asyncssh.SFTPServer):
    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        raise asyncssh.SFTPFailure("no space left for ann")


@pytest.mark.parametrize(("faulty", "kind"), [(ReadOnly, AuthError), (Full, TransientError)])
async def test_a_server_that_will_not_write(
    server: Running, faulty: type[asyncssh.SFTPServer], kind: type[ConnectorError]
) -> None:
    server.sftp = faulty
    error = await error_of(lambda: sftp(server).apply(VIP, Batch([ANN], run="7")))
    assert type(error) is kind and "ann" not in error.reason and "yours" not in error.reason


async def test_a_server_with_another_key_is_told_nothing_and_its_key_is_shown(server: Running) -> None:
    pinned = asyncssh.generate_private_key("ssh-ed25519").get_fingerprint()
    connector = sftp(server, host_keys=[pinned])
    for call in (connector.check, lambda: connector.apply(VIP, Batch([ANN], run="7"))):
        error = await error_of(call)
        assert isinstance(error, AuthError)
        assert f"shows the key ssh-ed25519 {server.host_keys[0].get_fingerprint()}" in error.reason
    assert server.logins == 0


async def test_keys_are_pinned_whole_or_by_fingerprint_and_more_than_one_while_they_change(server: Running) -> None:
    whole = server.host_keys[0].export_public_key().decode().strip()
    another = asyncssh.generate_private_key("ssh-ed25519").get_fingerprint()
    for keys in ([whole], [f"{whole} comment"], [server.host_keys[0].get_fingerprint()], [another, whole]):
        assert (await sftp(server, host_keys=keys).check()).label == f"{USER} at 127.0.0.1"


async def test_a_server_of_several_keys_is_asked_for_the_one_that_is_pinned_whole(tmp_path: Path) -> None:
    keys = [asyncssh.generate_private_key(kind) for kind in ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")]
    async with running(tmp_path, *keys) as server:
        for key in keys:
            await sftp(server, host_keys=[key.export_public_key().decode()]).check()
        missing = asyncssh.generate_private_key("ecdsa-sha2-nistp384").export_public_key().decode()
        error = await error_of(sftp(server, host_keys=[missing]).check)
        assert isinstance(error, AuthError) and "none of the kinds of keys" in error.reason


async def test_a_wrong_password_pauses_the_destination(server: Running) -> None:
    error = await error_of(sftp(server, password="wr0ng-password").check)
    assert isinstance(error, AuthError) and "refuses the user" in error.reason and "wr0ng" not in str(error)


async def test_a_private_key_logs_in(tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    (tmp_path / "authorized").write_bytes(key.export_public_key())
    own = {"password": None, "private_key": key.export_private_key(passphrase="open sesame").decode()}
    async with running(tmp_path, authorized_client_keys=str(tmp_path / "authorized")) as server:
        await sftp(server, **own, passphrase="open sesame").check()
        for wrong in ({"passphrase": "closed"}, {"private_key": "no key at all"}):
            error = await error_of(sftp(server, **{**own, **wrong}).check)
            assert isinstance(error, AuthError) and "private_key cannot be read" in error.reason
        stranger = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
        assert isinstance(await error_of(sftp(server, **{**own, "private_key": stranger}).check), AuthError)


async def test_nobody_there_was_not_sent_to() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = Running(Path())
        away.port = nobody.getsockname()[1]
        error = await error_of(sftp(away).check)
    assert isinstance(error, TransientError) and not error.sent


async def test_something_else_that_listens_there_was_not_sent_to() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        other = Running(Path())
        other.port = listening.sockets[0].getsockname()[1]
        error = await error_of(sftp(other).check)
    assert isinstance(error, TransientError) and not error.sent


@pytest.mark.parametrize("host", ["127.0.0.1", "sftp.example.com", "localhost"])
async def test_a_server_that_the_operator_has_not_listed_is_not_dialled(server: Running, host: str) -> None:
    connector = Sftp(SftpConfig(**server.config(host=host)), Http(EgressPolicy(frozenset({"other.example.com:22"}))))
    for call in (connector.check, lambda: connector.apply(VIP, Batch([ANN], run="7"))):
        with pytest.raises(EgressDenied, match=f"port {server.port} may not be reached"):
            await call()
    assert server.logins == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"host_keys": []},
        {"host_keys": ["SHA256:short"]},
        {"host_keys": ["ssh-ed25519 AAAAAAA"]},
        {"host_keys": ["MD5:00:11"]},
        {"password": None},
        {"directory": "../up"},
        {"directory": "a//b"},
        {"port": 0},
    ],
)
def test_a_wrong_configuration_is_refused(wrong: dict[str, Any]) -> None:
    good = Running(Path()).config(port=22)
    SftpConfig.model_validate(good)
    with pytest.raises(ValidationError):
        SftpConfig.model_validate({**good, **wrong})
