"""A connector whose library is missing is disabled, and says what to install."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from hub.plugins import load_registry
from hub.sdk.hooks import ENTRY_POINT_GROUP

LIBRARIES = {"kafka": "confluent_kafka", "mqtt": "mqtt5", "nats": "nats", "s3": "botocore", "sftp": "asyncssh"}


@pytest.mark.parametrize(("connector", "library"), LIBRARIES.items())
def test_without_its_extra_a_connector_is_disabled_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, connector: str, library: str
) -> None:
    module = f"connectors.{connector}"
    for name in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)
    point = EntryPoint(connector, module, ENTRY_POINT_GROUP)
    assert list(load_registry(found=[point]).connectors) == [connector]
    monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    registry = load_registry(found=[point])
    assert not registry.connectors
    assert registry.disabled == {connector: f"ImportError: needs {library}: pip install 'audience-hub[{connector}]'"}


@pytest.mark.parametrize(("connector", "library"), LIBRARIES.items())
def test_a_library_is_imported_only_once_it_is_used(connector: str, library: str) -> None:
    code = f"import sys, connectors.{connector}; sys.exit({library!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
