"""Erasing a person: a no that holds at once, gone at every destination, gone here, and never sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox import Sandbox, forget, pretend_account
from hub.core.records import ConsentAction, ConsentState, Destination, Erasure, Run, RunCause, RunStatus
from hub.core.scopes import Scope
from hub.errors import HubError
from hub.plugins import Registry
from hub.sdk import Outcome, OutcomeKind, Person, RefusedError, Result
from hub.services import consent, destinations, erasures, intake, purposes, runs, syncs
from hub.services.erasing import erased
from hub.services.hub import Hub
from tests.services.opened import add_person
from tests.services.shop import Shop, shop, until, working


class Plain(Sandbox):
    """A vendor that cannot erase anybody."""

    key = "plain"
    capabilities = replace(Sandbox.capabilities, erase=False)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(tmp_path) as found:
        found.hub.registry = Registry({**found.hub.registry.connectors, "plain": Plain}, {})
        yield found


async def another(town: Shop, key: str, connector: str = "plain", **config: Any) -> Destination:
    """One more destination, with a sync of everybody to it."""
    account = f"{town.account_name}-{key}"
    forget(account)
    store = town.hub.store
    made = await store.destinations.create(
        key=key, name=key, connector=connector, secrets={}, config={"account": account, **config}
    )
    segment = await store.segments.need("all")
    await store.syncs.create(
        key=f"all-to-{key}", segment_id=segment.id, destination_id=made.id, audience="vip", purposes=["news"]
    )
    return made


async def sent_to_all(town: Shop) -> None:
    for sync in await town.hub.store.syncs.all():
        run = await town.outcome_of(await runs.start(town.hub, sync.key))
        assert run.status is RunStatus.SUCCEEDED, run.failure


async def finished(hub: Hub, external_id: str) -> Erasure:
    async def done() -> bool:
        found = await erasures.erasure_of(hub, external_id)
        return found is not None and found.finished_at is not None

    await until(done)
    found = await erasures.erasure_of(hub, external_id)
    assert found
    return found


async def erasing_runs(hub: Hub) -> list[Run]:
    return [run for run in await hub.store.runs.page(50) if run.cause is RunCause.ERASURE]


def traces_of(hub: Hub, external_id: str, pid: int) -> dict[str, int]:
    """How many rows of each table of the data plane are about the person."""
    told = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
    found: dict[str, int] = {}
    for table, column in hub.engine.rows(told):
        if column in {"external_id", "pid"}:
            value = external_id if column == "external_id" else pid
            count = f'SELECT count(*) FROM "{table}" WHERE "{column}" = $value'
            found[table] = found.get(table, 0) + hub.engine.rows(count, {"value": value})[0][0]
    return {table: count for table, count in found.items() if count}


async def test_somebody_erased_is_gone_at_every_destination_and_here(town: Shop) -> None:
    await town.set_up(3)
    await another(town, "plain")
    hub, [(pid,)] = town.hub, town.hub.engine.rows("SELECT pid FROM profiles WHERE external_id = 'p001'")
    async with working(hub):
        await sent_to_all(town)
        assert {"profiles", "identifiers", "memberships", "consent", "plan", "delivered"} <= traces_of(
            hub, "p001", pid
        ).keys()
        begun = await erasures.erase(hub, "p001")
        assert begun.person and begun.person.external_id == "p001"
        assert {run.scope for run in begun.runs} == {Scope.WITHDRAWN}
        erasure = await finished(hub, "p001")
    for account in (town.account_name, f"{town.account_name}-plain"):
        assert pretend_account(account).members("vip") == {"p000", "p002"}
    assert traces_of(hub, "p001", pid) == {}
    assert erasure.external_id is None and all(place.done_at for place in erasure.places)
    # The worker may have seen the denial first: then a withdrawal's run removed them, and another one finds nobody.
    ended = [run for run in await hub.store.runs.page(50) if run.counts.leavers]
    assert {run.status for run in ended} == {RunStatus.SUCCEEDED}
    assert RunCause.ERASURE in {run.cause for run in ended}
    assert sorted((run.scope, run.counts.leavers, run.counts.removed) for run in ended) == [
        (Scope.ERASE, 1, 1),
        (Scope.WITHDRAWN, 1, 1),
        (Scope.WITHDRAWN, 1, 1),
    ]
    erased = [call["erase"] for call in town.account.calls if "erase" in call]
    assert erased == [["p001"]]
    assert not [call for call in pretend_account(f"{town.account_name}-plain").calls if "erase" in call]


async def test_the_no_holds_as_soon_as_it_answers_under_every_identifier_and_for_every_purpose(town: Shop) -> None:
    await town.set_up(1)
    await purposes.create(town.hub, "ads", "Ads")
    add_person(town.hub, 50, "ann", email="ann@example.com", phone="+491711234567")
    await town.decide("ann", ConsentAction.GRANT)
    await erasures.erase(town.hub, " ann ")
    found = await consent.standing(town.hub, "ann")
    assert {(one.purpose, one.state) for one in found} == {("ads", ConsentState.DENIED), ("news", ConsentState.DENIED)}
    told = [entry for entry in await town.hub.store.ledger.whole(0) if entry.source == "erasure"]
    assert len({entry.subject for entry in told}) == 3
    assert {entry.action for entry in told} == {ConsentAction.DENY}


async def test_an_address_that_two_share_is_denied_for_both_and_the_other_is_not_erased(town: Shop) -> None:
    await town.set_up(0)
    for pid, person in ((50, "ann"), (51, "ben")):
        add_person(town.hub, pid, person, email="home@example.com")
        await town.decide(person, ConsentAction.GRANT)
    async with working(town.hub):
        await sent_to_all(town)
        assert town.there == {"ann", "ben"}
        await erasures.erase(town.hub, "ann")
        await finished(town.hub, "ann")
        await until(lambda: not town.there)
    assert (await consent.standing(town.hub, "ben"))[0].state is ConsentState.DENIED
    assert traces_of(town.hub, "ben", 51)["profiles"]
    assert [call["erase"] for call in town.account.calls if "erase" in call] == [["ann"]]


@pytest.mark.parametrize("stranger", ["nobody", "", "\x00"])
async def test_whoever_is_not_known_cannot_be_erased(town: Shop, stranger: str) -> None:
    await town.set_up(1)
    with pytest.raises(HubError, match="Nothing is known"):
        await erasures.erase(town.hub, stranger)
    assert await town.hub.store.erasures.under_way() == []


async def test_somebody_imported_again_is_not_sent_again_until_they_agree_anew(town: Shop, tmp_path: Path) -> None:
    await town.set_up(2)
    async with working(town.hub):
        await sent_to_all(town)
        await erasures.erase(town.hub, "p001")
        await finished(town.hub, "p001")
        file = tmp_path / "again.csv"
        file.write_text("id,email\np001,p001@example.com\n")
        await intake.import_file(town.hub, "profiles", file)
        again = await town.send()
        assert again.counts.withheld == 1 and town.there == {"p000"}
        town.clock.pass_by(minutes=1)
        await town.decide("p001", ConsentAction.GRANT)
        assert (await town.send()).counts.added == 1
    assert town.there == {"p000", "p001"}


async def test_a_paused_destination_makes_it_wait_and_everything_else_goes_on(town: Shop) -> None:
    await town.set_up(2)
    other = await another(town, "plain")
    async with working(town.hub):
        await sent_to_all(town)
        await destinations.pause(town.hub, "vendor")
        await erasures.erase(town.hub, "p001")

        async def only_one_left() -> bool:
            found = await erasures.erasure_of(town.hub, "p001")
            assert found and not found.finished_at
            return [place.destination_id for place in found.left] == [town.destination.id]

        await until(only_one_left)
        assert pretend_account(f"{town.account_name}-{other.key}").members("vip") == {"p000"}
        assert town.there == {"p000", "p001"}
        assert traces_of(town.hub, "p001", 2)["profiles"] == 2
        await destinations.resume(town.hub, "vendor")
        await finished(town.hub, "p001")
    assert town.there == {"p000"}


@pytest.mark.parametrize("deleted", [True, False])
async def test_a_destination_whose_connector_is_gone_is_waited_for_until_that_is_back_or_the_destination_deleted(
    town: Shop, deleted: bool
) -> None:
    await town.set_up(1)
    gone = await another(town, "gone", connector="gone")
    async with working(town.hub):
        await erasures.erase(town.hub, "p000")

        async def only_that_one_left() -> bool:
            found = await erasures.erasure_of(town.hub, "p000")
            assert found and not found.finished_at
            return [place.destination_id for place in found.left] == [gone.id]

        await until(only_that_one_left)
        if deleted:
            await syncs.delete(town.hub, "all-to-gone")
            await destinations.delete(town.hub, "gone")
        else:
            town.hub.registry = Registry({**town.hub.registry.connectors, "gone": Plain}, {})
        await finished(town.hub, "p000")


async def test_a_vendor_that_is_busy_is_asked_again(town: Shop) -> None:
    # The first call adds, the second removes, and then it takes three to erase.
    throttled = [{"call": number, "kind": "throttle", "retry_after": 0.01} for number in (3, 4)]
    await town.set_up(2, failures=throttled)
    async with working(town.hub):
        await sent_to_all(town)
        await erasures.erase(town.hub, "p001")
        await finished(town.hub, "p001")
    assert [call["applied"] for call in town.account.calls if "erase" in call] == [False, False, True]


async def test_a_run_that_fails_is_followed_by_another_after_a_rest(town: Shop) -> None:
    await town.set_up(2, failures=[{"call": 3, "kind": "refused"}, {"call": 4, "kind": "unknown"}])
    async with working(town.hub):
        await sent_to_all(town)
        await erasures.erase(town.hub, "p001")

        def ended(*statuses: RunStatus) -> Any:
            async def so() -> bool:
                found = [run.status for run in await erasing_runs(town.hub) if run.scope is Scope.ERASE]
                return found[::-1] == list(statuses)

            return so

        await until(ended(RunStatus.FAILED))
        town.clock.pass_by(seconds=20)
        await until(ended(RunStatus.FAILED, RunStatus.PARTIAL))
        assert traces_of(town.hub, "p001", 2)["profiles"]
        town.clock.pass_by(seconds=40)
        await finished(town.hub, "p001")


async def test_a_lost_account_pauses_the_destination_and_the_erasure_goes_on_when_it_is_resumed(town: Shop) -> None:
    await town.set_up(2, failures=[{"call": 3, "kind": "auth"}])
    async with working(town.hub):
        await sent_to_all(town)
        await erasures.erase(town.hub, "p001")

        async def paused() -> bool:
            return (await town.hub.store.destinations.need("vendor")).paused

        await until(paused)
        town.clock.pass_by(minutes=1)
        await destinations.resume(town.hub, "vendor")
        await finished(town.hub, "p001")


async def test_a_grant_recorded_meanwhile_does_not_keep_anybody(town: Shop) -> None:
    await town.set_up(2)
    await destinations.pause(town.hub, "vendor")
    async with working(town.hub):
        await erasures.erase(town.hub, "p001")
        town.clock.pass_by(minutes=1)
        await town.decide("p001", ConsentAction.GRANT)

        async def denied() -> bool:
            return (await consent.standing(town.hub, "p001"))[0].state is ConsentState.DENIED

        await until(denied)
        await destinations.resume(town.hub, "vendor")
        await finished(town.hub, "p001")


async def test_what_an_unanswered_add_may_still_do_is_waited_for(town: Shop) -> None:
    await town.set_up(2, failures=[{"call": number, "kind": "timeout_after_apply"} for number in (1, 2, 3, 4)])
    async with working(town.hub):
        await town.send()
        [(landing,)] = town.hub.engine.rows("SELECT count(*) FROM delivered WHERE late_until IS NOT NULL")
        assert landing == 2
        await erasures.erase(town.hub, "p001")

        async def removed() -> bool:
            return any(run.status.ended for run in await erasing_runs(town.hub))

        await until(removed)
        assert not [call for call in town.account.calls if "erase" in call]
        town.clock.pass_by(seconds=10)
        await finished(town.hub, "p001")
    assert [call["erase"] for call in town.account.calls if "erase" in call] == [["p001"]]
    assert "p001" not in town.there


async def test_a_plan_that_waits_for_approval_does_not_hold_it_up(town: Shop) -> None:
    await town.set_up(4, share=0.1)
    async with working(town.hub):
        await sent_to_all(town)
        await town.expel("p000")
        await town.admit(["new"])
        waiting = await town.send()
        assert waiting.status is RunStatus.WAITING_APPROVAL
        await erasures.erase(town.hub, "new")
        await finished(town.hub, "new")
        ended = await town.hub.store.runs.find(waiting.id)
        assert ended and ended.status is RunStatus.CANCELLED and ended.failure
        assert "being erased" in ended.failure.message
    assert town.there == {"p000", "p001", "p002", "p003"}


async def test_asked_for_twice_it_is_one_erasure(town: Shop) -> None:
    await town.set_up(2)
    await destinations.pause(town.hub, "vendor")
    first = await erasures.erase(town.hub, "p001")
    again = await erasures.erase(town.hub, "p001")
    assert again.erasure.id == first.erasure.id
    assert len(await town.hub.store.erasures.under_way()) == 1


async def test_somebody_whose_profile_is_gone_is_still_erased_where_they_were_sent(town: Shop) -> None:
    await town.set_up(2)
    async with working(town.hub):
        await sent_to_all(town)
        await town.expel("p001")
        begun = await erasures.erase(town.hub, "p001")
        assert begun.person is None
        await finished(town.hub, "p001")
    assert town.there == {"p000"}
    assert traces_of(town.hub, "p001", 2) == {}


async def test_every_address_they_ever_had_is_erased(town: Shop) -> None:
    await town.set_up(0, identifier="email")
    add_person(town.hub, 7, "ann", email="new@example.com")
    hub = town.hub
    with hub.engine.write() as tx:
        tx.execute(
            "INSERT INTO identifiers SELECT pid, kind, 'old@example.com', subject, linked_at, seq - 1 FROM identifiers "
            "WHERE pid = 7 AND kind = 'email'"
        )
    async with working(hub):
        await erasures.erase(hub, "ann")
        await finished(hub, "ann")
    assert [call["erase"] for call in town.account.calls] == [["new@example.com", "old@example.com"]]


async def test_where_nobody_can_be_it_is_over_at_once(town: Shop) -> None:
    await town.set_up(1)
    await town.hub.store.syncs.delete(town.sync.id)
    await town.hub.store.destinations.delete(town.destination.id)
    async with working(town.hub):
        begun = await erasures.erase(town.hub, "p000")
        assert (begun.runs, begun.erasure.places) == ((), ())
        await finished(town.hub, "p000")


class Picky:
    """Refuses a whole request for the sake of one person in it."""

    def __init__(self, *, divisible: bool) -> None:
        self.divisible = divisible
        self.gone: list[str] = []

    async def erase(self, people: Sequence[Person]) -> Result:
        if any(person.key == "bob" for person in people):
            raise RefusedError("one of them is malformed", divisible=self.divisible)
        self.gone += [person.key for person in people]
        return Result({"dan": Outcome(OutcomeKind.NOOP)} if "dan" in self.gone else {})


async def test_one_who_spoils_the_request_keeps_nobody_else_from_being_erased() -> None:
    people, vendor = [Person(name, name) for name in ("ann", "bob", "cem", "dan", "eve")], Picky(divisible=True)
    result = await erased(vendor, people)  # type: ignore[arg-type]
    assert sorted(vendor.gone) == ["ann", "cem", "dan", "eve"] and result.rest is OutcomeKind.ACCEPTED
    assert result.outcomes == {
        "bob": Outcome(OutcomeKind.REJECTED, "one of them is malformed"),
        "dan": Outcome(OutcomeKind.NOOP),
    }
    with pytest.raises(RefusedError):
        await erased(Picky(divisible=False), people)  # type: ignore[arg-type]


def test_a_rest_grows_to_an_hour_and_no_further() -> None:
    assert [erasures.rest(n) for n in (0, 1, 2)] == [timedelta(seconds=15 * 2**n) for n in (0, 1, 2)]
    assert erasures.rest(50) == timedelta(hours=1)
