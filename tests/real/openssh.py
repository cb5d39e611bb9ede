"""OpenSSH's server on a loopback port, with keys of its own, for whoever runs the tests: with nothing but SFTP."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.postgres_server import free_port
from tests.real.servers import CannotBeHad, running

SETTINGS = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_ed25519
HostKey {folder}/host_ecdsa
PidFile {folder}/pid
AuthorizedKeysFile {folder}/user.pub
AuthenticationMethods publickey
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
Subsystem sftp internal-sftp
ForceCommand internal-sftp
"""


@dataclass(frozen=True)
class RealSsh:
    """`keys` are the server's, whole, by kind; `root` a folder that the user may write to."""

    port: int
    keys: dict[str, str]
    private_key: str
    root: Path

    def config(self, **other: Any) -> dict[str, Any]:
        at = {"host": "127.0.0.1", "port": self.port, "username": getpass.getuser()}
        return {**at, "private_key": self.private_key, "host_keys": [self.keys["ed25519"]], **other}


@contextmanager
def openssh(folder: Path) -> Iterator[RealSsh]:
    daemon = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if daemon is None or not shutil.which("ssh-keygen"):
        raise CannotBeHad("OpenSSH is not installed: apt-get install openssh-server")
    for name, kind in (("host_ed25519", "ed25519"), ("host_ecdsa", "ecdsa"), ("user", "ed25519")):
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", folder / name], check=True)
    if os.geteuid() == 0:
        # Where the service has never been started, nobody has made it.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port, root = free_port(), folder / "root"
    root.mkdir()
    (folder / "settings").write_text(SETTINGS.format(port=port, folder=folder))
    with running([daemon, "-D", "-e", "-f", folder / "settings"], lambda: _greets(port), folder / "log"):
        keys = {kind: (folder / f"host_{kind}.pub").read_text() for kind in ("ed25519", "ecdsa")}
        yield RealSsh(port, keys, (folder / "user").read_text(), root)


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
