"""Servers that are not spoken to over HTTP: one that may not be reached is refused when it is configured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hub.errors import ErrorCode, HubError
from hub.services import destinations
from tests.services.opened import TestClock, opened

LOGIN = {"username": "hub", "password": "a-password", "host_keys": [f"SHA256:{'A' * 43}"]}
DIALLED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "kafka": ({"bootstrap": ["93.184.215.14:443", "10.0.0.1:9092"]}, ("bootstrap", "1")),
    "mqtt": ({"host": "10.0.0.1", "port": 8883}, ("host",)),
    "nats": ({"servers": ["93.184.215.14:443", "10.0.0.1:4222"]}, ("servers", "1")),
    "sftp": ({"host": "10.0.0.1", "port": 22, **LOGIN}, ("host",)),
}
LISTED = frozenset({"10.0.0.1:9092", "10.0.0.1:8883", "10.0.0.1:4222", "10.0.0.1:22"})


@pytest.mark.parametrize("connector", DIALLED)
async def test_a_server_the_hub_may_not_reach_is_refused_where_it_is_configured(tmp_path: Path, connector: str) -> None:
    config, field = DIALLED[connector]
    async with opened(tmp_path, TestClock(), connectors=frozenset({connector})) as hub:
        with pytest.raises(HubError) as refused:
            await destinations.create(hub, "there", "There", connector, config)
    [problem] = refused.value.problems
    assert (problem.code, problem.path) == (ErrorCode.EGRESS_DENIED, ("input", "config", *field))


@pytest.mark.parametrize("connector", DIALLED)
async def test_one_that_the_operator_lists_is_taken(tmp_path: Path, connector: str) -> None:
    config, _ = DIALLED[connector]
    async with opened(tmp_path, TestClock(), connectors=frozenset({connector}), egress_allow=LISTED) as hub:
        assert (await destinations.create(hub, "there", "There", connector, config)).connector == connector
