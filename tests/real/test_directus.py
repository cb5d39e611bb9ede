"""Directus, the connector, against Directus, the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from connectors.directus import Directus
from hub.sdk import Audience, AuthError, Batch, Person, RefusedError
from tests.real.directus import RealDirectus
from tests.real.reaching import reaching

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="function")]

CROWD = 1500


@pytest.fixture
async def connector(directus: RealDirectus) -> AsyncIterator[Directus]:
    """With a collection of this test's own, which the connector makes."""
    name = f"c_{uuid4().hex[:12]}"
    settings = {"token": directus.token, "collection": name, "create_collection": True}
    async with reaching(Directus, directus.url, **settings) as connector:
        yield connector


@pytest.fixture
async def vip(connector: Directus, directus: RealDirectus) -> Audience:
    audience = await connector.ensure_audience("vip")
    column = {"field": "city", "type": "string", "schema": {"max_length": 20}}
    asked(directus, "POST", f"/fields/{connector.config.collection}", json=column)
    return audience


def asked(directus: RealDirectus, method: str, path: str, **request: Any) -> Any:
    bearer = {"authorization": f"Bearer {directus.token}"}
    answer = httpx.request(method, directus.url + path, headers=bearer, timeout=60, trust_env=False, **request)
    assert answer.is_success, answer.text
    return answer.json()["data"] if answer.content else None


def person(name: str, **fields: Any) -> Person:
    return Person(name, name, fields)


async def members(connector: Directus, audience: Audience) -> list[str]:
    return sorted([name async for name in connector.members(audience)])


async def test_a_person_is_added_updated_removed_and_erased(
    connector: Directus, directus: RealDirectus, vip: Audience
) -> None:
    new = await connector.ensure_audience("new")
    rows = f"/items/{connector.config.collection}"
    assert (await connector.check()).label == "admin@example.com"
    for audience in (vip, new):
        await connector.apply(audience, Batch(add=[person("ann", city="Bonn"), person("bob")]))
    await connector.apply(vip, Batch(add=[person("ann", city="Köln")], remove=[person("bob"), person("never-there")]))
    assert await members(connector, vip) == ["ann"] and await members(connector, new) == ["ann", "bob"]
    held = asked(directus, "GET", rows, params={"fields": "person_key,segment_key,city", "sort": "segment_key,city"})
    assert {(row["person_key"], row["segment_key"], row["city"]) for row in held} == {
        ("ann", "vip", "Köln"), ("ann", "new", "Bonn"), ("bob", "new", None)
    }  # fmt: skip
    for _ in range(2):
        await connector.erase([person("ann")])
    assert await members(connector, vip) == [] and await members(connector, new) == ["bob"]


async def test_a_crowd_is_read_back_over_pages_and_removed(connector: Directus, vip: Audience) -> None:
    crowd = [person(f"n{number}") for number in range(CROWD)]
    for start in range(0, CROWD, 250):
        await connector.apply(vip, Batch(add=crowd[start : start + 250]))
    first = await connector.members_page(vip)
    assert (len(first.members), first.next, first.total) == (1000, "1000", CROWD)
    assert await members(connector, vip) == sorted(one.key for one in crowd)
    for start in range(0, CROWD, 250):
        await connector.apply(vip, Batch(remove=crowd[start : start + 250]))
    assert await members(connector, vip) == []


async def test_one_bad_row_spoils_the_batch_and_leaves_nothing_behind(
    connector: Directus, directus: RealDirectus, vip: Audience
) -> None:
    rule = {"meta": {"validation": {"city": {"_neq": "Nowhere"}}}}
    asked(directus, "PATCH", f"/fields/{connector.config.collection}/city", json=rule)
    with pytest.raises(RefusedError) as refusal:
        await connector.apply(vip, Batch(add=[person("ann", city="Bonn"), person("bob", city="Nowhere")]))
    assert refusal.value.divisible and "FAILED_VALIDATION" in refusal.value.reason and "bob" not in refusal.value.reason
    assert await members(connector, vip) == []


async def test_a_collection_that_was_made_keeps_no_history_of_anybody(
    connector: Directus, directus: RealDirectus, vip: Audience
) -> None:
    await connector.apply(vip, Batch(add=[person("ann")]))
    await connector.erase([person("ann")])
    of_ours = {"filter[collection][_eq]": connector.config.collection}
    assert asked(directus, "GET", "/revisions", params=of_ours) == []


async def test_a_missing_field_a_missing_collection_and_a_wrong_token_are_for_a_person_to_look_at(
    connector: Directus, directus: RealDirectus, vip: Audience
) -> None:
    with pytest.raises(AuthError, match="a mapped field is not there"):
        await connector.apply(vip, Batch(add=[person("ann", unheard_of="x")]))
    async with reaching(Directus, directus.url, token=directus.token, collection="nowhere") as other:
        with pytest.raises(AuthError, match="nowhere"):
            await other.ensure_audience("vip")
    async with reaching(Directus, directus.url, token="wrong-token-0123") as stranger:
        with pytest.raises(AuthError, match="INVALID_CREDENTIALS"):
            await stranger.check()


async def test_a_role_with_rights_on_this_collection_alone_is_enough(
    connector: Directus, directus: RealDirectus, vip: Audience
) -> None:
    policy = asked(directus, "POST", "/policies", json={"name": "hub", "app_access": False})["id"]
    role = asked(directus, "POST", "/roles", json={"name": "hub"})["id"]
    asked(directus, "POST", "/access", json={"role": role, "policy": policy})
    for action in ("create", "read", "update", "delete"):
        right = {"policy": policy, "collection": connector.config.collection, "action": action, "fields": ["*"]}
        asked(directus, "POST", "/permissions", json={**right, "permissions": {}, "validation": {}})
    user = {"email": "hub@example.com", "role": role, "token": "a-token-of-the-hubs-own"}
    asked(directus, "POST", "/users", json=user)
    async with reaching(Directus, directus.url, token=user["token"], collection=connector.config.collection) as own:
        assert (await own.check()).label
        audience = await own.ensure_audience("vip")
        await own.apply(audience, Batch(add=[person("ann", city="Bonn"), person("bob")]))
        await own.apply(audience, Batch(add=[person("ann", city="Köln")], remove=[person("bob"), person("x")]))
        assert await members(own, audience) == ["ann"]
        await own.erase([person("ann")])
        assert await members(own, audience) == []
