"""What a connector promises that can say who is in an audience, or how many."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import pytest

from hub.sdk.contract import Connector, Person
from hub.sdk.testing.stage import Stage

# More than fit on one page of any vendor we know.
CROWD = 2100


class ReadingContract:
    connector: ClassVar[type[Connector[Any]]]
    audience: ClassVar[str] = "kit audience"

    @abstractmethod
    def staged(self) -> AbstractAsyncContextManager[Stage]:
        """The connector with a fresh vendor."""

    async def test_members_can_be_read_back(self) -> None:
        self._skip_without("read_back")
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            await stage.send(audience, add=stage.people("ann", "bob"))
            found = {name async for name in stage.connector.members(audience)}
            assert found == _names(stage, stage.people("ann", "bob"))

    async def test_whoever_has_unsubscribed_is_read_back_like_anybody_else(self) -> None:
        """Left out, they would be taken for missing, and put in again by every repair."""
        self._skip_without("read_back")
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            people = stage.people("ann", "bob")
            await stage.send(audience, add=people)
            stage.vendor.know(people[0].key, "unsubscribed")
            listed_as = stage.connector.limits().listed_as
            there = {listed_as.called(key) for key in stage.vendor.members(audience)}
            assert {name async for name in stage.connector.members(audience)} == there

    async def test_everybody_is_read_back_however_many_pages_they_fill(self) -> None:
        self._skip_without("read_back")
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            crowd = stage.people(*(f"n{number}" for number in range(CROWD)))
            await stage.send(audience, add=crowd)
            found = [name async for name in stage.connector.members(audience)]
            assert set(found) == _names(stage, crowd)

    async def test_a_page_of_members_may_be_asked_for_again(self) -> None:
        self._skip_without("read_back")
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            await stage.send(audience, add=stage.people(*(f"n{number}" for number in range(CROWD))))
            first = await stage.connector.members_page(audience)
            for cursor in (None, first.next) if first.next else (None,):
                once, twice = [await stage.connector.members_page(audience, cursor) for _ in range(2)]
                assert (set(once.members), once.next) == (set(twice.members), twice.next)

    async def test_reading_back_changes_nothing(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            await stage.send(audience, add=stage.people("ann", "bob"))
            before = stage.vendor.state()
            if self.connector.capabilities.read_back:
                assert [name async for name in stage.connector.members(audience)]
            if self.connector.capabilities.counts:
                await stage.connector.count(audience)
            assert stage.vendor.state() == before

    async def test_members_can_be_counted(self) -> None:
        self._skip_without("counts")
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            assert await stage.connector.count(audience) == 0
            await stage.send(audience, add=stage.people("ann", "bob"))
            assert await stage.connector.count(audience) == len(stage.vendor.members(audience))

    def _skip_without(self, capability: str) -> None:
        if not getattr(self.connector.capabilities, capability):
            pytest.skip(f"the vendor cannot: {capability}")


def _names(stage: Stage, people: Iterable[Person]) -> set[str]:
    """What the vendor calls these people in its list."""
    listed_as = stage.connector.limits().listed_as
    return {listed_as.called(person.key) for person in people}
