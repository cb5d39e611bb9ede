"""Contacts by address: SendGrid takes people off a list by the ids that it has given them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from hub.sdk import NativeIds, RefusedError, Response

from . import answers

Item = TypeVar("Item")

AT_ONCE = 100


class Contacts:
    def __init__(self, call: Callable[..., Awaitable[Response]]) -> None:
        self._call = call
        self._ids = NativeIds()

    async def ids(self, keys: Sequence[str]) -> dict[str, str]:
        """Of those who are contacts, from memory where they were asked for before."""
        return await self._ids.of(keys, self._find, AT_ONCE)

    async def found(self, keys: Sequence[str]) -> dict[str, answers.Contact]:
        """Those who are contacts, as they are now."""
        contacts: dict[str, answers.Contact] = {}
        for some in cut(keys, AT_ONCE):
            contacts |= await self._search(some)
        self._ids.learn({key: contact.id for key, contact in contacts.items()})
        return contacts

    def forget(self, keys: Iterable[str]) -> None:
        self._ids.forget(keys)

    async def _find(self, keys: Sequence[str]) -> dict[str, str]:
        return {key: contact.id for key, contact in (await self._search(keys)).items()}

    async def _search(self, keys: Sequence[str]) -> dict[str, answers.Contact]:
        """One address that is not valid spoils the search for all of them; alone, it is nobody's."""
        path, body = "/v3/marketing/contacts/search/emails", {"emails": list(keys)}
        passing = answers.passing(400, 404)
        response = await self._call("POST", path, json=body, classify=passing, changes=False)
        if response.status != 400:
            return answers.found(response, keys)
        if len(keys) == 1:
            if answers.about_the_address(response, keys[0]):
                return {}
            raise RefusedError(f"{response.host} refuses to search for contacts")
        middle = len(keys) // 2
        return {**await self._search(keys[:middle]), **await self._search(keys[middle:])}


def cut(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
