"""Alerts at work: what happens to a sync is told once when it turns bad and once when it is well again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from hub.core.alerts.health import CauseKind, HealthState
from hub.core.records import Run, RunStatus
from hub.errors import ErrorCode, Problem
from hub.sdk.egress import EgressPolicy
from hub.services import alert_channels, destinations, health, mail, runs, syncs
from hub.services.alarm import Alarm
from hub.services.hub import Hub
from hub.store.health import Watched
from tests.services.receivers import (
    PASSWORD,
    SECRET,
    USER,
    Mailbox,
    Receiver,
    mail_listening,
    trusted,
    webhook_listening,
)
from tests.services.shop import Shop, shop, until, working

REFUSED = Problem(ErrorCode.DESTINATION_AUTH, "The vendor does not let us in.", ("destination",))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.services.alarm.ROUND_S", 0.1)
    monkeypatch.setattr("hub.services.alarm.POLL_S", 0.05)
    monkeypatch.setattr(mail, "trusting_the_usual", trusted)


@pytest.fixture
async def open_shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(tmp_path) as opened:
        yield opened


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_listening() as found:
        yield found


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with mail_listening() as found:
        yield found


async def hear(opened: Shop, receiver: Receiver) -> None:
    """A webhook as the alert channel."""
    opened.hub.egress = EgressPolicy(frozenset({f"127.0.0.1:{receiver.port}"}))
    await alert_channels.create(opened.hub, "ops", "Ops", webhook={"url": receiver.url, "secret": SECRET})


async def read_mail(hub: Hub, box: Mailbox, *to: str) -> None:
    """E-mail as a further alert channel."""
    user = f"{USER}:{PASSWORD.replace('/', '%2F').replace(' ', '%20')}"
    sender = {"smtp_url": f"smtp://{user}@127.0.0.1:{box.port}", "smtp_from": "hub@example.com"}
    hub.settings = type(hub.settings)(**{**hub.settings.model_dump(), **sender})
    hub.egress = EgressPolicy(hub.egress.allow | {f"127.0.0.1:{box.port}"})
    await alert_channels.create(hub, "mail", "Mail", email={"to": list(to)})


async def seen(opened: Shop) -> Watched:
    found = (await opened.hub.store.healths.of_syncs([opened.sync.id])).get(opened.sync.id)
    assert found, "nobody has looked at the sync"
    return found


async def look(opened: Shop) -> Watched:
    await health.look(opened.hub, await opened.hub.store.syncs.need(opened.sync.key))
    return await seen(opened)


def kinds(watched: Watched) -> list[str]:
    return [cause.kind.value for cause in watched.health.causes]


async def lock(opened: Shop, locked: bool) -> None:
    """The vendor refuses our credentials, or takes them again."""
    await destinations.update(opened.hub, "vendor", config={"locked": locked})
    if not locked:
        await destinations.resume(opened.hub, "vendor")


async def told(opened: Shop) -> bool:
    return not await opened.hub.store.alert_notices.due(opened.clock.now().replace(year=2100))


async def test_one_notice_when_a_sync_turns_bad_and_one_when_it_recovers_on_every_channel(
    open_shop: Shop, receiver: Receiver, mailbox: Mailbox
) -> None:
    await open_shop.set_up(3)
    await hear(open_shop, receiver)
    await read_mail(open_shop.hub, mailbox, "ops@example.com")
    with structlog.testing.capture_logs() as lines:
        async with working(open_shop.hub):
            await open_shop.send()
            await lock(open_shop, True)
            await open_shop.admit(["new"])
            for _ in range(3):
                assert (await open_shop.send()).status is RunStatus.FAILED
                await open_shop.hub.store.destinations.resume(open_shop.destination.id)
            await until(lambda: len(receiver.told) == 1 and len(mailbox.letters) == 1)
            await lock(open_shop, False)
            assert (await open_shop.send()).status is RunStatus.SUCCEEDED
            await until(lambda: len(receiver.told) == 2 and len(mailbox.letters) == 2)
            await asyncio.sleep(0.3)
    bad, well = receiver.told
    assert (bad["type"], bad["sync"], bad["destination"]) == ("sync.turned_bad", "all-to-vendor", "vendor")
    # Whichever was seen first: the refused account pauses the destination, and the runs fail.
    assert {"RUNS_FAILED", "DESTINATION_PAUSED"} & {cause["kind"] for cause in bad["causes"]}
    assert (well["type"], well["causes"]) == ("sync.recovered", [])
    assert receiver.ids == [bad["id"], well["id"]] and receiver.forged == 0
    subjects = ["The sync “all-to-vendor” needs attention", "The sync “all-to-vendor” is well again"]
    assert [letter["Subject"] for letter in mailbox.letters] == subjects
    assert [letter["Message-ID"] for letter in mailbox.letters] == [f"<{id}.mail@example.com>" for id in receiver.ids]
    written = [(line["event"], line["sync"]) for line in lines if line["event"].startswith("sync ")]
    assert written == [("sync turned bad", "all-to-vendor"), ("sync recovered", "all-to-vendor")]
    everything = f"{receiver.told} {[letter.as_string() for letter in mailbox.letters]} {lines}"
    assert SECRET not in everything and PASSWORD not in everything and "p001" not in str(receiver.told)


async def test_the_end_of_a_run_is_looked_at_without_waiting_for_a_round(
    open_shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.services.alarm.ROUND_S", 3600)
    await open_shop.set_up(2, locked=True)
    await hear(open_shop, receiver)
    async with working(open_shop.hub):
        await open_shop.send()
        await until(lambda: len(receiver.told) == 1)


async def test_a_further_cause_is_shown_and_not_told(open_shop: Shop, receiver: Receiver) -> None:
    await open_shop.set_up(3)
    await hear(open_shop, receiver)
    async with working(open_shop.hub):
        await lock(open_shop, True)
        await open_shop.send()
        await until(lambda: len(receiver.told) == 1)
        await open_shop.hub.store.destinations.resume(open_shop.destination.id)
        await syncs.update(open_shop.hub, open_shop.sync.key, alerts={"overdue_minutes": 10})
        await open_shop.hub.store.destinations.pause(open_shop.destination.id)
        await open_shop.hub.store.runs.queue(
            open_shop.sync.id, (await last(open_shop)).cause, now=open_shop.clock.now()
        )
        open_shop.clock.pass_by(minutes=11)
        await until(lambda: shows(open_shop, CauseKind.OVERDUE))
        await asyncio.sleep(0.2)
    assert kinds(await seen(open_shop)) == ["RUNS_FAILED", "OVERDUE"] and len(receiver.told) == 1


async def last(opened: Shop) -> Run:
    return (await opened.hub.store.runs.of_sync(opened.sync.id, 1))[0]


async def shows(opened: Shop, kind: CauseKind) -> bool:
    return (await seen(opened)).health.cause(kind) is not None


async def test_a_restart_tells_nothing_twice_and_forgets_nothing(open_shop: Shop, receiver: Receiver) -> None:
    await open_shop.set_up(2)
    await hear(open_shop, receiver)
    await open_shop.hub.store.destinations.pause(open_shop.destination.id, REFUSED)
    # As if the process had died between the turn and telling of it.
    assert (await look(open_shop)).health.state is HealthState.BAD
    for _ in range(2):
        async with working(open_shop.hub):
            await until(lambda: told(open_shop))
            await asyncio.sleep(0.2)
    assert [one["type"] for one in receiver.told] == ["sync.turned_bad"]


async def test_several_processes_that_look_at_once_and_tell_at_once_tell_once(
    open_shop: Shop, receiver: Receiver
) -> None:
    await open_shop.set_up(2)
    await hear(open_shop, receiver)
    await open_shop.hub.store.destinations.pause(open_shop.destination.id, REFUSED)
    await asyncio.gather(*(look(open_shop) for _ in range(8)))
    alarms = [Alarm(open_shop.hub) for _ in range(4)]
    await asyncio.gather(*(alarm.on_notices() for alarm in alarms))
    for alarm in alarms:
        await alarm.close()
    assert len(receiver.ids) == 1 and len(receiver.told) == 1 and await told(open_shop)


async def test_a_receiver_that_is_down_is_tried_again_with_the_same_id(open_shop: Shop, receiver: Receiver) -> None:
    await open_shop.set_up(2)
    await hear(open_shop, receiver)
    receiver.answers.extend([503, 400])
    await open_shop.hub.store.destinations.pause(open_shop.destination.id, REFUSED)
    async with working(open_shop.hub):
        for tries in (1, 2):
            await until(lambda tries=tries: resting(open_shop, tries))
            open_shop.clock.pass_by(minutes=30)
        await until(lambda: told(open_shop))
    assert len(receiver.told) == 1 and len(set(receiver.ids)) == 1 and len(receiver.ids) == 3
    assert (await open_shop.hub.store.alert_channels.need("ops")).failure is None


async def resting(opened: Shop, tries: int) -> bool:
    """Whether a channel's notice waits for its next try, which is sooner than a claim would run out."""
    soon = opened.clock.now() + timedelta(minutes=1)
    return any(found.attempts == tries and found.channel_id for found in await opened.hub.store.alert_notices.due(soon))


