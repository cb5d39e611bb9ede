"""Purposes, segments, destinations and syncs: kept, found, paged, and changed only by who has read them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hub.core.alerts.channel import AlertChannelKind
from hub.core.records import Evaluation, Lens, Sync, SyncMode
from hub.errors import ErrorCode, HubError, Problem
from hub.store import Store
from tests.conftest import DIALECT
from tests.store.rows import NOON, after, make_sync

SECRET = "s3cr3t-of-the-vendor"


async def test_a_purpose_is_created_and_renamed(store: Store) -> None:
    made = await store.purposes.create(key="ads", name="Ads")
    changed = await store.purposes.update(made.id, description="Shown elsewhere")
    assert (changed.name, changed.description) == ("Ads", "Shown elsewhere")
    assert await store.purposes.get("ads") == changed
    assert await store.purposes.get("other") is None


async def test_a_key_is_taken_once(store: Store) -> None:
    await store.purposes.create(key="ads", name="Ads of a secret person")
    with pytest.raises(HubError, match="purpose") as refused:
        await store.purposes.create(key="ads", name="x")
    (problem,) = refused.value.problems
    assert (problem.code, problem.path) == (ErrorCode.CONFLICT, ("input", "key"))
    assert refused.value.__context__ is None


async def test_a_key_that_is_missing_suggests_the_one_that_was_meant(store: Store) -> None:
    await store.purposes.create(key="newsletter", name="N")
    with pytest.raises(HubError) as refused:
        await store.purposes.need("newsleter", "input", "purpose")
    (problem,) = refused.value.problems
    assert (problem.code, problem.path, problem.suggestion) == (
        ErrorCode.NOT_FOUND,
        ("input", "purpose"),
        "newsletter",
    )


async def test_a_value_too_long_is_refused_unquoted(store: Store) -> None:
    with pytest.raises(HubError) as refused:
        await store.purposes.create(key="k", name="private " * 200)
    (problem,) = refused.value.problems
    assert (problem.code, problem.path) == (ErrorCode.INVALID, ("input", "name"))
    assert "private" not in problem.message


async def test_pages_go_on_where_the_last_one_ended(store: Store) -> None:
    made = [(await store.purposes.create(key=f"p{number}", name="P")).id for number in range(5)]
    first = await store.purposes.page(2)
    rest = await store.purposes.page(10, first[-1].id)
    assert [purpose.id for purpose in [*first, *rest]] == made
    assert await store.purposes.count() == 5
    assert list(await store.purposes.by_ids([made[3], made[1], 999])) == [made[1], made[3]]
    assert list(await store.purposes.by_keys(["p4", "none"])) == ["p4"]


async def test_every_version_of_a_segment_is_kept(store: Store) -> None:
    made = await store.segments.create(key="vip", name="VIP", rule="everyone")
    changed = await store.segments.update(made.id, rule='country = "DE"', if_version=1)
    assert (changed.version, changed.rule, changed.name) == (2, 'country = "DE"', "VIP")
    assert [(kept.version, kept.rule) for kept in await store.segments.versions(made.id)] == [
        (2, 'country = "DE"'),
        (1, "everyone"),
    ]


async def test_a_change_on_a_stale_reading_is_refused(store: Store) -> None:
    made = await store.segments.create(key="vip", name="VIP", rule="everyone")
    tries = [store.segments.update(made.id, name=f"N{number}", if_version=1) for number in range(5)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    refused = [one for one in done if isinstance(one, HubError)]
    assert len(refused) == 4
    assert {(one.code, one.problems[0].path) for one in refused} == {(ErrorCode.CONFLICT, ("input", "ifVersion"))}
    assert len(await store.segments.versions(made.id)) == 2


async def test_changes_without_a_version_all_go_in(store: Store) -> None:
    made = await store.segments.create(key="vip", name="VIP", rule="everyone")
    await asyncio.gather(*(store.segments.update(made.id, name=f"N{number}") for number in range(5)))
    assert [kept.version for kept in await store.segments.versions(made.id)] == [6, 5, 4, 3, 2, 1]


async def test_where_nothing_is_changed_there_is_no_new_version(store: Store) -> None:
    sync = await make_sync(store)
    channel = await store.alert_channels.create(
        key="ops", name="Ops", kind=AlertChannelKind.EMAIL, to=["ops@example.com"]
    )
    for noun, id in (
        (store.segments, sync.segment_id),
        (store.destinations, sync.destination_id),
        (store.syncs, sync.id),
        (store.alert_channels, channel.id),
    ):
        before = await noun.find(id)
        assert await noun.update(id) == await noun.update(id, if_version=1) == before == await noun.find(id)
        with pytest.raises(HubError) as refused:
            await noun.update(id, if_version=2)
        assert (refused.value.code, refused.value.problems[0].path) == (ErrorCode.CONFLICT, ("input", "ifVersion"))
        with pytest.raises(HubError, match="no longer exists"):
            await noun.update(id + 9)
    assert len(await store.segments.versions(sync.segment_id)) == 1


async def test_what_is_gone_cannot_be_changed(store: Store) -> None:
    for change in (store.segments.update(9, name="x"), store.syncs.update(9, mode=SyncMode.MIRROR)):
        with pytest.raises(HubError) as refused:
            await change
        assert refused.value.code is ErrorCode.NOT_FOUND


async def test_an_unknown_column_is_a_mistake_of_ours(store: Store) -> None:
    with pytest.raises(TypeError, match="key"):
        await store.segments.update(1, key="new")


async def test_each_lens_has_an_evaluation_of_its_own(store: Store) -> None:
    made = await store.segments.create(key="vip", name="VIP", rule="everyone")
    assert made.evaluation.size == 0
    live, then = Evaluation(7, 7, 0, NOON, after(1)), Evaluation(3, 3, 0, after(-9), after(2))
    await store.segments.save_evaluation(made.id, Lens.LIVE, Evaluation(1, 1, 0, NOON, NOON), version=1)
    await store.segments.save_evaluation(made.id, Lens.LIVE, live, version=1)
    await store.segments.save_evaluation(made.id, Lens.AS_OF, then, version=1)
    found = await store.segments.find(made.id)
    assert found is not None
    assert found.evaluation == live
    assert await store.segments.evaluation(made.id, Lens.AS_OF) == then


async def test_evaluations_of_one_segment_at_the_same_moment_leave_one(store: Store) -> None:
    made = await store.segments.create(key="s", name="S", rule="age > 1")
    each = [Evaluation(size, size, 0, NOON, NOON) for size in range(20)]
    await asyncio.gather(*(store.segments.save_evaluation(made.id, Lens.LIVE, one, version=1) for one in each))
    assert await store.segments.evaluation(made.id) in each


async def test_a_segment_is_stale_until_its_rule_in_force_was_evaluated(store: Store) -> None:
    made = await store.segments.create(key="vip", name="VIP", rule="everyone")
    assert [one.key for one in await store.segments.stale()] == ["vip"]
    await store.segments.save_evaluation(made.id, Lens.LIVE, made.evaluation, version=1)
    await store.segments.update(made.id, name="Other")
    assert await store.segments.stale() == []
    await store.segments.update(made.id, rule='country = "DE"')
    assert [one.key for one in await store.segments.stale()] == ["vip"]


async def test_a_segment_in_use_is_not_deleted(store: Store) -> None:
    sync = await make_sync(store)
    for delete in (store.segments.delete(sync.segment_id), store.destinations.delete(sync.destination_id)):
        with pytest.raises(HubError) as refused:
            await delete
        assert refused.value.code is ErrorCode.CONFLICT
    await store.syncs.delete(sync.id)
    await store.segments.delete(sync.segment_id)
    assert await store.segments.count() == 0


async def test_secrets_are_sealed_merged_and_opened(store: Store) -> None:
    made = await store.destinations.create(
        key="shop", name="Shop", connector="webhook", config={"url": "u"}, secrets={"secret": SECRET, "user": "me"}
    )
    assert made.config == {"url": "u"}
    assert SECRET not in repr(made)
    changed = await store.destinations.update(made.id, config={"url": "v"}, secrets={"user": None, "more": "x"})
    assert (changed.version, changed.config) == (2, {"url": "v"})
    assert await store.destinations.secrets(made.id) == {"secret": SECRET, "more": "x"}


async def test_a_secret_moved_to_another_destination_does_not_open(store: Store) -> None:
    make = store.destinations.create
    one = await make(key="one", name="1", connector="c", config={}, secrets={"secret": SECRET})
    two = await make(key="two", name="2", connector="c", config={}, secrets={"secret": "other"})
    async with store.transaction():
        moved = f"(SELECT secrets FROM destination WHERE id = {one.id})"
        await store._database.fetch(f"UPDATE destination SET secrets = {moved} WHERE id = {two.id}")
    with pytest.raises(HubError) as refused:
        await store.destinations.secrets(two.id)
    assert refused.value.code is ErrorCode.FORBIDDEN


@pytest.mark.skipif(DIALECT != "sqlite", reason="reads the files of the database")
async def test_no_secret_stands_in_the_files(store: Store, tmp_path: Path) -> None:
    await store.destinations.create(
        key="shop", name="findable-name", connector="c", config={"url": "findable-url"}, secrets={"secret": SECRET}
    )
    token = await store.tokens.rotate(now=NOON)
    _, key = await store.write_keys.create("shop")
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("hub.db"))
    assert all(known in files for known in (b"findable-name", b"findable-url"))
    assert not any(secret.encode() in files for secret in (SECRET, token, key))


async def test_a_destination_is_paused_with_its_reason(store: Store) -> None:
    made = await store.destinations.create(key="shop", name="S", connector="c", config={}, secrets={})
    reason = Problem(ErrorCode.DESTINATION_AUTH, "The account refuses us.", ("destination",))
    assert (await store.destinations.pause(made.id, reason)).paused_reason == reason
    resumed = await store.destinations.resume(made.id)
    assert (resumed.paused, resumed.paused_reason) == (False, None)


async def test_a_sync_comes_back_as_it_was_made(store: Store) -> None:
    sync = await make_sync(store, mode=SyncMode.ADD_ONLY, schedule="0 6 * * *", max_removal_share=0.5)
    assert sync == await store.syncs.find(sync.id)
    assert (sync.purposes, sync.fields, sync.mode) == (("marketing",), {"FNAME": "first_name"}, SyncMode.ADD_ONLY)
    changed = await store.syncs.update(sync.id, if_version=1, fields={}, purposes=["ads"], mode=SyncMode.MIRROR)
    assert (changed.fields, changed.purposes, changed.mode, changed.version) == ({}, ("ads",), SyncMode.MIRROR, 2)
    assert (await store.syncs.pause(sync.id)).paused
    assert not (await store.syncs.resume(sync.id)).paused


async def test_one_audience_has_one_sync(store: Store) -> None:
    sync = await make_sync(store)
    given = {"segment_id": sync.segment_id, "destination_id": sync.destination_id, "purposes": ["marketing"]}
    other = await store.syncs.create(key="other", audience="Other", **given)
    for attempt in (
        store.syncs.create(key="new", audience="VIP", **given),
        store.syncs.update(other.id, audience="VIP"),
    ):
        with pytest.raises(HubError, match="audience") as refused:
            await attempt
        assert (refused.value.code, refused.value.problems[0].path) == (ErrorCode.CONFLICT, ("input", "audience"))


async def test_syncs_are_found_by_what_they_join(store: Store) -> None:
    sync = await make_sync(store)
    by_segment: dict[int, list[Sync]] = await store.syncs.of_segments([sync.segment_id, 99])
    assert by_segment == {sync.segment_id: [sync], 99: []}
    assert await store.syncs.of_destinations([sync.destination_id]) == {sync.destination_id: [sync]}


async def test_the_outbox_keeps_a_message_until_it_is_done(store: Store) -> None:
    async with store.transaction():
        first = await store.outbox.add("segment_deleted", {"segment": 1})
    with pytest.raises(ZeroDivisionError):
        async with store.transaction():
            await store.outbox.add("segment_deleted", {"segment": 2})
            raise ZeroDivisionError
    (message,) = await store.outbox.pending()
    assert (message.id, message.kind, message.payload) == (first, "segment_deleted", {"segment": 1})
    await store.outbox.done([first])
    assert await store.outbox.pending() == []
