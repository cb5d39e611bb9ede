"""A vendor that voids a refresh token as it gives the next: the hub always has the one that is good."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import respx
import structlog

from hub.core.records import Destination
from hub.errors import StoreError
from hub.plugins import Registry
from hub.sdk import (
    Account,
    Audience,
    AuthError,
    Capabilities,
    Channel,
    Connector,
    OAuthConfig,
    RefreshedTokens,
    TransientError,
)
from hub.services import backup, destinations, kept_tokens
from hub.services.hub import Hub, open_hub
from hub.services.vendors import Vendors
from hub.store import Store
from hub.store.kept_tokens import KeptTokens
from tests.services.opened import TestClock, opened
from tests.services.test_backup import on_sqlite

CONFIG = {"client_id": "app", "client_secret": "app-s3cret", "refresh_token": "r0-s3cret"}


class Strict:
    """Only its `newest` refresh token is good, and only the newest access token."""

    def __init__(self) -> None:
        self.newest, self.used = "r0-s3cret", list[str]()
        self.answering = asyncio.Event()
        self.answering.set()
        self.asked = asyncio.Event()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        form = parse_qs(request.content.decode())
        self.used += form["refresh_token"]
        self.asked.set()
        if form["refresh_token"] != [self.newest]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        await self.answering.wait()
        self.newest = f"r{len(self.used)}-s3cret"
        return httpx.Response(200, json={"access_token": "t", "expires_in": 60, "refresh_token": self.newest})


class Rotary(Connector[OAuthConfig]):
    key = "rotary"
    title = "Rotary"
    channel = Channel.ADS
    capabilities = Capabilities()
    Config = OAuthConfig

    async def check(self) -> Account:
        await self._tokens.bearer()
        return Account("the shop")

    async def ensure_audience(self, name: str) -> Audience:
        return Audience(name, name)

    @cached_property
    def _tokens(self) -> RefreshedTokens:
        return RefreshedTokens(self.http, "https://vendor.example/token", self.config.grant)


@pytest.fixture
def vendor() -> Iterator[Strict]:
    strict = Strict()
    with respx.mock(assert_all_called=False) as mock:
        mock.post(host="vendor.example").mock(side_effect=strict)
        yield strict


def with_rotary(hub: Hub) -> Hub:
    return replace(hub, registry=Registry({**hub.registry.connectors, "rotary": Rotary}, {}))


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with opened(tmp_path, TestClock()) as opened_hub:
        yield with_rotary(opened_hub)


async def made(hub: Hub) -> Destination:
    return await destinations.create(hub, "shop", "Shop", "rotary", CONFIG)


@asynccontextmanager
async def worker(hub: Hub, destination: Destination) -> AsyncIterator[Connector[Any]]:
    """The connector as another process has it: nothing is shared but what is stored."""
    vendors = Vendors(hub)
    try:
        yield await vendors.connect(destination)
    finally:
        await vendors.close()


@asynccontextmanager
async def elsewhere(hub: Hub) -> AsyncIterator[Hub]:
    """The hub of another process on the same control plane."""
    store = await Store.open(hub.settings.database, hub.keys)
    try:
        yield replace(hub, store=store)
    finally:
        await store.close()


async def test_a_hub_that_restarts_begins_with_the_newest_refresh_token(tmp_path: Path, vendor: Strict) -> None:
    async with opened(tmp_path, TestClock()) as first:
        settings = first.settings
        await made(with_rotary(first))
        await destinations.check(with_rotary(first), "shop")
        await first.store.close()
        first.store = await Store.open(settings.database, first.keys)
        await destinations.check(with_rotary(first), "shop")
    assert vendor.used == ["r0-s3cret", "r1-s3cret"]


async def test_workers_who_exchange_at_once_take_turns(hub: Hub, vendor: Strict) -> None:
    to = await made(hub)
    async with elsewhere(hub) as second, worker(hub, to) as a, worker(second, to) as b, worker(second, to) as c:
        await asyncio.gather(a.check(), b.check(), c.check())
    assert len(vendor.used) == len(set(vendor.used)) == 3


async def test_a_worker_that_was_at_it_before_goes_on_with_what_another_was_given(hub: Hub, vendor: Strict) -> None:
    to = await made(hub)
    async with elsewhere(hub) as second, worker(hub, to) as a, worker(second, to) as b:
        for one in (a, b, a, b):
            one._tokens.forget()  # type: ignore[attr-defined]
            await one.check()
    assert vendor.used == [f"r{number}-s3cret" for number in range(4)]


async def test_another_refresh_token_of_the_admins_goes_before_what_was_kept(hub: Hub, vendor: Strict) -> None:
    await made(hub)
    await destinations.check(hub, "shop")
    vendor.newest = "fresh-s3cret"
    await destinations.update(hub, "shop", config={"refresh_token": "fresh-s3cret"})
    await destinations.check(hub, "shop")
    await destinations.check(hub, "shop")
    assert vendor.used == ["r0-s3cret", "fresh-s3cret", "r2-s3cret"]


async def test_any_other_change_of_the_destination_leaves_what_was_kept(hub: Hub, vendor: Strict) -> None:
    await made(hub)
    await destinations.check(hub, "shop")
    await destinations.update(hub, "shop", name="The shop", config={"client_secret": "other-s3cret"})
    await destinations.check(hub, "shop")
    assert vendor.used == ["r0-s3cret", "r1-s3cret"]


async def test_a_worker_under_the_replaced_refresh_token_keeps_nothing_over_the_new_one(
    hub: Hub, vendor: Strict
) -> None:
    before = await made(hub)
    async with worker(hub, before) as late:
        vendor.newest = "fresh-s3cret"
        await destinations.update(hub, "shop", config={"refresh_token": "fresh-s3cret"})
        await destinations.check(hub, "shop")
        newest, vendor.newest = vendor.newest, "r0-s3cret"
        await late.check()
    vendor.newest = newest
    await destinations.check(hub, "shop")
    assert vendor.used == ["fresh-s3cret", "r0-s3cret", newest]


async def test_a_check_that_is_given_up_while_the_vendor_answers_loses_nothing(hub: Hub, vendor: Strict) -> None:
    await made(hub)
    vendor.answering.clear()
    checking = asyncio.create_task(destinations.check(hub, "shop"))
    await vendor.asked.wait()
    checking.cancel()
    await asyncio.sleep(0)
    vendor.answering.set()
    with pytest.raises(asyncio.CancelledError):
        await checking
    await destinations.check(hub, "shop")
    assert vendor.used == ["r0-s3cret", "r1-s3cret"]


async def test_whoever_waits_long_for_another_worker_begins_anew_and_has_sent_nothing(
    hub: Hub, vendor: Strict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_tokens, "PATIENCE_S", 0.05)
    to = await made(hub)
    await hub.store.kept_tokens.hold(to, "another", 3600.0)
    async with worker(hub, to) as late:
        with pytest.raises(TransientError, match="another worker") as raised:
            await late.check()
        assert raised.value.sent is False and vendor.used == []
        await hub.store.kept_tokens.let_go(to, "another")
        await late.check()


async def test_what_the_store_would_not_take_is_not_lost_and_kept_as_soon_as_it_does(
    hub: Hub, vendor: Strict, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = await made(hub)

    async def full(*_: Any) -> None:
        raise StoreError("no room")

    async with worker(hub, to) as one:
        with monkeypatch.context() as patch:
            patch.setattr(KeptTokens, "swap", full)
            await one.check()
        one._tokens.forget()  # type: ignore[attr-defined]
        await one.check()
    await destinations.check(hub, "shop")
    assert vendor.used == ["r0-s3cret", "r1-s3cret", "r2-s3cret"]


async def test_a_store_that_is_away_means_later_and_nothing_is_sent(
    hub: Hub, vendor: Strict, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = await made(hub)

    async def away(*_: Any) -> None:
        raise StoreError("away")

    monkeypatch.setattr(KeptTokens, "hold", away)
    monkeypatch.setattr(KeptTokens, "let_go", away)
    async with worker(hub, to) as one:
        with pytest.raises(TransientError) as raised:
            await one.check()
    assert raised.value.sent is False and vendor.used == []


async def test_where_all_are_refused_the_admin_is_told(hub: Hub, vendor: Strict) -> None:
    to = await made(hub)
    await destinations.check(hub, "shop")
    vendor.newest = "revoked"
    async with worker(hub, to) as one:
        with pytest.raises(AuthError, match="invalid_grant"):
            await one.check()


@on_sqlite
async def test_a_backup_carries_what_was_kept(tmp_path: Path, vendor: Strict) -> None:
    async with opened(tmp_path / "data", TestClock()) as hub:
        settings = hub.settings
        await made(with_rotary(hub))
        await destinations.check(with_rotary(hub), "shop")
        await backup.create(hub, tmp_path / "backup.tar")
    assert b"s3cret" not in (tmp_path / "backup.tar").read_bytes()
    await backup.restore(settings, tmp_path / "backup.tar")
    async with open_hub(settings, TestClock()) as hub:
        await destinations.check(with_rotary(hub), "shop")
    assert vendor.used == ["r0-s3cret", "r1-s3cret"]


async def test_no_refresh_token_is_logged_or_shown(
    hub: Hub, vendor: Strict, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    to = await made(hub)

    async def full(*_: Any) -> None:
        raise StoreError("no room")

    with structlog.testing.capture_logs() as logged:
        async with worker(hub, to) as one:
            with monkeypatch.context() as patch:
                patch.setattr(KeptTokens, "swap", full)
                await one.check()
            keeper = one.http.keeper
            shown = f"{one.http!r} {keeper!r} {vars(keeper)!r} {one._tokens!r}"  # type: ignore[attr-defined]
            async with keeper.turn("r0-s3cret") as turn:
                assert turn.newest == "r1-s3cret"
                shown += f"{turn!r}"
    assert [entry["event"] for entry in logged] == ["refresh token not kept yet"]
    assert "s3cret" not in f"{shown} {logged} {caplog.text} {await hub.store.destinations.get('shop')!r}"
