"""A plan that waits for approval: what makes it stale, and what becomes of it then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from hub.core.records import ConsentAction, Run, RunStatus
from hub.errors import ErrorCode, HubError
from hub.services import runs, segments, syncs
from hub.services.intake import import_file
from tests.services.shop import Shop, shop, until, working


@pytest.fixture
async def open_shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(tmp_path) as opened:
        yield opened


async def held(shop: Shop) -> Run:
    """A run that would remove three of four, and waits."""
    await shop.send()
    await shop.expel("p000", "p001", "p002")
    run = await shop.send()
    assert run.status is RunStatus.WAITING_APPROVAL
    return run


async def new_rule(shop: Shop) -> None:
    await segments.update(shop.hub, "all", rule="everyone and everyone")


async def somebody_new(shop: Shop) -> None:
    await shop.admit(["p009"])
    await segments.evaluate(shop.hub, "all")


async def somebody_who_agrees(shop: Shop) -> None:
    shop.clock.pass_by(minutes=1)
    await shop.decide("p004", ConsentAction.GRANT)


async def other_fields(shop: Shop) -> None:
    await syncs.update(shop.hub, shop.sync.key, fields={"number": "id"})


async def a_pilot(shop: Shop) -> None:
    await syncs.update(shop.hub, shop.sync.key, rollout_share=0.9999)


async def a_day(shop: Shop) -> None:
    shop.clock.pass_by(hours=25)


CAUSES = [new_rule, somebody_new, somebody_who_agrees, other_fields, a_pilot, a_day]


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
async def test_a_plan_that_has_gone_stale_is_not_approved_but_made_anew(
    open_shop: Shop, cause: Callable[[Shop], Awaitable[None]]
) -> None:
    await open_shop.set_up(5, share=0.3)
    await open_shop.withdraw("p004")
    async with working(open_shop.hub):
        run = await held(open_shop)
        await cause(open_shop)
        with pytest.raises(HubError) as refused:
            await runs.approve(open_shop.hub, run.id)
        assert refused.value.code is ErrorCode.CONFLICT and "another one queued" in str(refused.value)
        ended = await open_shop.hub.store.runs.find(run.id)
        assert ended and ended.status is RunStatus.CANCELLED
        assert ended.failure and ended.failure.code is ErrorCode.CONFLICT
        assert {"p000", "p001", "p002"} <= open_shop.there
        [anew] = await open_shop.hub.store.runs.active_for(open_shop.sync.id)
        anew = await open_shop.outcome_of(anew)
        assert anew.status is RunStatus.WAITING_APPROVAL
        await runs.approve(open_shop.hub, anew.id)
        await until(lambda: not {"p000", "p001", "p002"} & open_shop.there)


async def test_an_evaluation_that_finds_the_same_people_leaves_the_plan_good(open_shop: Shop) -> None:
    await open_shop.set_up(4, share=0.3)
    async with working(open_shop.hub):
        run = await held(open_shop)
        await segments.evaluate(open_shop.hub, "all")
        await syncs.update(open_shop.hub, open_shop.sync.key, schedule="0 4 * * *", max_removal_share=0.5)
        open_shop.clock.pass_by(hours=23)
        await runs.approve(open_shop.hub, run.id)
        await until(lambda: open_shop.there == {"p003"})


async def test_a_withdrawal_passes_while_a_run_waits_for_approval(open_shop: Shop) -> None:
    await open_shop.set_up(6, share=0.3)
    async with working(open_shop.hub):
        run = await held(open_shop)
        await open_shop.withdraw("p004")
        await until(lambda: "p004" not in open_shop.there)
        still = await open_shop.hub.store.runs.find(run.id)
        assert still and still.status is RunStatus.WAITING_APPROVAL
        assert {"p000", "p001", "p002"} <= open_shop.there


async def test_after_an_import_that_failed_removals_wait_until_one_goes_in(open_shop: Shop, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.parquet"
    good.write_text("id,city\np003,Rome\n")
    bad.write_bytes(b"PAR1 and then nothing")
    await open_shop.set_up(4, share=0.9)
    async with working(open_shop.hub):
        await open_shop.send()
        with pytest.raises(HubError):
            await import_file(open_shop.hub, "profiles", bad)
        assert (await open_shop.send()).status is RunStatus.SUCCEEDED
        await open_shop.expel("p000")
        run = await open_shop.send()
        assert run.status is RunStatus.WAITING_APPROVAL
        await runs.cancel(open_shop.hub, run.id)
        await import_file(open_shop.hub, "profiles", good)
        assert (await open_shop.send()).status is RunStatus.SUCCEEDED
        assert "p000" not in open_shop.there


async def test_a_segment_that_cannot_be_evaluated_removes_nobody(open_shop: Shop) -> None:
    await open_shop.set_up(4, share=1.0)
    async with working(open_shop.hub):
        await open_shop.send()
        segment = await open_shop.hub.store.segments.need("all")
        await open_shop.hub.store.segments.update(segment.id, rule="trait_that_is_gone = 1")
        run = await open_shop.send()
    assert run.status is RunStatus.FAILED and len(open_shop.there) == 4


async def test_an_audience_that_jumps_in_size_waits(open_shop: Shop) -> None:
    await open_shop.set_up(100)
    async with working(open_shop.hub):
        await open_shop.send()
        await syncs.update(open_shop.hub, open_shop.sync.key, max_growth=1.5)
        await open_shop.admit(f"q{number:03}" for number in range(51))
        run = await open_shop.send()
        assert run.status is RunStatus.WAITING_APPROVAL and len(open_shop.there) == 100
        kept = await open_shop.hub.store.runs.plan(run.id)
        assert kept and kept["waits"] == ["SIZE_JUMP"]
        await runs.approve(open_shop.hub, run.id)
        await until(lambda: len(open_shop.there) == 151)


@pytest.mark.parametrize("growth", [0.9, float("nan"), float("inf")])
async def test_a_growth_that_makes_no_sense_is_refused(open_shop: Shop, growth: float) -> None:
    await open_shop.set_up(1)
    with pytest.raises(HubError) as refused:
        await syncs.update(open_shop.hub, open_shop.sync.key, max_growth=growth)
    assert refused.value.problems[0].path == ("input", "maxGrowth")
