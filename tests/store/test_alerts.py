"""A sync's turn and what is told of it are kept together, once, whoever sees it; channels hear in order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from hub.core.alerts.channel import AlertChannel, AlertChannelKind
from hub.core.alerts.health import Cause, CauseKind, Health, HealthState
from hub.core.alerts.thresholds import Thresholds
from hub.core.alerts.wording import Notice, notice_of
from hub.core.records import Sync
from hub.errors import ErrorCode, HubError, Problem
from hub.store import Store
from hub.store.health import Watched
from hub.store.seal import Keyring
from tests.conftest import DIALECT, SECRET_KEY
from tests.store.rows import NOON, after, make_sync

WELL = Health(HealthState.WELL, NOON)
BAD = Health(HealthState.BAD, after(60), (Cause(CauseKind.RUNS_FAILED, NOON, 2, ErrorCode.DESTINATION_AUTH),))
SECRET = "whsec_dGhlIGtleSBvZiB0aGUgdGVzdHMsIDMyIGJ5dGVzLi4="


@pytest.fixture
async def sync(store: Store) -> Sync:
    return await make_sync(store)


async def channel(store: Store, key: str = "ops") -> AlertChannel:
    return await store.alert_channels.create(
        key=key, name="Ops", kind=AlertChannelKind.WEBHOOK, url="https://ops.example/x", secret=SECRET
    )


def notice(number: int = 1, health: Health = BAD) -> Notice:
    return notice_of(f"ntc_{number}", "vip-to-shop", "shop", WELL, health)


async def turn(store: Store, sync: Sync, number: int = 1) -> bool:
    """The next turn of the sync, told."""
    seen = (await store.healths.of_syncs([sync.id])).get(sync.id) or Watched(sync.id, WELL, "manual", NOON)
    return await store.healths.save(replace(seen, health=BAD), now=NOON, notice=notice(number))


async def test_what_was_seen_is_found_again_with_its_notice(store: Store, sync: Sync) -> None:
    assert await store.healths.of_syncs([sync.id]) == {}
    seen = Watched(sync.id, BAD, "0 * * * *", NOON)
    assert await store.healths.save(seen, now=NOON, notice=notice())
    expected = replace(seen, version=1, notice=notice())
    assert await store.healths.of_syncs([sync.id, 99]) == {sync.id: expected}
    calmer = Health(HealthState.BAD, NOON, spells=3, calm_since=after(30))
    assert await store.healths.save(replace(expected, health=calmer), now=NOON)
    assert await store.healths.of_syncs([sync.id]) == {sync.id: replace(expected, health=calmer, version=2)}


async def test_of_several_who_see_the_same_turn_one_tells_it(store: Store, sync: Sync) -> None:
    await channel(store)
    for version, health in ((0, BAD), (1, WELL)):
        seen = Watched(sync.id, health, "manual", NOON, version)
        saved = await asyncio.gather(
            *(store.healths.save(seen, now=NOON, notice=notice(number)) for number in range(5))
        )
        assert sorted(saved) == [False] * 4 + [True]
    told = [waiting.notice.id for waiting in await all_of(store)]
    assert len(told) == 4 and told[0] == told[1] and told[2] == told[3]


async def all_of(store: Store) -> list[object]:
    """Everything that waits, each channel's first to last."""
    found = []
    while due := await store.alert_notices.due(after(1e6)):
        found += due
        for waiting in due:
            await store.alert_notices.done(waiting.id)
    return found


async def test_every_channel_and_the_log_are_to_be_told(store: Store, sync: Sync) -> None:
    made = [(await channel(store, key)).id for key in ("one", "two")]
    assert await turn(store, sync)
    assert {waiting.channel_id for waiting in await store.alert_notices.due(NOON)} == {*made, None}
    assert await store.alert_notices.waiting_for(made) == dict.fromkeys(made, 1)


