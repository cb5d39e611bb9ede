"""Keyset pages of a list that grows: edges, nodes, where the page stands, and how many there are in all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import strawberry

from hub.api.ids import cursor, position_of
from hub.api.words import given, says
from hub.errors import ErrorCode, refuse

T = TypeVar("T")
R = TypeVar("R")
PAGE, LARGEST_PAGE = 50, 100


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    has_next_page: bool = says("Whether more follow after `endCursor`.")
    has_previous_page: bool = says("Whether this page began after a cursor.")
    start_cursor: str | None = says("The cursor of the first thing on the page; null on an empty one.")
    end_cursor: str | None = says("The cursor of the last thing on the page; null on an empty one.")


@strawberry.type(description="One thing on a page, with its place in the list.")
class Edge(Generic[T]):
    cursor: str = says("Give this as `after` to go on behind this thing.")
    node: T = says("The thing itself.")


@strawberry.type(description="A page of a list, in the order in which things were created.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = says("The things on this page, each with its cursor.")
    page_info: PageInfo = says("Where the page stands in the list.")
    count: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field(description="The things on this page.")
    def nodes(self) -> list[T]:
        return [edge.node for edge in self.edges]

    @strawberry.field(description="How many things the whole list holds.")
    async def total_count(self) -> int:
        return await self.count()


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the list `listed`: `limit` things after `position`, or from the start when it is None."""

    listed: str
    position: int | None
    limit: int

    @classmethod
    def of(cls, listed: str, first: int | None, after: str | None) -> Window:
        """The window asked for; HubError LIMIT or INVALID for one that is too large, makes no sense or is of another
        list."""
        limit = PAGE if given(first) is None else int(given(first))
        if limit > LARGEST_PAGE:
            raise refuse(ErrorCode.LIMIT, f"`first` is {limit}; at most {LARGEST_PAGE} come at once: page on.", "first")
        if limit < 0:
            raise refuse(ErrorCode.INVALID, "`first` must not be negative.", "first")
        return cls(listed, position_of(given(after), listed), limit)

    @property
    def beyond(self) -> int:
        """One more than asked for: its presence says that a next page exists."""
        return self.limit + 1


def page(
    window: Window,
    rows: Sequence[R],
    place: Callable[[R], int],
    show: Callable[[R], T],
    count: Callable[[], Awaitable[int]],
) -> Connection[T]:
    """A page of up to `window.beyond` rows; `place` is the row's position in the list."""
    shown = rows[: window.limit]
    edges = [Edge(cursor=cursor(window.listed, place(row)), node=show(row)) for row in shown]
    info = PageInfo(
        has_next_page=len(rows) > window.limit,
        has_previous_page=window.position is not None,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
    return Connection(edges=edges, page_info=info, count=count)
