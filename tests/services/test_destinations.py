"""Destinations as an admin makes, changes, checks and deletes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field, SecretStr, field_validator

from hub.core.records import SyncMode
from hub.errors import ErrorCode, HubError
from hub.plugins import Registry
from hub.sdk.config import ConnectorConfig, Url
from hub.sdk.contract import Account, Audience, Capabilities, Channel, Connector
from hub.sdk.egress import EgressDenied
from hub.sdk.errors import AuthError, RefusedError, TransientError
from hub.services import destinations, purposes, segments, syncs
from hub.services.hub import Hub
from tests.services.opened import TestClock, opened


class ParlourConfig(ConnectorConfig):
    url: Url
    token: SecretStr = Field(min_length=3)
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    region: str = "eu"

    @field_validator("region")
    @classmethod
    def refuse_the_moon(cls, value: str) -> str:
        if value not in {"eu", "us"}:
            raise ValueError("must be eu or us")
        return value


class Parlour(Connector[ParlourConfig]):
    key = "parlour"
    title = "Parlour"
    channel = Channel.EMAIL
    capabilities = Capabilities()
    Config = ParlourConfig
    trouble: ClassVar[Exception | None] = None
    seen: ClassVar[list[str]] = []

    async def check(self) -> Account:
        self.seen.append(self.config.token.get_secret_value())
        if self.trouble:
            raise self.trouble
        return Account("the parlour")

    async def ensure_audience(self, name: str) -> Audience:
        return Audience(name, name)


GOOD: dict[str, Any] = {"url": "https://93.184.216.34/x", "token": "secret-token"}


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    async with opened(tmp_path, TestClock()) as opened_hub:
        opened_hub.registry = Registry(
            {**opened_hub.registry.connectors, "parlour": Parlour}, {"broken": "ImportError: x"}
        )
        monkeypatch.setattr(Parlour, "trouble", None)
        monkeypatch.setattr(Parlour, "seen", [])
        yield opened_hub


async def refused(awaited: Any) -> list[tuple[str, tuple[str, ...], str | None]]:
    with pytest.raises(HubError) as caught:
        await awaited
    assert "secret-token" not in str(caught.value)
    return [(problem.code.value, problem.path, problem.suggestion) for problem in caught.value.problems]


async def made(hub: Hub, **config: Any) -> Any:
    return await destinations.create(hub, "p1", "Parlour", "parlour", {**GOOD, **config})


async def test_secrets_are_sealed_and_never_in_the_configuration(hub: Hub) -> None:
    destination = await made(hub, headers={"x-key": "hidden"})
    assert destination.config == {"url": GOOD["url"]}
    assert await hub.store.destinations.secrets(destination.id) == {
        "token": "secret-token",
        "headers": {"x-key": "hidden"},
    }


async def test_every_bad_field_is_named_by_its_path(hub: Hub) -> None:
    bad = {"url": GOOD["url"], "token": "x", "regoin": "us"}
    found = await refused(destinations.create(hub, "p1", "Parlour", "parlour", bad))
    assert sorted(found) == [
        ("INVALID", ("input", "config", "regoin"), "region"),
        ("INVALID", ("input", "config", "token"), None),
    ]
    assert await refused(destinations.create(hub, "p1", "Parlour", "parlour", ["no", "object"])) == [
        ("INVALID", ("input", "config"), None)
    ]
    assert await hub.store.destinations.count() == 0


async def test_what_a_connector_says_of_a_field_is_said_in_its_own_words(hub: Hub) -> None:
    with pytest.raises(HubError) as refusal:
        await destinations.create(hub, "p1", "P", "parlour", {**GOOD, "region": "moon"})
    assert refusal.value.problems[0].message == "region: must be eu or us."


async def test_an_unknown_connector_is_refused_with_the_one_that_was_meant(hub: Hub) -> None:
    assert await refused(destinations.create(hub, "p1", "P", "sandbx", {})) == [
        ("NOT_FOUND", ("input", "connector"), "sandbox")
    ]
    with pytest.raises(HubError, match="disabled"):
        await destinations.create(hub, "p1", "P", "broken", {})


@pytest.mark.parametrize("url", ["http://93.184.216.34/x", "https://127.0.0.1/x", "https://localhost/x", "nonsense"])
async def test_an_address_the_hub_may_not_reach_is_refused_where_it_is_configured(hub: Hub, url: str) -> None:
    [(code, path, _)] = await refused(made(hub, url=url))
    assert (code, path) == ("EGRESS_DENIED", ("input", "config", "url"))


async def test_keys_are_slugs_and_unique(hub: Hub) -> None:
    await made(hub)
    assert await refused(made(hub)) == [("CONFLICT", ("input", "key"), None)]
    assert await refused(destinations.create(hub, "not a slug", "", "parlour", GOOD)) == [
        ("INVALID", ("input", "key"), None),
        ("INVALID", ("input", "name"), None),
    ]


async def test_an_update_merges_by_key_and_a_secret_left_out_stays(hub: Hub) -> None:
    destination = await made(hub, region="us", headers={"x-key": "hidden"})
    changed = await destinations.update(hub, "p1", name="Salon", config={"region": None})
    assert (changed.name, changed.config, changed.version) == ("Salon", {"url": GOOD["url"]}, 2)
    assert (await hub.store.destinations.secrets(destination.id))["token"] == "secret-token"
    await destinations.update(hub, "p1", config={"headers": None, "token": "another"}, if_version=2)
    assert await hub.store.destinations.secrets(destination.id) == {"token": "another"}


async def test_an_update_that_does_not_fit_changes_nothing(hub: Hub) -> None:
    destination = await made(hub)
    assert await refused(destinations.update(hub, "p1", config={"token": None})) == [
        ("INVALID", ("input", "config", "token"), None)
    ]
    [(code, path, _)] = await refused(destinations.update(hub, "p1", config={"url": "https://10.0.0.1/"}))
    assert (code, path) == ("EGRESS_DENIED", ("input", "config", "url"))
    assert await refused(destinations.update(hub, "p1", name="x", if_version=7)) == [
        ("CONFLICT", ("input", "ifVersion"), None)
    ]
    assert await hub.store.destinations.get("p1") == destination


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (AuthError("bad token"), ErrorCode.DESTINATION_AUTH),
        (EgressDenied("10.0.0.1 is a private address"), ErrorCode.EGRESS_DENIED),
        (TransientError("503"), ErrorCode.DESTINATION_UNREACHABLE),
        (RefusedError("404"), ErrorCode.DESTINATION_UNREACHABLE),
        (RuntimeError("secret-token"), ErrorCode.DESTINATION_UNREACHABLE),
    ],
)
async def test_a_check_says_what_is_wrong_with_the_account(hub: Hub, trouble: Exception, code: ErrorCode) -> None:
    await made(hub)
    assert (await destinations.check(hub, "p1")).key == "p1"
    assert Parlour.seen == ["secret-token"]
    Parlour.trouble = trouble
    assert await refused(destinations.check(hub, "p1")) == [(code.value, ("key",), None)]


async def test_a_destination_rests_and_is_taken_up_again(hub: Hub) -> None:
    await made(hub)
    assert (await destinations.pause(hub, "p1")).paused
    assert not (await destinations.resume(hub, "p1")).paused
    assert await refused(destinations.pause(hub, "p11")) == [("NOT_FOUND", ("key",), "p1")]


async def test_a_destination_with_syncs_is_not_deleted(hub: Hub) -> None:
    await made(hub)
    await purposes.create(hub, "news", "News")
    await segments.create(hub, "all", "Everyone", "everyone")
    await syncs.create(hub, "s", "all", "p1", "vip", ["news"], mode=SyncMode.MIRROR)
    with pytest.raises(HubError, match="“s”"):
        await destinations.delete(hub, "p1")
    await syncs.delete(hub, "s")
    await destinations.delete(hub, "p1")
    assert await hub.store.destinations.get("p1") is None