async def test_one_channel_that_fails_keeps_no_other_from_hearing_and_is_given_up_after_three_days(
    open_shop: Shop, receiver: Receiver, mailbox: Mailbox
) -> None:
    await open_shop.set_up(2)
    await hear(open_shop, receiver)
    await read_mail(open_shop.hub, mailbox, "ops@example.com")
    receiver.answers.extend([500] * 1000)
    await open_shop.hub.store.destinations.pause(open_shop.destination.id, REFUSED)
    with structlog.testing.capture_logs() as lines:
        async with working(open_shop.hub):
            await until(lambda: len(mailbox.letters) == 1)
            assert not await told(open_shop)
            open_shop.clock.pass_by(days=3)
            await until(lambda: told(open_shop))
    assert [line["channel"] for line in lines if line["event"] == "notice given up"] == ["ops"]


async def test_a_letter_that_reached_some_of_its_readers_is_not_sent_again(open_shop: Shop, mailbox: Mailbox) -> None:
    await open_shop.set_up(2)
    await read_mail(open_shop.hub, mailbox, "ops@example.com", "gone@example.com")
    mailbox.refuses["gone@example.com"] = "550 5.1.1 no such person"
    await open_shop.hub.store.destinations.pause(open_shop.destination.id, REFUSED)
    await look(open_shop)
    async with working(open_shop.hub):
        await until(lambda: told(open_shop))
    channel = await open_shop.hub.store.alert_channels.need("mail")
    assert len(mailbox.letters) == 1 and channel.failure and "gone" not in channel.failure.message


