"""Recording decisions, asking for a person's standing, and bringing the projection up to the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from hub.core.consent_form import ConsentInput
from hub.core.records import ConsentAction, ConsentState
from hub.errors import ErrorCode, HubError
from hub.services import projection, purposes
from hub.services.consent import record, standing
from hub.services.hub import Hub
from hub.services.projection import catch_up, rebuild
from hub.warehouse import consent
from tests.services.opened import TestClock, add_person, opened


@pytest.fixture
async def hub(tmp_path) -> AsyncIterator[Hub]:
    async with opened(tmp_path, TestClock()) as hub:
        await purposes.create(hub, "newsletter", "Newsletter")
        await purposes.create(hub, "ads", "Ads")
        yield hub


def grant(hub: Hub, **how: object) -> ConsentInput:
    base = ConsentInput("newsletter", ConsentAction.GRANT, "form", external_id="p1", effective_at=hub.clock.now())
    return replace(base, **how)


def withdrawal(hub: Hub, **how: object) -> ConsentInput:
    return replace(grant(hub), action=ConsentAction.WITHDRAW, effective_at=None, **how)


async def state(hub: Hub, external_id: str = "p1", purpose: str = "newsletter") -> ConsentState:
    return next(one.state for one in await standing(hub, external_id) if one.purpose == purpose)


async def projected(hub: Hub, pid: int = 1) -> dict[str, str]:
    await catch_up(hub)
    return {purpose: found.state.value for purpose, found in consent.states(hub.engine, [pid]).get(pid, {}).items()}


async def test_a_recorded_grant_is_in_the_ledger_when_it_returns(hub):
    entry = await record(hub, grant(hub, evidence={"form": "footer"}))
    assert entry.seq == await hub.store.ledger.head()
    assert (entry.action, entry.evidence, entry.recorded_at) == ("GRANT", {"form": "footer"}, hub.clock.now())
    assert hub.signals.consent_changed.is_set()


async def test_someone_unheard_is_unknown_for_every_purpose(hub):
    assert {one.purpose: one.state for one in await standing(hub, "nobody")} == {
        "ads": ConsentState.UNKNOWN,
        "newsletter": ConsentState.UNKNOWN,
    }


async def test_a_withdrawal_after_a_grant_after_a_withdrawal_counts_each_time(hub):
    for asked, expected in (
        (withdrawal(hub), ConsentState.WITHDRAWN),
        (None, ConsentState.GRANTED),
        (withdrawal(hub), ConsentState.WITHDRAWN),
    ):
        await record(hub, asked or grant(hub))
        assert await state(hub) is expected
        hub.clock.pass_by(minutes=1)


async def test_history_holds_what_was_said_under_every_identifier_newest_first(hub):
    add_person(hub, 1, "p1", email="ada@example.com")
    await record(hub, grant(hub))
    await record(
        hub, withdrawal(hub, external_id=None, identifier_kind="email", identifier=" Ada@Example.com ", source="call")
    )
    found = next(one for one in await standing(hub, "p1") if one.purpose == "newsletter")
    assert [entry.source for entry in found.history] == ["call", "form"]
    assert (found.state, found.decided_by) == (ConsentState.WITHDRAWN, found.history[0])


async def test_withdrawing_asks_for_less_than_granting(hub):
    await record(hub, grant(hub))
    hub.clock.pass_by(minutes=1)
    await record(hub, ConsentInput("newsletter", ConsentAction.WITHDRAW, external_id="p1"))
    assert await state(hub) is ConsentState.WITHDRAWN


@pytest.mark.parametrize(
    ("person", "field"),
    [
        ({"external_id": None}, "externalId"),
        ({"identifier_kind": "email", "identifier": "a@example.com"}, "externalId"),
        ({"external_id": None, "identifier_kind": "mail", "identifier": "a@example.com"}, "identifierKind"),
        ({"external_id": None, "identifier_kind": "email"}, "identifier"),
        ({"external_id": None, "identifier_kind": "email", "identifier": "nope"}, "identifier"),
        ({"external_id": " "}, "externalId"),
    ],
)
async def test_a_decision_names_exactly_one_person(hub, person, field):
    with pytest.raises(HubError) as refusal:
        await record(hub, withdrawal(hub, **person))
    assert (refusal.value.code, refusal.value.problems[0].path) == (ErrorCode.CONSENT_INVALID, ("input", field))
    assert "nope" not in str(refusal.value)
    assert await hub.store.ledger.head() == 0


async def test_a_grant_out_of_order_leaves_the_ledger_alone(hub):
    with pytest.raises(HubError):
        await record(hub, grant(hub, purpose="newsleter"))
    assert await hub.store.ledger.head() == 0


async def test_an_entry_id_said_again_is_one_entry_and_said_otherwise_a_conflict(hub):
    first = await record(hub, grant(hub, entry_id="e1"))
    assert (await record(hub, grant(hub, entry_id="e1"))).seq == first.seq
    with pytest.raises(HubError) as refusal:
        await record(hub, grant(hub, entry_id="e1", source="call"))
    assert (refusal.value.code, refusal.value.problems[0].path) == (ErrorCode.CONFLICT, ("input", "entryId"))


async def test_a_withdrawal_sent_again_with_its_entry_id_is_one_entry(hub):
    first = await record(hub, withdrawal(hub, entry_id="e1"))
    hub.clock.pass_by(minutes=1)
    assert (await record(hub, withdrawal(hub, entry_id="e1"))).seq == first.seq


async def test_a_withdrawal_is_kept_even_under_an_entry_id_that_is_taken(hub):
    await record(hub, grant(hub, entry_id="e1"))
    hub.clock.pass_by(minutes=1)
    await record(hub, withdrawal(hub, entry_id="e1"))
    assert await state(hub) is ConsentState.WITHDRAWN


async def test_a_withdrawal_without_a_purpose_is_for_all_of_them(hub):
    await record(hub, grant(hub))
    await record(hub, grant(hub, purpose="ads"))
    hub.clock.pass_by(minutes=1)
    await record(hub, withdrawal(hub, purpose=" ", entry_id="e1"))
    assert {one.state for one in await standing(hub, "p1")} == {ConsentState.WITHDRAWN}


async def test_the_projection_learns_what_the_ledger_holds(hub):
    add_person(hub, 1, "p1", email="ada@example.com")
    await record(hub, grant(hub))
    assert await projected(hub) == {"newsletter": "GRANTED"}
    hub.clock.pass_by(minutes=1)
    await record(hub, withdrawal(hub, external_id=None, identifier_kind="email", identifier="ADA@example.com"))
    assert await projected(hub) == {"newsletter": "WITHDRAWN"}


async def test_a_decision_by_an_address_nobody_has_applies_once_somebody_does(hub):
    await record(hub, withdrawal(hub, external_id=None, identifier_kind="email", identifier="ada@example.com"))
    await catch_up(hub)
    add_person(hub, 1, "p1", email="Ada@example.com")
    with hub.engine.write() as tx:
        consent.refold(tx, "profiles")
    assert await projected(hub) == {"newsletter": "WITHDRAWN"}
    assert await state(hub) is ConsentState.WITHDRAWN


async def test_catching_up_at_the_head_writes_nothing(hub):
    await record(hub, grant(hub))
    position = await catch_up(hub)

    def refuse_to_write() -> None:
        raise AssertionError("nothing is to be written")

    hub.engine.write = refuse_to_write
    assert await catch_up(hub) == position


async def test_links_that_an_import_changes_are_seen_at_once_and_what_a_run_writes_is_not_asked_for_again(hub):
    before = await catch_up(hub)
    add_person(hub, 1, "p1", email="ada@example.com")
    with hub.engine.write() as tx:
        consent.bump_generation(tx)
    assert await catch_up(hub) == before._replace(generation=before.generation + 1)
    with hub.engine.write(sync=1):
        pass
    rows, asked = hub.engine.rows, []
    hub.engine.rows = lambda *about: asked.append(about) or rows(*about)
    await catch_up(hub)
    assert len(asked) == int(hub.engine.shared), "a server's plane may be written by others"


async def test_whoever_asks_after_a_decision_sees_it_though_others_asked_before(hub, monkeypatch):
    head, looked, go_on = hub.store.ledger.head, asyncio.Event(), asyncio.Event()

    async def slowly() -> int:
        monkeypatch.setattr(hub.store.ledger, "head", head)
        found = await head()
        looked.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(hub.store.ledger, "head", slowly)
    earlier = asyncio.create_task(catch_up(hub))
    await looked.wait()
    entry = await record(hub, withdrawal(hub))
    later = asyncio.create_task(catch_up(hub))
    await asyncio.sleep(0)
    go_on.set()
    assert (await later).watermark >= entry.seq
    await earlier


async def test_many_who_catch_up_at_once_all_get_a_position_at_the_head(hub):
    for minute in range(3):
        await record(hub, grant(hub, effective_at=hub.clock.now() - timedelta(minutes=minute)))
    positions = await asyncio.gather(*(catch_up(hub) for _ in range(8)))
    assert {position.watermark for position in positions} == {3}


async def test_a_stop_between_two_stretches_is_taken_up_where_it_was(hub, monkeypatch):
    add_person(hub, 1, "p1")
    for minute in range(4):
        await record(hub, grant(hub, effective_at=hub.clock.now() - timedelta(minutes=minute)))
    monkeypatch.setattr(projection, "STRETCH", 1)
    taken, take_in = [], projection._take_in

    def stop_after_two(engine, entries):
        if len(taken) == 2:
            raise ConnectionError("the process is gone")
        taken.append(entries)
        return take_in(engine, entries)

    with monkeypatch.context() as crash:
        crash.setattr(projection, "_take_in", stop_after_two)
        with pytest.raises(ConnectionError):
            await catch_up(hub)
    assert consent.watermark(hub.engine).watermark == 2
    assert (await catch_up(hub)).watermark == 4
    assert hub.engine.rows("SELECT count(*) FROM consent_entries") == [(4,)]


async def test_a_rebuild_says_the_same_under_a_new_generation(hub, monkeypatch):
    add_person(hub, 1, "p1")
    await record(hub, grant(hub))
    await record(hub, grant(hub, purpose="ads"))
    before, position = await projected(hub), await catch_up(hub)
    monkeypatch.setattr(projection, "STRETCH", 1)
    rebuilt = await rebuild(hub)
    assert (rebuilt.watermark, rebuilt.generation) == (position.watermark, position.generation + 1)
    assert await projected(hub) == before


async def test_a_ledger_older_than_the_projection_makes_it_anew(hub):
    add_person(hub, 1, "p1")
    await record(hub, grant(hub))
    await catch_up(hub)
    with hub.engine.write() as tx:
        tx.execute(
            "INSERT INTO consent_entries SELECT 9, subject, purpose, 'DENY', effective_at, recorded_at, NULL "
            "FROM consent_entries"
        )
        tx.execute("UPDATE consent SET state = 'DENIED'")
        tx.execute("UPDATE projection SET watermark = 9")
    assert await projected(hub) == {"newsletter": "GRANTED"}
    assert (await catch_up(hub)).watermark == 1


async def test_a_purpose_is_made_once_and_can_be_renamed(hub):
    changed = await purposes.update(hub, "ads", name=" Advertising ", description="On other sites")
    assert (changed.key, changed.name, changed.description) == ("ads", "Advertising", "On other sites")
    assert (await purposes.update(hub, "ads", description="")).name == "Advertising"
    with pytest.raises(HubError) as taken:
        await purposes.create(hub, "ads", "Ads")
    assert (taken.value.code, taken.value.problems[0].path) == (ErrorCode.CONFLICT, ("input", "key"))
    with pytest.raises(HubError) as wrong:
        await purposes.create(hub, "two words", "")
    assert [problem.path[-1] for problem in wrong.value.problems] == ["key", "name"]
    with pytest.raises(HubError) as unknown:
        await purposes.update(hub, "adds", name="x")
    assert (unknown.value.code, unknown.value.problems[0].suggestion) == (ErrorCode.NOT_FOUND, "ads")
