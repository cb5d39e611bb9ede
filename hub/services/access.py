"""Who may come in: the admin by token, apps by write key. Secrets are shown once and kept only as hashes."""

from __future__ import annotations

from hub.core.records import WriteKey
from hub.core.slug import name_problems
from hub.errors import HubError
from hub.services.hub import Hub, SystemClock
from hub.settings import Settings
from hub.store import Store
from hub.store.seal import open_keyring


async def prepare(hub: Hub) -> str | None:
    """Let in whoever HUB_ADMIN_TOKEN and HUB_WRITE_KEY name; the token made by a first start without one, else None."""
    settings = hub.settings
    if settings.write_key is not None:
        await hub.store.write_keys.bootstrap(settings.write_key.get_secret_value())
    token = settings.admin_token.get_secret_value() if settings.admin_token else None
    return await hub.store.tokens.bootstrap(token, now=hub.clock.now())


async def is_admin(hub: Hub, token: str) -> bool:
    """Whether the token is the admin's, in constant time."""
    return await hub.store.tokens.verify(token)


async def rotate_token(hub: Hub) -> str:
    """A new admin token; the old one is refused from now on."""
    return await hub.store.tokens.rotate(now=hub.clock.now())


async def rotate_stored_token(settings: Settings) -> str:
    """As `rotate_token`, beside whatever hub may be running: it opens the control plane alone."""
    store = await Store.open(settings.database, open_keyring(settings))
    try:
        return await store.tokens.rotate(now=SystemClock().now())
    finally:
        await store.close()


async def create_write_key(hub: Hub, name: str) -> tuple[WriteKey, str]:
    """A new write key and its secret; HubError INVALID for a name that cannot be used."""
    if problems := name_problems(name):
        raise HubError(*problems)
    return await hub.store.write_keys.create(name.strip())


async def revoke_write_key(hub: Hub, number: int) -> WriteKey:
    """The key as it was; HubError NOT_FOUND when it is not in force."""
    return await hub.store.write_keys.revoke(number, now=hub.clock.now())
