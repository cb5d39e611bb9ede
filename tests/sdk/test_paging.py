"""Pages are followed to the last, and no further."""

from __future__ import annotations

import pytest

from hub.sdk import TransientError, cursor_in, pages


async def read(leads: dict[str | None, str | None]) -> list[str | None]:
    asked: list[str | None] = []

    async def ask(cursor: str | None) -> str | None:
        asked.append(cursor)
        return cursor

    try:
        return [page async for page in pages(ask, lambda page: leads[page])]
    finally:
        assert len(asked) == len(set(asked)), "no page is asked for twice"


async def test_every_page_comes_once_and_in_order() -> None:
    assert await read({None: "b", "b": "c", "c": None}) == [None, "b", "c"]
    assert await read({None: ""}) == [None]


@pytest.mark.parametrize("back_to", ["b", "c"])
async def test_pages_that_lead_in_a_circle_come_to_an_end(back_to: str) -> None:
    with pytest.raises(TransientError, match="lead back"):
        await read({None: "b", "b": "c", "c": back_to})


@pytest.mark.parametrize(
    ("link", "cursor"),
    [
        (None, None),
        ("", None),
        ("https://elsewhere.example/v1/lists?limit=50&page%5Bcursor%5D=a%3Db", "a=b"),
        ("/lists?page[cursor]=7&page[cursor]=8", "7"),
    ],
)
def test_of_a_link_only_the_cursor_is_taken(link: str | None, cursor: str | None) -> None:
    assert cursor_in(link, "page[cursor]") == cursor


@pytest.mark.parametrize("link", ["/lists", "/lists?page[cursor]=", "/lists?cursor=7", "#"])
def test_a_link_without_a_cursor_is_no_last_page(link: str) -> None:
    with pytest.raises(TransientError, match="more pages"):
        cursor_in(link, "page[cursor]")