async def test_a_run_that_waits_for_approval_is_told_and_its_approval_is_a_recovery(
    open_shop: Shop, receiver: Receiver
) -> None:
    await open_shop.set_up(4, share=0.1)
    await hear(open_shop, receiver)
    async with working(open_shop.hub):
        await open_shop.send()
        await open_shop.expel("p001", "p002")
        waiting = await open_shop.send()
        await until(lambda: len(receiver.told) == 1)
        assert [cause["kind"] for cause in receiver.told[0]["causes"]] == ["WAITING_APPROVAL"]
        await runs.approve(open_shop.hub, waiting.id)
        await until(lambda: len(receiver.told) == 2)
    assert receiver.told[1]["type"] == "sync.recovered"


async def test_a_share_that_is_refused_counts_by_the_syncs_own_threshold(open_shop: Shop) -> None:
    await open_shop.set_up(10, reject=["p001", "p002"])
    await syncs.update(open_shop.hub, open_shop.sync.key, alerts={"rejected_share": 0.2})
    async with working(open_shop.hub):
        await open_shop.send()
        assert (await look(open_shop)).health.state is HealthState.WELL
        await syncs.update(open_shop.hub, open_shop.sync.key, alerts={"rejected_share": 0.19})
        assert kinds(await look(open_shop)) == ["REJECTED"]
        await syncs.update(open_shop.hub, open_shop.sync.key, alerts={"rejected_share": None})
        assert (await look(open_shop)).health.state is HealthState.WELL


