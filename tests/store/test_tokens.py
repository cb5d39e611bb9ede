"""Tokens: shown once, kept as a hash, and never brought back by a stale environment."""

from __future__ import annotations

from hashlib import sha256

import pytest

from hub.errors import HubError
from hub.store import Store
from tests.store.rows import NOON, after

OWN = "a-long-token-of-the-operator"


async def test_the_first_start_makes_a_token_and_shows_it_once(store: Store) -> None:
    made = await store.tokens.bootstrap(None, now=NOON)
    assert made is not None
    assert made.startswith("hub_")
    assert await store.tokens.verify(made)
    assert await store.tokens.bootstrap(None, now=NOON) is None


@pytest.mark.parametrize("guess", ["", "hub_admin_", OWN + "x", OWN.upper(), "\ud800", "x" * 10_000])
async def test_no_other_token_will_do(store: Store, guess: str) -> None:
    assert not await store.tokens.verify(guess)
    assert await store.tokens.bootstrap(OWN, now=NOON) is None
    assert await store.tokens.verify(OWN)
    assert not await store.tokens.verify(guess)


async def test_rotation_refuses_the_old_token_even_after_a_restart_with_it(store: Store) -> None:
    await store.tokens.bootstrap(OWN, now=NOON)
    new = await store.tokens.rotate(now=after(1))
    await store.tokens.bootstrap(OWN, now=after(2))
    assert [await store.tokens.verify(token) for token in (OWN, new)] == [False, True]


async def test_a_new_token_of_the_operator_takes_the_place_of_the_old(store: Store) -> None:
    made = await store.tokens.bootstrap(None, now=NOON) or ""
    await store.tokens.bootstrap(OWN, now=after(1))
    assert [await store.tokens.verify(token) for token in (made, OWN)] == [False, True]


async def test_only_hashes_of_tokens_and_keys_are_stored(store: Store) -> None:
    token = await store.tokens.rotate(now=NOON)
    _, key = await store.write_keys.create("shop")
    with store._database.entered():
        rows = [await store._database.fetch(f"SELECT * FROM {table}") for table in ("admin_token", "write_key")]
    stored = str([[tuple(row) for row in found] for found in rows])
    for secret in (token, key):
        assert secret not in stored
        assert sha256(secret.encode()).hexdigest() in stored


async def test_a_write_key_lets_in_until_it_is_revoked(store: Store) -> None:
    record, key = await store.write_keys.create("shop")
    found = await store.write_keys.verify(key, now=NOON)
    assert found is not None
    assert (found.id, found.name) == (record.id, "shop")
    assert await store.write_keys.verify(key + "x", now=NOON) is None
    await store.write_keys.revoke(record.id, now=NOON)
    assert await store.write_keys.verify(key, now=NOON) is None
    assert await store.write_keys.all() == []
    assert await store.write_keys.find(record.id) is None
    with pytest.raises(HubError):
        await store.write_keys.revoke(record.id, now=NOON)


async def test_use_of_a_write_key_is_noted_once_a_minute(store: Store) -> None:
    record, key = await store.write_keys.create("shop")
    noted = []
    for seconds in (0, 59, 60):
        await store.write_keys.verify(key, now=after(seconds))
        found = await store.write_keys.find(record.id)
        noted.append(found and found.last_used_at)
    assert noted == [after(0), after(0), after(60)]


async def test_a_revoked_key_of_the_environment_stays_revoked(store: Store) -> None:
    await store.write_keys.bootstrap(OWN)
    await store.write_keys.bootstrap(OWN)
    (record,) = await store.write_keys.all()
    await store.write_keys.revoke(record.id, now=NOON)
    await store.write_keys.bootstrap(OWN)
    assert await store.write_keys.verify(OWN, now=NOON) is None
