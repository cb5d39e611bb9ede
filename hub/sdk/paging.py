"""What a vendor tells page by page, where each page says how to ask for the next."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

from hub.sdk.errors import TransientError

P = TypeVar("P")


async def pages(ask: Callable[[str | None], Awaitable[P]], following: Callable[[P], str | None]) -> AsyncIterator[P]:
    """Every page: `ask` gets one by its cursor, None for the first, and `following` says the cursor of the next, if
    there is one. Raises TransientError where pages lead back to one before: a call would never come to its end."""
    cursor: str | None = None
    asked: set[str] = set()
    while True:
        page = await ask(cursor)
        yield page
        if not (cursor := following(page)):
            return
        if cursor in asked:
            raise TransientError("the vendor's pages lead back to themselves")
        asked.add(cursor)


def cursor_in(link: str | None, parameter: str) -> str | None:
    """Where the next page begins, by the link to it; None without a link. Nothing else of the link is used: whoever
    could choose its host would be sent the credentials. Raises TransientError where it does not say, since a page that
    is not read is people who are not seen."""
    cursor = parse_qs(urlsplit(link or "").query).get(parameter, [""])[0]
    if link and not cursor:
        raise TransientError("the vendor has more pages and does not say how to go on")
    return cursor or None
