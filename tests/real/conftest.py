"""The real servers as fixtures, one for all tests of a session; and the hub's one client, which may reach them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.connectors.nats_server import RealNats
from tests.real.directus import RealDirectus
from tests.real.directus import directus as start_directus
from tests.real.mosquitto import RealMosquitto
from tests.real.mosquitto import mosquitto as start_mosquitto
from tests.real.nats import installed_nats as start_installed_nats
from tests.real.openssh import RealSsh
from tests.real.openssh import openssh as start_openssh
from tests.real.s3 import RealS3
from tests.real.s3 import s3 as start_s3
from tests.real.servers import CannotBeHad
from tests.real.unleash import RealUnleash
from tests.real.unleash import unleash as start_unleash
from tests.real.wordpress import RealWordPress
from tests.real.wordpress import wordpress as start_wordpress

Server = TypeVar("Server")


def had(start: Callable[[Path], AbstractContextManager[Server]], folder: Path) -> Iterator[Server]:
    """The server; or a skip that says why there is none, which HUB_REQUIRE_REAL makes a failure."""
    try:
        with start(folder) as server:
            yield server
    except CannotBeHad as reason:
        if os.environ.get("HUB_REQUIRE_REAL"):
            pytest.fail(f"HUB_REQUIRE_REAL is set, but {reason}")
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def directus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealDirectus]:
    yield from had(start_directus, tmp_path_factory.mktemp("directus"))


@pytest.fixture(scope="session")
def unleash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealUnleash]:
    yield from had(start_unleash, tmp_path_factory.mktemp("unleash"))


@pytest.fixture(scope="session")
def wordpress(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealWordPress]:
    yield from had(start_wordpress, tmp_path_factory.mktemp("wordpress"))


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealS3]:
    yield from had(start_s3, tmp_path_factory.mktemp("s3"))


@pytest.fixture(scope="session")
def openssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSsh]:
    yield from had(start_openssh, tmp_path_factory.mktemp("openssh"))


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMosquitto]:
    yield from had(start_mosquitto, tmp_path_factory.mktemp("mosquitto"))


@pytest.fixture(scope="session")
def installed_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNats]:
    yield from had(start_installed_nats, tmp_path_factory.mktemp("nats"))
