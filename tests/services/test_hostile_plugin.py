"""A plugin that behaves as no plugin should (row F33): its own run fails with the cause, and nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox import Sandbox
from hub.core.records import RunStatus
from hub.errors import ErrorCode, HubError
from hub.plugins import Registry
from hub.sdk import Audience, Batch, Inbound, Result, TransientError
from hub.services import asking, destinations, feedback
from hub.services.vendors import Vendors
from tests.services.shop import Shop, shop, working

# What is done first, at the call of that name.
DEEDS: dict[str, Callable[[], Awaitable[Any]]] = {}


class Wild(Sandbox):
    async def check(self) -> Any:
        return await self._wild("check", super().check)

    async def ensure_audience(self, name: str) -> Audience:
        return await self._wild("ensure_audience", super().ensure_audience, name)

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        return await self._wild("apply", super().apply, audience, batch)

    async def finish(self, audience: Audience, run: str) -> None:
        await self._wild("finish", super().finish, audience, run)

    async def _wild(self, name: str, tame: Callable[..., Awaitable[Any]], *given: Any) -> Any:
        return await (DEEDS[name]() if name in DEEDS else tame(*given))


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(tmp_path) as found:
        found.hub.registry = Registry({**found.hub.registry.connectors, "sandbox": Wild}, {})
        await found.set_up(3)
        yield found
    DEEDS.clear()


async def gives_up_as_if_called_off() -> None:
    """As happens where a client library calls off what its caller waits for."""
    await asyncio.wait_for(asyncio.shield(called_off()), None)


def called_off() -> asyncio.Future[None]:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    return future


async def leaves() -> None:
    raise SystemExit(3)


async def closes() -> None:
    raise GeneratorExit


async def leaves_in_company() -> None:
    raise BaseExceptionGroup("several", [SystemExit(3)])


WILD = {"CancelledError": gives_up_as_if_called_off, "SystemExit": leaves, "GeneratorExit": closes}
WILD |= {"BaseExceptionGroup": leaves_in_company}


@pytest.mark.parametrize("call", ["ensure_audience", "apply", "finish"])
@pytest.mark.parametrize("kind", WILD)
async def test_a_plugin_that_ends_as_only_the_hub_may_fails_its_run_and_nothing_else(
    town: Shop, call: str, kind: str
) -> None:
    DEEDS[call] = WILD[kind]
    async with working(town.hub):
        run = await town.send()
        assert run.status is RunStatus.FAILED and run.counts.balanced
        assert run.failure and kind in run.failure.message
        DEEDS.clear()
        assert (await town.send()).status is RunStatus.SUCCEEDED
    assert town.there == {"p000", "p001", "p002"}


@pytest.mark.parametrize("call", ["ensure_audience", "apply", "finish"])
async def test_a_plugin_that_hangs_holds_its_run_no_longer_than_its_deadline(
    town: Shop, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "CALL_DEADLINE_S", 0.05)
    monkeypatch.setattr(asking, "ERRAND_DEADLINE_S", 0.05)
    DEEDS[call] = asyncio.Event().wait
    async with working(town.hub):
        run = await town.send()
        assert run.status is RunStatus.FAILED and run.counts.balanced
        assert run.failure and "did not finish within" in run.failure.message
        DEEDS.clear()
        monkeypatch.undo()
        assert (await town.send()).status is RunStatus.SUCCEEDED
    assert town.there == {"p000", "p001", "p002"}


@pytest.mark.parametrize("kind", WILD)
async def test_a_check_of_such_a_plugin_says_so(town: Shop, kind: str) -> None:
    DEEDS["check"] = WILD[kind]
    with pytest.raises(HubError, match=kind) as refused:
        await destinations.check(town.hub, "vendor")
    assert refused.value.code is ErrorCode.DESTINATION_UNREACHABLE


async def test_a_plugin_that_leaves_while_it_reads_what_its_vendor_tells_fails_that_request_alone(
    town: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(*_: Any) -> Any:
        raise SystemExit(3)

    monkeypatch.setattr(Wild, "feedback", leave, raising=False)
    vendors = Vendors(town.hub)
    connector = await vendors.connect(town.destination)
    with pytest.raises(asking.Strayed, match="SystemExit"):
        await feedback.Listener(town.hub).hear(town.destination, connector, Inbound("POST"))
    await vendors.close()


async def test_who_stops_the_hub_is_not_taken_for_a_plugin_that_misbehaves(town: Shop) -> None:
    reached = asyncio.Event()

    async def dawdle() -> None:
        reached.set()
        await asyncio.Event().wait()

    checking = asyncio.create_task(asking.asked(dawdle))
    await reached.wait()
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking


async def test_what_a_plugin_does_to_its_input_changes_nothing_for_the_next_attempt(
    town: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, spoilt = Wild.apply, list[Any]()

    async def spoil(self: Wild, audience: Audience, batch: Batch) -> Result:
        if spoilt:
            return await usual(self, audience, batch)
        spoilt.extend(batch.add)
        for person in batch.add:
            person.fields.clear()  # type: ignore[attr-defined]
        batch.add.clear()  # type: ignore[attr-defined]
        raise TransientError("spoilt")

    monkeypatch.setattr(Wild, "apply", spoil)
    await town.hub.store.syncs.update(town.sync.id, fields={"number": "external_id"})
    async with working(town.hub):
        run = await town.send()
    assert len(spoilt) == 3 and run.counts.added == 3
    held = town.account.audiences["vip"]
    assert {key: dict(fields) for key, fields in held.items()} == {key: {"number": key} for key in held}
    assert set(held) == {"p000", "p001", "p002"}
