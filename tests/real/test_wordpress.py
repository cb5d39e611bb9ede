"""WordPress, the connector, against WordPress, the server, with the plugin as it ships."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.wordpress import WordPress
from hub.sdk import AuthError, Batch, Outcome, OutcomeKind, Person
from tests.real.reaching import reaching
from tests.real.wordpress import RealWordPress

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="function")]


def of(wordpress: RealWordPress, login: str = "hub", **config: Any) -> Any:
    password = wordpress.passwords[login]
    return reaching(WordPress, wordpress.url, username=login, application_password=password, **config)


def person(name: str, **fields: Any) -> Person:
    return Person(name, f"{name}@example.com", fields)


def meta(wordpress: RealWordPress, login: str) -> dict[str, Any]:
    """What the hub has said of a user."""
    [held] = [user["meta"] for user in wordpress.users() if user["login"] == login]
    return {name: value for name, value in held.items() if name.startswith("cdp_")}


def bare(wordpress: RealWordPress) -> list[Any]:
    """The users without what the hub may change, and without when a password was last used."""
    return [
        (user["login"], user["roles"], user["hash"],
         {name: value for name, value in user["meta"].items()
          if not name.startswith(("cdp_", "_application_passwords"))})
        for user in wordpress.users()
    ]  # fmt: skip


async def test_a_user_is_added_updated_removed_and_erased_and_nothing_else_changes(wordpress: RealWordPress) -> None:
    before = bare(wordpress)
    async with of(wordpress) as connector:
        assert (await connector.check()).label.startswith("hub at ")
        vip, new = await connector.ensure_audience("vip"), await connector.ensure_audience("Neu & schön")
        for audience in (vip, new):
            result = await connector.apply(audience, Batch(add=[person("ann", plan="a \\ b", n=3), person("bob")]))
            assert not result.outcomes
        again = Batch(add=[person("ANN", plan="gold", n=None, tags=["x", "y"])], remove=[person("bob")])
        assert not (await connector.apply(vip, again)).outcomes
        assert [name async for name in connector.members(vip)] == ["ann@example.com"]
        assert [name async for name in connector.members(new)] == ["ann@example.com", "bob@example.com"]
        assert sorted(meta(wordpress, "ann")["cdp_segments"]) == sorted([vip.ref, new.ref])
        assert meta(wordpress, "ann")["cdp_field_plan"] == ["gold"] and "cdp_field_n" not in meta(wordpress, "ann")
        for _ in range(2):
            await connector.erase([person("ann"), person("nobody-here")])
        assert meta(wordpress, "ann") == {}
        assert [name async for name in connector.members(new)] == ["bob@example.com"]
    assert bare(wordpress) == before


async def test_users_are_known_by_number_too(wordpress: RealWordPress) -> None:
    number = str(wordpress.ids["cem"])
    async with of(wordpress, person="user_id") as connector:
        audience = await connector.ensure_audience("numbered")
        people = [Person("cem", number, {}), Person("x", "999999", {}), Person("y", "1 or 1", {})]
        outcomes = (await connector.apply(audience, Batch(add=people))).outcomes
        assert {key: outcome.kind for key, outcome in outcomes.items()} == dict.fromkeys(
            ["999999", "1 or 1"], OutcomeKind.REJECTED
        )
        assert [name async for name in connector.members(audience)] == [number]


async def test_whoever_is_no_user_is_rejected_and_not_made_one(wordpress: RealWordPress) -> None:
    before = [user["login"] for user in wordpress.users()]
    async with of(wordpress) as connector:
        audience = await connector.ensure_audience("strangers")
        result = await connector.apply(audience, Batch(add=[person("stranger")], remove=[person("another")]))
    assert result.outcomes == {
        "stranger@example.com": Outcome(OutcomeKind.REJECTED, "no such user on this site"),
        "another@example.com": Outcome(OutcomeKind.NOOP),
    }
    assert [user["login"] for user in wordpress.users()] == before


async def test_a_field_called_like_another_meta_reaches_no_other_meta(wordpress: RealWordPress) -> None:
    before = bare(wordpress)
    async with of(wordpress) as connector:
        audience = await connector.ensure_audience("fields")
        sly = [person("bob", wp_capabilities='a:1:{s:13:"administrator";b:1;}'), person("cem", **{"wp-x": "1"})]
        outcomes = (await connector.apply(audience, Batch(add=sly))).outcomes
    assert outcomes.keys() == {"cem@example.com"} and outcomes["cem@example.com"].kind is OutcomeKind.REJECTED
    assert bare(wordpress) == before


async def test_whoever_may_not_is_told_so_and_so_is_a_site_without_the_plugin(wordpress: RealWordPress) -> None:
    async with of(wordpress, "nobody") as connector:
        with pytest.raises(AuthError, match="may not manage_audiences"):
            await connector.check()
    wrong = {"username": "hub", "application_password": "wrong wrong wrong wrong"}
    async with reaching(WordPress, wordpress.url, **wrong) as connector:
        with pytest.raises(AuthError, match="with this application password"):
            await connector.check()
    async with reaching(WordPress, wordpress.url.replace("wp-json", "?rest_route=/elsewhere"), **wrong) as connector:
        with pytest.raises(AuthError):
            await connector.check()
