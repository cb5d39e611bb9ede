"""Making and upgrading both stores. A new hub is made by itself; one that holds data is upgraded only when told to."""

from __future__ import annotations

from hub.services.hub import make_folder, open_hub
from hub.settings import Settings
from hub.store import migrate, pending

FIRST = "0001"


async def make_if_new(settings: Settings) -> None:
    """Make the control plane's tables where there are none yet."""
    make_folder(settings)
    missing = await pending(settings.database)
    if missing and missing[0].startswith(FIRST):
        await migrate(settings.database)


async def upgrade(settings: Settings) -> list[str]:
    """Bring both stores to the newest schema; the names of the control plane's migrations that were applied."""
    make_folder(settings)
    applied = await migrate(settings.database)
    # Opening the data plane upgrades it.
    async with open_hub(settings):
        return applied
