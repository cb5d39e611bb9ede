"""The one hook a plugin implements, found through the entry-point group `hub.connectors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pluggy

from hub.sdk.contract import Connector

ENTRY_POINT_GROUP = "hub.connectors"

hookspec = pluggy.HookspecMarker("hub")
hookimpl = pluggy.HookimplMarker("hub")


class Hooks:
    @hookspec
    def hub_connectors(self) -> Sequence[type[Connector[Any]]]:
        """The connector classes of this plugin."""
        raise TypeError("a hook specification is not called")