async def test_a_channel_hears_things_in_their_order_and_one_does_not_wait_for_another(
    store: Store, sync: Sync
) -> None:
    ops = await channel(store)
    for number in (1, 2):
        await turn(store, sync, number)
    first = {waiting.channel_id: waiting for waiting in await store.alert_notices.due(NOON)}
    assert {waiting.notice.id for waiting in first.values()} == {"ntc_1"}
    await store.alert_notices.try_again(first[ops.id].id, after(10))
    await store.alert_notices.done(first[None].id)
    assert [(waiting.channel_id, waiting.notice.id) for waiting in await store.alert_notices.due(NOON)] == [
        (None, "ntc_2")
    ]
    [again] = [waiting for waiting in await store.alert_notices.due(after(10)) if waiting.channel_id == ops.id]
    assert again == first[ops.id]


async def test_a_try_is_one_workers_until_its_lease_is_over(store: Store, sync: Sync) -> None:
    await turn(store, sync)
    [waiting] = await store.alert_notices.due(NOON)
    claims = await asyncio.gather(*(store.alert_notices.claim(waiting, NOON, 120) for _ in range(5)))
    assert sorted(claims) == [False] * 4 + [True]
    assert await store.alert_notices.due(after(119)) == []
    [later] = await store.alert_notices.due(after(120))
    assert later == replace(waiting, attempts=1)


async def test_a_channel_takes_what_waits_for_it_along_and_a_sync_takes_its_health(store: Store, sync: Sync) -> None:
    ops = await channel(store)
    await turn(store, sync)
    await store.alert_channels.delete(ops.id)
    assert [waiting.channel_id for waiting in await store.alert_notices.due(NOON)] == [None]
    await store.syncs.delete(sync.id)
    assert await store.healths.of_syncs([sync.id]) == {}
    assert not await store.healths.save(Watched(sync.id, BAD, "manual", NOON), now=NOON, notice=notice(2))
    assert [waiting.notice.id for waiting in await store.alert_notices.due(NOON)] == ["ntc_1"]


async def test_a_channel_is_changed_and_keeps_what_is_left_out(store: Store) -> None:
    made = await channel(store)
    changed = await store.alert_channels.update(made.id, if_version=1, url="https://ops.example/y")
    assert changed == replace(made, url="https://ops.example/y", version=2)
    assert await store.alert_channels.secret(made.id) == SECRET
    with pytest.raises(HubError, match="version 2") as refused:
        await store.alert_channels.update(made.id, if_version=1, name="Old")
    assert refused.value.code is ErrorCode.CONFLICT
    mail = await store.alert_channels.create(key="m", name="M", kind=AlertChannelKind.EMAIL, to=["a@example.com"])
    assert (await store.alert_channels.update(mail.id, to=["b@example.com"])).to == ("b@example.com",)
    assert await store.alert_channels.secret(mail.id) == ""


async def test_a_channel_remembers_what_its_newest_try_came_to(store: Store) -> None:
    made = await channel(store)
    away = Problem(ErrorCode.DESTINATION_UNREACHABLE, "away")
    await store.alert_channels.note(made.id, NOON, None)
    await store.alert_channels.note(made.id, after(9), away)
    assert await store.alert_channels.find(made.id) == replace(made, delivered_at=NOON, failure=away)


@pytest.mark.skipif(DIALECT != "sqlite", reason="looks into the file")
async def test_the_secret_of_a_channel_is_stored_sealed(store: Store, migrated_url: str) -> None:
    await channel(store)
    await store.close()
    path = Path(migrated_url.removeprefix("sqlite:///"))
    assert SECRET.encode() not in b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    reopened = await Store.open(migrated_url, Keyring.of(bytes(reversed(SECRET_KEY))))
    try:
        with pytest.raises(HubError, match="another key"):
            await reopened.alert_channels.secret(1)
    finally:
        await reopened.close()


async def test_thresholds_of_a_sync_are_its_own_and_the_defaults_where_none_were_set(store: Store) -> None:
    plain = await make_sync(store)
    assert plain.alerts == Thresholds()
    strict = Thresholds(failed_runs=3, overdue_minutes=None)
    assert (await store.syncs.update(plain.id, alerts=strict)).alerts == strict
    assert (await make_sync(store, "other", alerts=strict)).alerts == strict
