"""Unleash, the connector, against Unleash, the server, which says itself for whom a flag is on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from connectors.unleash import Unleash
from hub.sdk import Audience, AuthError, Batch, OutcomeKind, Person, RefusedError
from tests.real.reaching import reaching
from tests.real.unleash import MOST_VALUES, RealUnleash

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="function")]


@pytest.fixture
async def connector(unleash: RealUnleash) -> AsyncIterator[Unleash]:
    async with reaching(Unleash, unleash.url, token=unleash.token, values_limit=MOST_VALUES) as connector:
        yield connector


@pytest.fixture
async def vip(connector: Unleash) -> Audience:
    return await connector.ensure_audience(f"vip {uuid4().hex[:8]}")


def asked(unleash: RealUnleash, method: str, path: str, **request: Any) -> Any:
    headers = {"authorization": unleash.token}
    answer = httpx.request(method, unleash.url + path, headers=headers, timeout=60, trust_env=False, **request)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def people(*names: str) -> list[Person]:
    return [Person(name, name) for name in names]


async def members(connector: Unleash, audience: Audience) -> list[str]:
    return [name async for name in connector.members(audience)]


def flag_of(unleash: RealUnleash, audience: Audience) -> str:
    """A flag that is on in development for those in the segment."""
    name = f"flag-{uuid4().hex[:8]}"
    features = "/api/admin/projects/default/features"
    asked(unleash, "POST", features, json={"name": name})
    here = f"{features}/{name}/environments/development"
    rollout = {"rollout": "100", "stickiness": "default", "groupId": name}
    strategy = {"name": "flexibleRollout", "segments": [int(audience.ref)], "parameters": rollout}
    asked(unleash, "POST", f"{here}/strategies", json=strategy)
    asked(unleash, "POST", f"{here}/on")
    return name


def is_on(unleash: RealUnleash, flag: str, user: str) -> bool:
    """As Unleash's playground evaluates it."""
    context = {"environment": "development", "projects": ["default"], "context": {"appName": "shop", "userId": user}}
    told = asked(unleash, "POST", "/api/admin/playground", json=context)["features"]
    return bool(next(one for one in told if one["name"] == flag)["isEnabled"])


async def test_a_flag_is_on_for_the_members_and_for_nobody_else(
    connector: Unleash, unleash: RealUnleash, vip: Audience
) -> None:
    assert "Unleash 8" in (await connector.check()).label
    assert await connector.ensure_audience(vip.name) == vip
    flag, everybody = flag_of(unleash, vip), ("ann", "bob", "cem", "dan")

    def on() -> list[str]:
        return [user for user in everybody if is_on(unleash, flag, user)]

    assert on() == [], "a new audience is not everybody"
    await connector.apply(vip, Batch(add=people("ann", "bob")))
    assert on() == ["ann", "bob"] == await members(connector, vip)
    await connector.apply(vip, Batch(add=people("cem", "bob"), remove=people("ann", "never-there")))
    assert on() == ["bob", "cem"] == await members(connector, vip)
    await connector.apply(vip, Batch(remove=people("bob", "cem")))
    assert on() == [] == await members(connector, vip), "whom the last one has left is not everybody"


async def test_a_segment_is_filled_to_what_it_takes_and_no_further(connector: Unleash, vip: Audience) -> None:
    crowd = people(*(f"n{number}" for number in range(MOST_VALUES + 2)))
    await connector.apply(vip, Batch(add=crowd[:1000]))
    result = await connector.apply(vip, Batch(add=crowd[1000:]))
    assert {key: outcome.kind for key, outcome in result.outcomes.items()} == {
        one.key: OutcomeKind.REJECTED for one in crowd[-2:]
    }
    assert await members(connector, vip) == [one.key for one in crowd[:MOST_VALUES]]


async def test_a_setting_above_what_the_server_takes_is_found(unleash: RealUnleash, vip: Audience) -> None:
    async with reaching(Unleash, unleash.url, token=unleash.token, values_limit=MOST_VALUES + 1) as greedy:
        with pytest.raises(AuthError, match=f"takes {MOST_VALUES} values per segment"):
            await greedy.check()
        crowd = people(*(f"n{number}" for number in range(MOST_VALUES + 1)))
        with pytest.raises(RefusedError, match=f"takes {MOST_VALUES} values") as refusal:
            await greedy.apply(vip, Batch(add=crowd))
        assert refusal.value.divisible


async def test_a_value_that_is_too_long_spoils_the_batch_and_is_not_repeated(connector: Unleash, vip: Audience) -> None:
    with pytest.raises(RefusedError) as refusal:
        await connector.apply(vip, Batch(add=people("ann", "x" * 101)))
    assert refusal.value.divisible and "xx" not in refusal.value.reason
    assert await members(connector, vip) == []


async def test_what_an_admin_has_added_stays(connector: Unleash, unleash: RealUnleash) -> None:
    name = f"by hand {uuid4().hex[:8]}"
    country = {"contextName": "country", "operator": "IN", "values": ["DE"], "inverted": True}
    listed = {"contextName": "userId", "operator": "IN", "values": ["old"]}
    made = {"name": name, "description": "of the shop", "project": "default", "constraints": [country, listed]}
    ref = asked(unleash, "POST", "/api/admin/segments", json=made)["id"]
    audience = await connector.ensure_audience(name)
    await connector.apply(audience, Batch(add=people("ann")))
    held = asked(unleash, "GET", f"/api/admin/segments/{ref}")
    assert {one: held[one] for one in made} == {**made, "constraints": [country, {**listed, "values": ["old", "ann"]}]}


async def test_segments_of_a_project_and_those_that_say_something_else_are_told_apart(unleash: RealUnleash) -> None:
    async with reaching(Unleash, unleash.url, token=unleash.token, project="default") as own:
        name = f"of the project {uuid4().hex[:8]}"
        audience = await own.ensure_audience(name)
        assert asked(unleash, "GET", f"/api/admin/segments/{audience.ref}")["project"] == "default"
        everybody = {"name": f"everybody {uuid4().hex[:8]}", "project": "default", "constraints": []}
        asked(unleash, "POST", "/api/admin/segments", json=everybody)
        with pytest.raises(AuthError, match="userId IN"):
            await own.ensure_audience(everybody["name"])


async def test_a_wrong_token_and_a_deleted_segment_are_for_a_person_to_look_at(
    connector: Unleash, unleash: RealUnleash, vip: Audience
) -> None:
    async with reaching(Unleash, unleash.url, token="*:*.another-token-0123") as stranger:
        with pytest.raises(AuthError, match="401"):
            await stranger.check()
    asked(unleash, "DELETE", f"/api/admin/segments/{vip.ref}")
    with pytest.raises(AuthError, match="the segment is gone"):
        await connector.apply(vip, Batch(add=people("ann")))
