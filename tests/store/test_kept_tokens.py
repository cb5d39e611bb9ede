"""Refresh tokens that rotate: sealed, one at a time, and the newest wins."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hub.core.records import Destination
from hub.store import Store
from hub.store.kept_tokens import Kept, KeptTokens
from hub.store.seal import Keyring
from tests.store.rows import make_sync

LONG = 3600.0


async def shop(store: Store) -> Destination:
    sync = await make_sync(store)
    found = await store.destinations.find(sync.destination_id)
    assert found is not None
    return found


async def held(store: Store, destination: Destination, holder: str) -> Kept:
    kept = await store.kept_tokens.hold(destination, holder, LONG)
    assert kept is not None
    return kept


async def column(store: Store, name: str) -> object:
    database = store._database
    with database.entered():
        return (await database.fetch(f"SELECT {name} FROM kept_token"))[0][0]


async def test_nothing_is_kept_at_first(store: Store) -> None:
    assert await held(store, await shop(store), "a") == Kept()


async def test_what_was_kept_is_found_again_and_sealed(store: Store) -> None:
    to = await shop(store)
    assert await store.kept_tokens.swap(to, await held(store, to, "a"), "given-0", "newest-1")
    await store.kept_tokens.let_go(to, "a")
    kept = await held(store, to, "b")
    assert (kept.given, kept.newest, kept.version) == ("given-0", "newest-1", to.version)
    assert "newest-1" not in repr(kept) and "given-0" not in repr(kept)
    sealed = str(await column(store, "sealed"))
    assert "newest-1" not in sealed and "given-0" not in sealed


async def test_one_holder_at_a_time(store: Store) -> None:
    to = await shop(store)
    found = await asyncio.gather(*(store.kept_tokens.hold(to, holder, LONG) for holder in "abcd"))
    assert len([kept for kept in found if kept]) == 1
    first = "abcd"[next(place for place, kept in enumerate(found) if kept)]
    await store.kept_tokens.let_go(to, "somebody else")
    assert await store.kept_tokens.hold(to, "e", LONG) is None
    await store.kept_tokens.let_go(to, first)
    assert await store.kept_tokens.hold(to, "e", LONG)


async def test_the_hold_of_one_who_died_runs_out(store: Store) -> None:
    to = await shop(store)
    await store.kept_tokens.hold(to, "dead", -1.0)
    assert await store.kept_tokens.hold(to, "next", LONG)


async def test_whoever_keeps_first_has_kept(store: Store) -> None:
    to = await shop(store)
    nothing = await held(store, to, "a")
    first = await store.kept_tokens.swap(to, nothing, "g", "first")
    assert first and not await store.kept_tokens.swap(to, nothing, "g", "late")
    assert await store.kept_tokens.swap(to, first, "g", "second")
    assert not await store.kept_tokens.swap(to, first, "g", "late")
    await store.kept_tokens.let_go(to, "a")
    assert (await held(store, to, "b")).newest == "second"


async def test_what_another_secret_key_sealed_does_not_count_and_is_replaced(store: Store) -> None:
    to = await shop(store)
    await store.kept_tokens.swap(to, await held(store, to, "a"), "g", "n")
    await store.kept_tokens.let_go(to, "a")
    anew = KeptTokens(store._database, Keyring.of(bytes(range(40, 72))))
    kept = await anew.hold(to, "b", LONG)
    assert kept and (kept.given, kept.newest) == (None, None)
    assert await anew.swap(to, kept, "g", "m")


async def test_a_token_opens_for_its_own_destination_alone(store: Store) -> None:
    to = await shop(store)
    await store.kept_tokens.swap(to, await held(store, to, "a"), "g", "n")
    await store.kept_tokens.let_go(to, "a")
    moved = await store.kept_tokens.hold(replace(to, key="another"), "b", LONG)
    assert moved and (moved.given, moved.newest) == (None, None)


async def test_it_goes_with_its_destination(store: Store) -> None:
    to = await shop(store)
    await held(store, to, "a")
    for sync in (await store.syncs.of_destinations([to.id]))[to.id]:
        await store.syncs.delete(sync.id)
    await store.destinations.delete(to.id)
    assert await column(store, "count(*)") == 0
