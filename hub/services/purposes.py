"""Purposes: what consent is asked for."""

from __future__ import annotations

from hub.core.records import Purpose
from hub.core.slug import key_problems, name_problems
from hub.errors import ErrorCode, HubError, refuse
from hub.services.hub import Hub


async def create(hub: Hub, key: str, name: str, description: str = "") -> Purpose:
    """A new purpose; HubError INVALID for a key or name that cannot be used, CONFLICT for a key that is taken."""
    if problems := [*key_problems(key), *name_problems(name)]:
        raise HubError(*problems)
    if await hub.store.purposes.get(key):
        raise refuse(ErrorCode.CONFLICT, f"There is a purpose “{key}” already: choose another key.", "input", "key")
    return await hub.store.purposes.create(key=key, name=name.strip(), description=description)


async def update(hub: Hub, key: str, *, name: str | None = None, description: str | None = None) -> Purpose:
    """Change what is given; HubError NOT_FOUND, or INVALID for a name that cannot be used."""
    purpose = await hub.store.purposes.need(key)
    if name is not None and (problems := name_problems(name)):
        raise HubError(*problems)
    given = {"name": name and name.strip(), "description": description}
    return await hub.store.purposes.update(purpose.id, **{k: value for k, value in given.items() if value is not None})
