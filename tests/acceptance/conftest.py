"""One hub and one sink for each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.process import TOKEN, Hub, serving
from tests.acceptance.sink import Sink, listening


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with listening() as found:
        yield found
        assert found.forged == [], "a request whose signature does not hold"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[Hub]:
    data = tmp_path_factory.mktemp("hub") / "data"
    with serving(data, HUB_EGRESS_ALLOW=f"127.0.0.1:{sink.port}") as found:
        yield found
        said = found.log.read_text()
        assert "Traceback" not in said, said
        assert "@example.com" not in said and TOKEN not in said, "somebody's address, or the token"
