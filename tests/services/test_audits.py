"""Audits and full runs: drift that is made behind the hub's back is found, and put right."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox import Sandbox
from hub.core.alerts.health import CauseKind, HealthState
from hub.core.audits import Audit
from hub.core.records import ConsentAction, Run, RunStatus, SyncMode
from hub.core.scopes import Scope
from hub.errors import ErrorCode, HubError
from hub.sdk import Audience, AuthError, Page, TransientError
from hub.services import health, runs, syncs
from hub.warehouse import audit
from tests.services.shop import Shop, shop, standing_still, until, working
from tests.services.test_kill import Mortals, mortals, on_sqlite

__all__ = ["mortals"]


@pytest.fixture
async def filled(tmp_path: Path) -> AsyncIterator[Shop]:
    """A sync that has filled its audience with ten people, listed two a page."""
    async with shop(tmp_path) as one, working(one.hub):
        await one.set_up(10, share=0.3, page=2)
        await one.send()
        assert len(one.there) == 10
        yield one


async def audited(shop: Shop, *, repair: bool = False) -> tuple[Run, Audit]:
    run = await shop.outcome_of(await runs.audit(shop.hub, shop.sync.key, repair=repair))
    found = audit.newest_of(shop.hub.engine, shop.sync.id)
    assert found is not None and found.run == run.id
    return run, found


async def configure(shop: Shop, **config: Any) -> None:
    await shop.hub.store.destinations.update(shop.destination.id, config={"account": shop.account_name, **config})


async def all_at_rest(shop: Shop) -> list[Run]:
    """Every run of the sync, newest first, once none is active."""

    async def quiet() -> bool:
        return not await shop.hub.store.runs.active_for(shop.sync.id)

    await asyncio.sleep(0.1)
    await until(quiet)
    return await shop.hub.store.runs.of_sync(shop.sync.id, 50)


def held(shop: Shop) -> dict[str, Any]:
    return shop.account.audiences["vip"]


def states(shop: Shop) -> dict[str, str]:
    return dict(shop.hub.engine.rows("SELECT key, state FROM delivered"))


async def test_where_nothing_has_drifted_nothing_is_found_and_nothing_changes(filled: Shop) -> None:
    before = states(filled)
    run, found = await audited(filled)
    assert run.status is RunStatus.SUCCEEDED and run.scope is Scope.AUDIT
    assert (found.members, found.expected, found.drift, found.unknown_to_us, found.steady) == (10, 10, 0, 0, True)
    assert states(filled) == before and len(await all_at_rest(filled)) == 2


async def test_an_audit_finds_who_is_missing_and_who_is_there_unbidden(filled: Shop) -> None:
    await filled.admit(["p900"])
    del held(filled)["p003"], held(filled)["p004"]
    held(filled).update({"p900": {}, "somebody-else": {}})
    calls = len(filled.account.calls)
    _, found = await audited(filled)
    assert (found.members, found.expected, found.missing, found.strangers) == (10, 10, 2, 1)
    assert (found.unwanted, found.unknown_to_us, found.drift, found.share) == (0, 1, 3, 0.3)
    assert {states(filled)[key] for key in ("p003", "p004", "p900")} == {"possible"}
    assert "somebody-else" not in states(filled) and len(filled.account.calls) == calls
    await all_at_rest(filled)
    assert "somebody-else" in filled.there and "p003" not in filled.there


async def test_the_next_run_puts_right_what_an_audit_has_found(filled: Shop) -> None:
    del held(filled)["p003"]
    await audited(filled)
    mended = await filled.send()
    assert (mended.counts.added, mended.counts.unchanged) == (1, 9) and "p003" in filled.there
    _, again = await audited(filled)
    assert again.drift == 0


async def test_a_repair_queues_that_run_and_leaves_strangers_to_the_vendor_alone(filled: Shop) -> None:
    await filled.admit(["p900"])
    await syncs.update(filled.hub, filled.sync.key, max_removal_share=1.0)
    await filled.expel("p009")
    del held(filled)["p003"]
    held(filled).update({"p900": {}, "somebody-else": {}})
    await audited(filled, repair=True)
    newest, *_ = await all_at_rest(filled)
    assert (newest.scope, newest.status) == (Scope.ALL, RunStatus.SUCCEEDED)
    assert (newest.counts.added, newest.counts.removed) == (2, 1)
    assert filled.there == {f"p{n:03}" for n in range(9)} | {"p900", "somebody-else"}


async def test_a_repair_that_finds_nothing_queues_nothing(filled: Shop) -> None:
    await audited(filled, repair=True)
    assert [run.scope for run in await all_at_rest(filled)] == [Scope.REPAIR, Scope.ALL]


async def test_whoever_withdrew_and_is_found_there_is_removed_at_once_past_the_brake_and_on_a_manual_sync(
    filled: Shop,
) -> None:
    gone = [f"p{n:03}" for n in range(6)]
    for one in gone:
        await filled.withdraw(one)
    await until(lambda: len(filled.there) == 4)
    await all_at_rest(filled)
    held(filled).update({one: {} for one in gone})
    _, found = await audited(filled)
    assert (found.strangers, found.unwanted) == (6, 6)
    await until(lambda: filled.there == {"p006", "p007", "p008", "p009"})
    newest, *_ = await all_at_rest(filled)
    assert (newest.scope, newest.status, newest.counts.removed) == (Scope.WITHDRAWN, RunStatus.SUCCEEDED, 6)


async def test_whoever_was_acknowledged_and_is_missing_is_still_removed_when_they_withdraw(filled: Shop) -> None:
    page = held(filled).pop("p001")
    await audited(filled)
    await audited(filled)
    held(filled)["p001"] = page
    await filled.withdraw("p001")
    await until(lambda: "p001" not in filled.there)


async def test_doubts_are_settled_by_what_the_list_says(tmp_path: Path) -> None:
    lost = [{"call": n, "kind": "timeout_after_apply"} for n in range(1, 9)]
    async with shop(tmp_path) as one, working(one.hub):
        await one.set_up(4, failures=lost)
        run = await one.send()
        assert run.counts.pending == 4 and set(states(one).values()) == {"possible"}
        one.account.audiences["vip"].pop("p002")
        _, early = await audited(one)
        assert (early.confirmed, early.refuted) == (0, 0), "something may still land"

        one.clock.pass_by(minutes=30)
        _, found = await audited(one)
        assert (found.confirmed, found.refuted, found.drift) == (3, 1, 0)
        assert states(one) == {"p000": "present", "p001": "present", "p003": "present"}


@pytest.mark.parametrize("names", ["md5", "sha256"])
async def test_a_vendor_may_name_people_by_a_hash(tmp_path: Path, names: str) -> None:
    async with shop(tmp_path) as one, working(one.hub):
        await one.set_up(3, listing=names)
        await one.send()
        held(one).pop("p001")
        _, found = await audited(one)
        assert (found.members, found.missing, found.strangers, found.unknown_to_us) == (2, 1, 0, 0)


async def test_where_the_vendor_only_counts_a_repair_is_a_full_run(filled: Shop) -> None:
    await configure(filled, listing="count")
    del held(filled)["p003"]
    _, found = await audited(filled)
    assert (found.members, found.expected, found.missing, found.drift) == (9, 10, None, 1)
    await audited(filled, repair=True)
    newest, *_ = await all_at_rest(filled)
    assert (newest.scope, newest.counts.unchanged) == (Scope.FULL, 10) and len(filled.there) == 10


async def test_an_audit_of_a_vendor_who_says_nothing_is_refused(filled: Shop) -> None:
    await configure(filled, listing="nothing")
    with pytest.raises(HubError) as refusal:
        await runs.audit(filled.hub, filled.sync.key)
    assert refusal.value.code is ErrorCode.UNSUPPORTED and "full: true" in refusal.value.problems[0].message


async def test_an_audit_waits_for_the_run_under_way_and_asking_twice_is_asking_once(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = standing_still(monkeypatch, filled)
    first = await runs.audit(filled.hub, filled.sync.key)
    await until(lambda: audit_under_way(filled, first))
    second, third = [await runs.audit(filled.hub, filled.sync.key, repair=one) for one in (True, False)]
    ordinary = await runs.start(filled.hub, filled.sync.key)
    go_on.set()
    assert second.id == third.id != first.id and ordinary.id not in {first.id, second.id}
    seen = {run.id: run for run in await all_at_rest(filled)}
    assert {run.status for run in seen.values()} == {RunStatus.SUCCEEDED} and seen[second.id].scope is Scope.REPAIR


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        (TransientError("down"), RunStatus.FAILED, ErrorCode.DESTINATION_UNREACHABLE),
        (AuthError("locked"), RunStatus.FAILED, ErrorCode.DESTINATION_AUTH),
        (ValueError("a bug"), RunStatus.FAILED, ErrorCode.DESTINATION_UNREACHABLE),
    ],
)
async def test_an_audit_that_fails_in_the_middle_changes_nothing(
    filled: Shop, monkeypatch: pytest.MonkeyPatch, said: Exception, status: RunStatus, code: ErrorCode
) -> None:
    async def breaking(self: Sandbox, audience: Audience, cursor: str | None = None) -> Page:
        if cursor is None:
            return Page(["p000", "somebody-else"], "more")
        raise said

    monkeypatch.setattr(Sandbox, "members_page", breaking)
    before = states(filled)
    run = await filled.outcome_of(await runs.audit(filled.hub, filled.sync.key))
    assert (run.status, run.failure and run.failure.code) == (status, code)
    assert states(filled) == before and audit.newest_of(filled.hub.engine, filled.sync.id) is None
    assert not filled.hub.engine.rows("SELECT 1 FROM sightings")
    destination = await filled.hub.store.destinations.find(filled.destination.id)
    assert destination and destination.paused is (code is ErrorCode.DESTINATION_AUTH)


async def test_a_list_that_never_ends_is_not_followed_for_ever(filled: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def turning(self: Sandbox, audience: Audience, cursor: str | None = None) -> Page:
        return Page(["p000"], "b" if cursor == "a" else "a")

    monkeypatch.setattr(Sandbox, "members_page", turning)
    run = await filled.outcome_of(await runs.audit(filled.hub, filled.sync.key))
    assert run.status is RunStatus.FAILED and run.failure and "leads back" in run.failure.message


async def test_nobody_is_refuted_by_a_list_that_changed_while_it_was_read(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def shifting(self: Sandbox, audience: Audience, cursor: str | None = None) -> Page:
        return Page(["p000"], None if cursor else "more", 9 if cursor else 10)

    with filled.hub.engine.write() as tx:
        tx.execute("UPDATE delivered SET state = 'possible', reason = NULL WHERE key <> 'p000'")
    monkeypatch.setattr(Sandbox, "members_page", shifting)
    _, found = await audited(filled)
    assert (found.steady, found.refuted, found.missing) == (False, 0, 0) and len(states(filled)) == 10


async def audit_under_way(shop: Shop, run: Run) -> bool:
    found = await shop.hub.store.runs.find(run.id)
    return found is not None and found.status is RunStatus.PLANNING


async def test_a_cancelled_audit_ends_without_a_finding(filled: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(self: Sandbox, audience: Audience, cursor: str | None = None) -> Page:
        await asyncio.sleep(0.01)
        return Page(["p000"], str(int(cursor or 0) + 1))

    monkeypatch.setattr(Sandbox, "members_page", endless)
    run = await runs.audit(filled.hub, filled.sync.key)
    await until(lambda: audit_under_way(filled, run))
    await runs.cancel(filled.hub, run.id)
    ended = await filled.outcome_of(run)
    assert ended.status is RunStatus.CANCELLED and audit.newest_of(filled.hub.engine, filled.sync.id) is None


async def test_drift_makes_a_sync_bad_until_a_run_has_put_it_right(filled: Shop) -> None:
    held(filled).pop("p001")
    await audited(filled)
    await health.look(filled.hub, filled.sync)
    seen = (await filled.hub.store.healths.of_syncs([filled.sync.id]))[filled.sync.id].health
    assert [(cause.kind, cause.figure) for cause in seen.causes] == [(CauseKind.DRIFTED, 0.1)]
    filled.clock.pass_by(minutes=1)
    await filled.send()
    await health.look(filled.hub, filled.sync)
    seen = (await filled.hub.store.healths.of_syncs([filled.sync.id]))[filled.sync.id].health
    assert seen.state is HealthState.WELL


# A full run.


async def test_a_full_run_sends_everybody_again_and_repairs_what_has_drifted(filled: Shop) -> None:
    await filled.admit(["p900"])
    await filled.expel("p009")
    await filled.withdraw("p008")
    await until(lambda: "p008" not in filled.there)
    await all_at_rest(filled)
    del held(filled)["p003"]
    held(filled).update({"p008": {}, "somebody-else": {}})
    full = await filled.send(full=True)
    assert (full.scope, full.status) == (Scope.FULL, RunStatus.SUCCEEDED)
    assert (full.counts.added, full.counts.unchanged) == (2, 7)
    await until(lambda: filled.there == {f"p{n:03}" for n in range(8)} | {"p900", "somebody-else"})


async def test_a_full_run_removes_whom_only_the_log_remembers_where_nobody_can_be_listed(filled: Shop) -> None:
    await configure(filled, listing="nothing")
    await filled.expel("p009")
    await filled.send()
    assert "p009" not in filled.there and "p009" not in states(filled)
    held(filled)["p009"] = {}
    assert (await filled.send()).counts.leavers == 0
    full = await filled.send(full=True)
    assert (full.status, full.counts.removed, full.counts.unchanged) == (RunStatus.SUCCEEDED, 1, 9)
    assert "p009" not in filled.there


async def test_the_brake_holds_a_full_run_back_and_withdrawals_pass(filled: Shop) -> None:
    await filled.expel(*(f"p{n:03}" for n in range(5)))
    await filled.withdraw("p005")
    full = await filled.send(full=True)
    assert full.status is RunStatus.WAITING_APPROVAL
    await until(lambda: "p005" not in filled.there)
    assert len(filled.there) == 9
    approved = await runs.approve(filled.hub, full.id)
    ended = await filled.outcome_of(approved)
    assert (ended.status, ended.counts.leavers) == (RunStatus.SUCCEEDED, 6) and len(filled.there) == 4


async def test_a_full_run_that_waits_takes_an_ordinary_one_in_and_an_audit_waits_beside_it(tmp_path: Path) -> None:
    async with shop(tmp_path) as one:
        await one.set_up(1)
        waiting = [await runs.start(one.hub, one.sync.key, full=full) for full in (False, True, False)]
        assert len({run.id for run in waiting}) == 1 and waiting[-1].scope is Scope.FULL
        beside = [await runs.audit(one.hub, one.sync.key, repair=repair) for repair in (True, False)]
        assert beside[0].id == beside[1].id != waiting[0].id and beside[1].scope is Scope.REPAIR


async def test_in_an_add_only_sync_a_full_run_removes_nobody_who_left(filled: Shop) -> None:
    filled.sync = await syncs.update(filled.hub, filled.sync.key, mode=SyncMode.ADD_ONLY)
    await filled.expel("p009")
    full = await filled.send(full=True)
    assert (full.counts.unchanged, full.counts.leavers) == (9, 0) and "p009" in filled.there


async def test_a_denial_is_not_undone_by_a_full_run(filled: Shop) -> None:
    await filled.decide("p001", ConsentAction.DENY)
    await filled.send(full=True)
    await until(lambda: "p001" not in filled.there and len(filled.there) == 9)


# A process that dies in the middle.


@on_sqlite
@pytest.mark.parametrize("failpoint", ["after_page:kill:2", "before_audit_settle:kill", "after_audit_settle:kill"])
def test_a_process_that_dies_in_an_audit_leaves_nothing_half_settled(
    mortals: Mortals, tmp_path: Path, failpoint: str
) -> None:
    folder = tmp_path / "hub"
    url = f"sqlite:///{folder / 'hub.db'}"
    folder.mkdir()
    assert mortals.live(folder, url, "prepare_audit") == 0
    untouched = tmp_path / "untouched"
    shutil.copytree(folder, untouched)
    assert mortals.live(folder, url, "work", failpoint=failpoint) == -9
    assert mortals.live(folder, url, "look") == 0
    left = json.loads((folder / "result.json").read_text())
    settled = failpoint.startswith("after_audit")
    assert left["states"].get("possible", 0) == (3 if settled else 0) and bool(left["audits"]) is settled
    assert mortals.live(folder, url, "work") == 0 and mortals.live(folder, url, "look") == 0
    assert mortals.live(untouched, f"sqlite:///{untouched / 'hub.db'}", "work") == 0
    assert mortals.live(untouched, f"sqlite:///{untouched / 'hub.db'}", "look") == 0
    mended, undisturbed = [json.loads((one / "result.json").read_text()) for one in (folder, untouched)]
    assert mended == undisturbed and mended["sightings"] == 0
    assert (
        mended["audits"] == [[57, 60, 3, 0]]
        and mended["states"] == {"present": 60}
        and mended["statuses"] == ["SUCCEEDED"] * 3
    )
