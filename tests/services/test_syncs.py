"""Syncs as an admin makes, changes and ends them, up to what the pretend vendor then holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox import Sandbox
from hub.core.records import RunStatus, SyncMode, WithheldReason
from hub.core.scopes import Scope
from hub.errors import ErrorCode, HubError
from hub.plugins import Registry
from hub.sdk.contract import Capabilities
from hub.services import destinations, previews, syncs
from tests.services.opened import add_person
from tests.services.shop import Shop, shop, until, working


class OneWay(Sandbox):
    key = "one-way"
    capabilities = Capabilities(remove=False, replace=True)

    def limits(self) -> Capabilities:
        return self.capabilities


class Mute(Sandbox):
    key = "mute"
    capabilities = Capabilities()

    def limits(self) -> Capabilities:
        return self.capabilities


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(tmp_path) as opened:
        await opened.set_up(4)
        yield opened


async def refused(awaited: Any) -> list[tuple[str, tuple[str, ...], str | None]]:
    with pytest.raises(HubError) as caught:
        await awaited
    return [(problem.code.value, problem.path, problem.suggestion) for problem in caught.value.problems]


def make(shop: Shop, key: str = "second", **given: Any) -> Any:
    whole = {"segment": "all", "destination": "vendor", "audience": "gold", "purposes": ["news"], **given}
    return syncs.create(shop.hub, key, **whole)


async def test_a_new_sync_stands_as_it_was_asked_for(store: Shop) -> None:
    made = await make(store, fields={"mail": "email", "who": "external_id"}, schedule="0  7 * * 1-5")
    assert (made.audience, made.purposes, made.mode) == ("gold", ("news",), SyncMode.MIRROR)
    assert (made.schedule, made.fields, made.max_removal_share) == (
        "0 7 * * 1-5",
        {"mail": "email", "who": "external_id"},
        0.3,
    )


UNFIT: list[tuple[dict[str, Any], Any]] = [
    ({"segment": "al"}, ("NOT_FOUND", ("input", "segment"), "all")),
    ({"destination": "vendr"}, ("NOT_FOUND", ("input", "destination"), "vendor")),
    ({"purposes": []}, ("INVALID", ("input", "purposes"), None)),
    ({"purposes": ["news", "nwes"]}, ("NOT_FOUND", ("input", "purposes", "1"), "news")),
    ({"purposes": ["news", "news"]}, ("INVALID", ("input", "purposes", "1"), None)),
    ({"fields": {"MAIL": "emial"}}, ("RULE_UNKNOWN_TRAIT", ("input", "fields", "MAIL"), "email")),
    ({"fields": {"MAIL": 7}}, ("INVALID", ("input", "fields", "MAIL"), None)),
    ({"fields": ["email"]}, ("INVALID", ("input", "fields"), None)),
    ({"schedule": "manuel"}, ("INVALID", ("input", "schedule"), "manual")),
    ({"schedule": "*/5 * * * * *"}, ("INVALID", ("input", "schedule"), None)),
    ({"schedule": "61 * * * *"}, ("INVALID", ("input", "schedule"), None)),
    ({"schedule": "0 0 30 2 *"}, ("INVALID", ("input", "schedule"), None)),
    ({"audit_schedule": "manual"}, ("INVALID", ("input", "auditSchedule"), None)),
    ({"audit_schedule": "continuous"}, ("INVALID", ("input", "auditSchedule"), None)),
    ({"audit_schedule": "*/5 * * * * *"}, ("INVALID", ("input", "auditSchedule"), None)),
    ({"audit_schedule": "61 * * * *"}, ("INVALID", ("input", "auditSchedule"), None)),
    ({"audit_schedule": ""}, ("INVALID", ("input", "auditSchedule"), None)),
    ({"mode": SyncMode.REPLACE}, ("UNSUPPORTED", ("input", "mode"), "MIRROR")),
    ({"max_removal_share": 1.1}, ("INVALID", ("input", "maxRemovalShare"), None)),
    ({"max_removal_share": float("nan")}, ("INVALID", ("input", "maxRemovalShare"), None)),
    ({"audience": " "}, ("INVALID", ("input", "audience"), None)),
    ({"audience": "vip"}, ("CONFLICT", ("input", "audience"), None)),
]


async def test_what_cannot_be_is_refused_with_its_place(store: Shop) -> None:
    for given, found in UNFIT:
        assert await refused(make(store, **given)) == [found], given
    assert await store.hub.store.syncs.count() == 1


async def test_all_that_is_wrong_is_said_at_once(store: Shop) -> None:
    found = await refused(make(store, key="a b", purposes=[], schedule="x", max_removal_share=-1))
    assert [path[1] for _, path, _ in found] == ["key", "purposes", "schedule", "maxRemovalShare"]


async def test_audits_by_themselves_stand_as_they_were_asked_for_until_they_are_cleared(store: Shop) -> None:
    made = await make(store, audit_schedule="30  4 * * 0")
    assert made.audit_schedule == "30 4 * * 0"
    assert (await syncs.update(store.hub, "second", schedule="continuous")).audit_schedule == "30 4 * * 0"
    assert (await syncs.update(store.hub, "second", audit_schedule=None)).audit_schedule is None
    assert (await make(store, "third", audience="silver")).audit_schedule is None


async def test_where_a_vendor_says_nothing_of_who_is_there_no_audit_can_be_scheduled(store: Shop) -> None:
    store.hub.registry = Registry({**store.hub.registry.connectors, "mute": Mute})
    await destinations.create(store.hub, "street", "Street", "mute", {})
    unsupported = [("UNSUPPORTED", ("input", "auditSchedule"), None)]
    assert await refused(make(store, destination="street", audit_schedule="0 4 * * *")) == unsupported
    await make(store, destination="street")
    assert await refused(syncs.update(store.hub, "second", audit_schedule="0 4 * * *")) == unsupported
    assert (await syncs.update(store.hub, "second", audit_schedule=None)).audit_schedule is None


async def test_where_nobody_can_be_removed_no_withdrawal_could_be_carried_out_so_nobody_is_sent(store: Shop) -> None:
    store.hub.registry = Registry({**store.hub.registry.connectors, "one-way": OneWay})
    await destinations.create(store.hub, "street", "Street", "one-way", {})
    for mode in SyncMode:
        with pytest.raises(HubError, match="withdrawal could be carried out") as caught:
            await make(store, destination="street", mode=mode)
        [problem] = caught.value.problems
        assert (problem.code, problem.path) == (ErrorCode.UNSUPPORTED, ("input", "destination"))


async def test_an_update_keeps_what_it_does_not_name_and_judges_what_it_does(store: Shop) -> None:
    hub, key = store.hub, store.sync.key
    changed = await syncs.update(hub, key, schedule="continuous", if_version=1)
    assert (changed.schedule, changed.audience, changed.version) == ("continuous", "vip", 2)
    assert await refused(syncs.update(hub, key, purposes=["nope"])) == [("NOT_FOUND", ("input", "purposes", "0"), None)]
    assert await refused(syncs.update(hub, key, schedule="manual", if_version=1)) == [
        ("CONFLICT", ("input", "ifVersion"), None)
    ]
    await make(store)
    assert await refused(syncs.update(hub, key, audience="gold")) == [("CONFLICT", ("input", "audience"), None)]


async def test_a_preview_evaluates_afresh_and_leaves_no_trace(store: Shop) -> None:
    memberships = "SELECT pid FROM memberships ORDER BY pid"
    held = store.hub.engine.rows(memberships)
    evaluated = (await store.hub.store.segments.need("all")).evaluation
    add_person(store.hub, 99, "late")
    assert (await previews.preview(store.hub, store.sync.key)).withheld[WithheldReason.NO_CONSENT] >= 1
    assert store.hub.engine.rows(memberships) == held
    assert (await store.hub.store.segments.need("all")).evaluation == evaluated


async def test_the_preview_is_the_plan_of_the_run(store: Shop) -> None:
    await store.withdraw("p003")
    before = await previews.preview(store.hub, store.sync.key)
    assert (before.add, before.remove, before.unchanged) == (3, 0, 0)
    assert {reason.value: count for reason, count in before.withheld.items()} == {"NO_CONSENT": 1}
    assert len(before.sample_adds) == 3 and not before.needs_approval
    async with working(store.hub):
        run = await store.send()
    assert run.counts.added == before.add
    after = await previews.preview(store.hub, store.sync.key)
    assert (after.add, after.remove, after.unchanged) == (0, 0, 3)


async def test_a_smaller_share_takes_people_out_and_a_larger_one_brings_them_back(store: Shop) -> None:
    async with working(store.hub):
        await store.send()
        everyone = store.there
        await syncs.update(store.hub, store.sync.key, rollout_share=1e-9)
        run = await store.send()
        assert (store.there, run.withheld) == (set(), {WithheldReason.HELD_OUT: len(everyone)})
        assert run.counts.balanced and run.status is RunStatus.SUCCEEDED
        await syncs.update(store.hub, store.sync.key, rollout_share=1.0)
        await store.send()
        assert store.there == everyone


async def test_an_update_that_names_nothing_changes_nothing_and_wakes_nobody(store: Shop) -> None:
    hub, key = store.hub, store.sync.key
    hub.signals.consent_changed.clear()
    assert await syncs.update(hub, key) == await syncs.update(hub, key, if_version=1) == store.sync
    assert not hub.signals.consent_changed.is_set()
    assert await refused(syncs.update(hub, key, if_version=2)) == [("CONFLICT", ("input", "ifVersion"), None)]
    assert await refused(syncs.update(hub, "none")) == [("NOT_FOUND", ("key",), None)]


async def test_blanks_around_an_audience_are_no_part_of_its_name(store: Shop) -> None:
    assert (await make(store, audience=" Gold\t")).audience == "Gold"
    assert await refused(make(store, "third", audience="Gold ")) == [("CONFLICT", ("input", "audience"), None)]
    assert (await make(store, "third", audience=" gold")).audience == "gold"
    assert (await syncs.update(store.hub, "third", audience=" Silver ")).audience == "Silver"
    for blank in ("", " \t"):
        unnamed = [("INVALID", ("input", "audience"), None)]
        assert await refused(syncs.update(store.hub, "third", audience=blank)) == unnamed


async def test_an_audience_whose_name_was_stored_with_blanks_stays_until_another_is_named(store: Shop) -> None:
    await make(store)
    stored = await store.hub.store.syncs.need("second")
    await store.hub.store.syncs.update(stored.id, audience=" gold ")
    for unrelated in ({"schedule": "continuous"}, {"schedule": "manual", "audience": " gold "}):
        assert (await syncs.update(store.hub, "second", **unrelated)).audience == " gold "
    assert (await syncs.update(store.hub, "second", audience="gold")).audience == "gold"


async def test_another_audience_means_remove_there_and_add_here(store: Shop) -> None:
    async with working(store.hub):
        await store.send()
        assert len(store.there) == 4
        await syncs.update(store.hub, store.sync.key, audience="gold")
        await until(lambda: not store.account.members("vip"))
        await store.send()
        assert len(store.account.members("gold")) == 4
        assert not store.account.members("vip")


async def test_a_sync_with_people_delivered_asks_what_becomes_of_them(store: Shop) -> None:
    hub, key = store.hub, store.sync.key
    async with working(hub):
        await store.send()
        assert await refused(syncs.delete(hub, key)) == [("CONFLICT", ("key",), "empty")]
        assert await refused(syncs.delete(hub, key, empty=True, leave=True)) == [("INVALID", ("empty",), None)]
        await syncs.delete(hub, key, leave=True)
    assert len(store.there) == 4
    assert await hub.store.syncs.get(key) is None
    assert hub.engine.rows("SELECT count(*) FROM delivered") == [(4,)]


async def test_a_sync_is_emptied_then_deleted(store: Shop) -> None:
    hub, key = store.hub, store.sync.key
    async with working(hub):
        await store.send()
        assert (await syncs.delete(hub, key, empty=True)).paused

        async def gone() -> bool:
            return await hub.store.syncs.get(key) is None

        await until(gone)
    assert not store.there
    [run] = [run for run in await hub.store.runs.page(10) if run.scope is Scope.EMPTY]
    assert (run.status, run.counts.removed, run.counts.members) == (RunStatus.SUCCEEDED, 4, 0)


async def test_while_it_is_emptied_a_sync_is_not_resumed(store: Shop) -> None:
    hub, key = store.hub, store.sync.key
    async with working(hub):
        await store.send()
    await syncs.delete(hub, key, empty=True)
    assert await refused(syncs.resume(hub, key)) == [("CONFLICT", ("key",), None)]
    [run] = await hub.store.runs.active_for(store.sync.id)
    await hub.store.runs.request_cancel(run.id, now=hub.clock.now())
    assert not (await syncs.resume(hub, key)).paused


async def test_a_sync_that_never_delivered_is_deleted_at_once(store: Shop) -> None:
    await syncs.delete(store.hub, store.sync.key)
    assert await store.hub.store.syncs.get(store.sync.key) is None