async def test_somebody_who_withdrew_and_cannot_be_removed_is_told(open_shop: Shop) -> None:
    await open_shop.set_up(3)
    async with working(open_shop.hub):
        await open_shop.send()
        calls = len(open_shop.account.calls)
        failures = [{"call": calls + number, "kind": "refused"} for number in range(1, 30)]
        await destinations.update(open_shop.hub, "vendor", config={"failures": failures})
        await open_shop.withdraw("p001")
        await until(lambda: shows(open_shop, CauseKind.REMOVALS_FAILED))
        await destinations.update(open_shop.hub, "vendor", config={"failures": []})
        open_shop.clock.pass_by(minutes=1)
        await open_shop.send()
        await until(lambda: recovered(open_shop))


async def recovered(opened: Shop) -> bool:
    return (await seen(opened)).health.state is HealthState.WELL


async def test_a_schedule_that_is_not_kept_is_overdue_until_a_run_gets_to_its_end(open_shop: Shop) -> None:
    await open_shop.set_up(2, schedule="0 * * * *")
    assert (await look(open_shop)).health.state is HealthState.WELL
    open_shop.clock.pass_by(hours=1, minutes=59)
    assert (await look(open_shop)).health.state is HealthState.WELL
    open_shop.clock.pass_by(minutes=1)
    [cause] = (await look(open_shop)).health.causes
    assert (cause.kind, cause.since.hour) == (CauseKind.OVERDUE, 13)
    async with working(open_shop.hub):
        await open_shop.send()
        await until(lambda: recovered(open_shop))


async def test_a_new_schedule_and_the_end_of_a_pause_are_no_reason_to_be_overdue(open_shop: Shop) -> None:
    await open_shop.set_up(2)
    async with working(open_shop.hub):
        await open_shop.send()
    await look(open_shop)
    open_shop.clock.pass_by(days=90)
    await syncs.update(open_shop.hub, open_shop.sync.key, schedule="0 * * * *")
    assert (await look(open_shop)).health.state is HealthState.WELL
    await syncs.pause(open_shop.hub, open_shop.sync.key)
    await look(open_shop)
    open_shop.clock.pass_by(days=9)
    assert (await look(open_shop)).health.state is HealthState.WELL
    await syncs.resume(open_shop.hub, open_shop.sync.key)
    assert (await look(open_shop)).health.state is HealthState.WELL


async def test_a_sync_that_waits_for_a_worker_too_long_is_overdue_whatever_its_schedule(open_shop: Shop) -> None:
    await open_shop.set_up(2)
    await runs.start(open_shop.hub, open_shop.sync.key)
    await look(open_shop)
    open_shop.clock.pass_by(minutes=61)
    assert kinds(await look(open_shop)) == ["OVERDUE"]
    await runs.cancel(open_shop.hub, (await last(open_shop)).id)
    assert (await look(open_shop)).health.state is HealthState.WELL


async def test_a_look_that_finds_nothing_new_writes_nothing(open_shop: Shop) -> None:
    await open_shop.set_up(2)
    first = await look(open_shop)
    open_shop.clock.pass_by(minutes=1)
    assert await look(open_shop) == first
