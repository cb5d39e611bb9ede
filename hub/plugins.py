"""The connectors at hand, found through entry points. A broken plugin disables only itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from hub.core.spellings import unknown_spellings
from hub.errors import ErrorCode, nearest, refuse
from hub.sdk.config import ConnectorConfig
from hub.sdk.contract import Connector
from hub.sdk.hooks import ENTRY_POINT_GROUP, Hooks

ConnectorClass = type[Connector[Any]]

_OURS = "audience-hub"
_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_DECLARED = ("key", "title", "channel", "capabilities", "Config")


@dataclass(frozen=True, slots=True)
class Registry:
    """`connectors` by key; `disabled` says of every plugin that could not be used why."""

    connectors: Mapping[str, ConnectorClass] = field(default_factory=dict)
    disabled: Mapping[str, str] = field(default_factory=dict)

    def find(self, key: str) -> ConnectorClass:
        """The connector of that key; raises NOT_FOUND naming the one that was probably meant, or why it is disabled."""
        if key in self.connectors:
            return self.connectors[key]
        if key in self.disabled:
            raise refuse(ErrorCode.NOT_FOUND, f"connector {key} is disabled: {self.disabled[key]}", "connector")
        raise refuse(
            ErrorCode.NOT_FOUND, f"there is no connector {key}", "connector", suggestion=nearest(key, self.connectors)
        )


def load_registry(allow: frozenset[str] | None = None, found: Iterable[EntryPoint] | None = None) -> Registry:
    """Import the plugins that `allow` names (all without it). `found` defaults to what is installed."""
    points = entry_points(group=ENTRY_POINT_GROUP) if found is None else found
    wanted = _ordered(point for point in points if allow is None or point.name in allow)
    connectors: dict[str, ConnectorClass] = {}
    disabled = dict.fromkeys((allow or frozenset()) - {point.name for point in wanted}, "not installed")
    for point in wanted:
        try:
            connectors |= _taken(_offered_by(point), connectors)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module may raise anything
            disabled[point.name] = _reason(error)
    return Registry(connectors, disabled)


def _ordered(points: Iterable[EntryPoint]) -> list[EntryPoint]:
    """Ours first, so that nobody can take a built-in's key; one that is listed twice counts once."""
    unique = {(point.name, point.value): point for point in points}
    # To be asked for its name, a package reads all that it says of itself: once is enough for all it brings.
    ours = {dist for dist in {point.dist for point in unique.values()} if dist is not None and dist.name == _OURS}
    return sorted(unique.values(), key=lambda point: (point.dist not in ours, point.name, point.value))


def _offered_by(point: EntryPoint) -> list[ConnectorClass]:
    plugins = pluggy.PluginManager("hub")
    plugins.add_hookspecs(Hooks)
    plugins.register(point.load(), point.name)
    plugins.check_pending()
    offers = plugins.hook.hub_connectors()
    if any(inspect.isclass(offer) for offer in offers):
        raise TypeError("hub_connectors returns a list of connector classes: [Acme], and not Acme")
    offered = [connector for offer in offers for connector in offer]
    if not offered:
        raise TypeError("it offers no connectors: does it implement the hook hub_connectors?")
    return offered


def _taken(offered: Iterable[ConnectorClass], before: Mapping[str, ConnectorClass]) -> dict[str, ConnectorClass]:
    """All that one plugin offers, or an error: half a plugin is none."""
    taken: dict[str, ConnectorClass] = {}
    for connector in offered:
        _refuse_unfit(connector)
        if holder := before.get(connector.key) or taken.get(connector.key):
            raise ValueError(f"the key {connector.key} is taken by {holder.__module__}")
        taken[connector.key] = connector
    return taken


def _refuse_unfit(connector: ConnectorClass) -> None:
    if not (inspect.isclass(connector) and issubclass(connector, Connector)):
        raise TypeError(f"{connector!r} is not a connector class")
    missing = [name for name in _DECLARED if not hasattr(connector, name)]
    if missing or inspect.isabstract(connector):
        lacking = missing or sorted(connector.__abstractmethods__)
        raise TypeError(f"{connector.__name__} lacks {', '.join(lacking)}")
    if not (inspect.isclass(connector.Config) and issubclass(connector.Config, ConnectorConfig)):
        raise TypeError(f"{connector.__name__}.Config must be a ConnectorConfig of hub.sdk")
    if problems := unknown_spellings(connector.capabilities.spellings.values()):
        raise ValueError(f"{connector.__name__}: {'; '.join(problems)}")
    if not _KEY.fullmatch(connector.key):
        raise ValueError(f"the key of {connector.__name__} must be lower-case letters, digits, - and _")


def _reason(error: BaseException) -> str:
    first_line = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first_line}"[:200]
