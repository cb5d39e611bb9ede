"""A real SFTP server in this process, over real files in a folder of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh

from hub.sdk import Audience
from hub.sdk.testing import Vendor
from tests.connectors import parts_reader

USER, PASSWORD = "hub-kit", "kit-password-0123456789"


class Folder(Vendor):
    """What the server keeps below its root, and whoever reads that."""

    def __init__(self, root: Path, port: int, below: str = "") -> None:
        super().__init__()
        self.root, self.below = root, below
        self.listens = frozenset({f"127.0.0.1:{port}"})

    def files(self) -> dict[str, bytes]:
        """By path, oldest first."""
        found = [path for path in self.root.rglob("*") if path.is_file()]
        found.sort(key=lambda path: path.stat().st_mtime_ns)
        return {str(path.relative_to(self.root)): path.read_bytes() for path in found}

    def members(self, audience: Audience) -> set[str]:
        return parts_reader.members(self.files(), f"{self.below}{audience.ref}")

    def state(self) -> Any:
        return super().state(), self.files()


class Server(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)


class Running:
    """`root` may be moved to another folder at any time."""

    def __init__(self, root: Path, *host_keys: asyncssh.SSHKey) -> None:
        self.root = root
        self.host_keys = host_keys or (asyncssh.generate_private_key("ssh-ed25519"),)
        self.port = 0
        self.logins = 0
        self.sftp: type[asyncssh.SFTPServer] = asyncssh.SFTPServer

    def config(self, **other: Any) -> dict[str, Any]:
        at = {"host": "127.0.0.1", "port": self.port, "username": USER, "password": PASSWORD}
        return {**at, "host_keys": [self.host_keys[0].get_fingerprint()], "directory": "from/hub", **other}

    def vendor(self) -> Folder:
        return Folder(self.root, self.port, "from/hub/")

    def open(self, channel: asyncssh.SSHServerChannel) -> asyncssh.SFTPServer:  # type: ignore[type-arg]
        self.logins += 1
        return self.sftp(channel, chroot=str(self.root).encode())


@asynccontextmanager
async def running(root: Path, *host_keys: asyncssh.SSHKey, **options: Any) -> AsyncIterator[Running]:
    told = Running(root, *host_keys)
    server = await asyncssh.create_server(
        Server, "127.0.0.1", 0, server_host_keys=list(told.host_keys), sftp_factory=told.open, **options
    )
    told.port = server.sockets[0].getsockname()[1]
    try:
        yield told
    finally:
        server.close()
        await server.wait_closed()
