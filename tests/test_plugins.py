"""The registry: every plugin on its own, so that a broken one disables only itself and says why."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from hub.errors import ErrorCode, HubError
from hub.plugins import load_registry
from hub.sdk import Account, Audience, Capabilities, Channel, Connector, ConnectorConfig, Person, Result, hookimpl


class Tiny(Connector[ConnectorConfig]):
    key = "tiny"
    title = "Tiny"
    channel = Channel.GENERIC
    capabilities = Capabilities()
    Config = ConnectorConfig

    async def check(self) -> Account:
        return Account("tiny")

    async def ensure_audience(self, name: str) -> Audience:
        return Audience(name, name)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        return Result()

    remove = add


class Other(Tiny):
    key = "other"


class Unfinished(Connector[ConnectorConfig]):
    key = "unfinished"
    title = "Unfinished"
    channel = Channel.GENERIC
    capabilities = Capabilities()
    Config = ConnectorConfig


class Misspelt(Tiny):
    capabilities = Capabilities(spellings={"email": "meta.emial"})


class Shouting(Tiny):
    key = "Not A Key!"


class Anything(BaseModel):
    """What takes misspelt fields, and cannot say whom it dials."""


class Careless(Tiny):
    Config = Anything  # type: ignore[assignment]


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make an entry point to a module that offers those connectors."""

    def make(name: str, *offered: object) -> EntryPoint:
        module = ModuleType(f"plugin_{name}")
        module.hub_connectors = hookimpl(lambda: list(offered))  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return EntryPoint(name, module.__name__, "hub.connectors")

    return make


def test_the_built_in_connectors_are_found_through_their_entry_points() -> None:
    registry = load_registry()
    assert {"sandbox", "webhook", "file", "mailchimp", "onesignal"} <= set(registry.connectors)
    assert registry.disabled == {}


def test_an_allow_list_keeps_others_from_being_imported() -> None:
    registry = load_registry(frozenset({"webhook", "nowhere"}))
    assert set(registry.connectors) == {"webhook"}
    assert registry.disabled == {"nowhere": "not installed"}


def test_a_broken_plugin_disables_only_itself(plugin: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugin_raises.py").write_text("raise RuntimeError('no licence\\nmore')")
    (tmp_path / "plugin_leaves.py").write_text("import sys; sys.exit(3)")
    (tmp_path / "plugin_typo.py").write_text("def broken(:")
    monkeypatch.syspath_prepend(tmp_path)
    broken = [EntryPoint(name, f"plugin_{name}", "hub.connectors") for name in ("raises", "leaves", "typo", "gone")]
    registry = load_registry(found=[*broken, plugin("tiny", Tiny)])
    assert set(registry.connectors) == {"tiny"}
    assert registry.disabled["raises"] == "RuntimeError: no licence"
    assert registry.disabled["leaves"].startswith("SystemExit")
    assert registry.disabled["typo"].startswith("SyntaxError")
    assert registry.disabled["gone"].startswith("ModuleNotFoundError")


@pytest.mark.parametrize("offered", [(), (object,), (Tiny, "text"), (Unfinished,), (Shouting,)])
def test_a_plugin_that_offers_no_connector_says_so(plugin: Any, offered: tuple[object, ...]) -> None:
    assert "odd" in load_registry(found=[plugin("odd", *offered)]).disabled


def test_a_hook_that_returns_a_class_where_a_list_belongs_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("plugin_single")
    module.hub_connectors = hookimpl(lambda: Tiny)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "plugin_single", module)
    disabled = load_registry(found=[EntryPoint("single", "plugin_single", "hub.connectors")]).disabled
    assert disabled["single"] == "TypeError: hub_connectors returns a list of connector classes: [Acme], and not Acme"


def test_a_plugin_that_names_an_unknown_spelling_is_told_which_was_meant(plugin: Any) -> None:
    assert "did you mean meta.email?" in load_registry(found=[plugin("odd", Misspelt)]).disabled["odd"]


def test_a_plugin_whose_configuration_is_not_the_sdks_is_told_so_before_a_destination_is_made(plugin: Any) -> None:
    said = "TypeError: Careless.Config must be a ConnectorConfig of hub.sdk"
    assert load_registry(found=[plugin("odd", Careless)]).disabled == {"odd": said}


def test_a_plugin_without_the_hook_says_so() -> None:
    registry = load_registry(found=[EntryPoint("bare", "hub.errors", "hub.connectors")])
    assert "hub_connectors" in registry.disabled["bare"]


def test_a_taken_key_is_refused_and_the_first_stays(plugin: Any) -> None:
    registry = load_registry(found=[plugin("b", Tiny, Other), plugin("a", Tiny)])
    assert set(registry.connectors) == {"tiny"}
    assert "tiny is taken" in registry.disabled["b"]


def test_nobody_takes_the_place_of_a_built_in(plugin: Any) -> None:
    class Impostor(Tiny):
        key = "webhook"

    from importlib.metadata import entry_points

    registry = load_registry(found=[plugin("aaa", Impostor), *entry_points(group="hub.connectors")])
    assert registry.connectors["webhook"].__module__ == "connectors.webhook"
    assert "aaa" in registry.disabled


def test_a_wrong_key_is_answered_with_the_one_that_was_meant(plugin: Any) -> None:
    registry = load_registry(found=[plugin("tiny", Tiny), EntryPoint("gone", "plugin_gone", "hub.connectors")])
    assert registry.find("tiny") is Tiny
    with pytest.raises(HubError) as refused:
        registry.find("tinny")
    assert refused.value.code is ErrorCode.NOT_FOUND and refused.value.problems[0].suggestion == "tiny"
    with pytest.raises(HubError, match="disabled: ModuleNotFoundError"):
        registry.find("gone")
