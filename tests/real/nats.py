"""The NATS server that the system's packages have: an older one than `make test` brings."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.connectors.nats_server import RealNats, nats_server
from tests.real.servers import CannotBeHad


@contextmanager
def installed_nats(folder: Path) -> Iterator[RealNats]:
    binary = shutil.which("nats-server", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if binary is None:
        raise CannotBeHad("NATS is not installed: apt-get install nats-server")
    with nats_server(folder, Path(binary)) as server:
        yield server
