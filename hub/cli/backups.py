"""Backing up, from the running hub or from its files, and restoring while none runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hub.cli.printing import bar
from hub.cli.remote import Remote, running
from hub.errors import ErrorCode, refuse
from hub.settings import Settings, read_settings


def back_up(file: Path) -> None:
    """Write the backup to a file that does not exist yet, readable by this user only."""
    settings = read_settings()
    if file.exists():
        raise refuse(ErrorCode.CONFLICT, f"{file} exists already: name another file.", "FILE")
    if not os.access(file.parent, os.W_OK):
        raise refuse(ErrorCode.NOT_FOUND, f"{file} cannot be written: name a folder that can.", "FILE")
    with bar("Backing up") as progress:
        if address := running(settings):
            with _made(file) as target:
                Remote(address).download("/backup", target, progress.show)
        else:
            asyncio.run(_back_up_directly(settings, file))
    print(f"Both stores are in {file} ({file.stat().st_size:,} bytes). The secret key is not: keep it apart.")


def restore(file: Path) -> None:
    """Put a backup in the stores' place, and say what it cannot know."""
    from hub.services import backup
    from hub.services.hub import make_folder

    settings = read_settings()
    if running(settings):
        raise refuse(ErrorCode.CONFLICT, "A hub is running on these stores: stop it, then restore.", "HUB_DATA")
    make_folder(settings)
    restored = asyncio.run(backup.restore(settings, file))
    print(f"Both stores are as they were at {restored.taken_at:%Y-%m-%d %H:%M:%S} UTC.")
    if restored.set_aside:
        print(f"What they replaced is in {restored.set_aside}.")
    if restored.carried_over is None:
        print(
            "No ledger was found that knows what people decided since. Replay the withdrawals recorded since "
            "(`hub import consents FILE`) and erase again whom you have erased since, then resume the destinations: "
            "all of them are paused until you do."
        )
    else:
        print(f"{restored.carried_over:,} denials and withdrawals recorded since were carried over from it.")
    if restored.erased_again:
        print(f"{restored.erased_again:,} people who were erased since are erased again as soon as the hub runs.")


async def _back_up_directly(settings: Settings, file: Path) -> None:
    from hub.services import backup
    from hub.services.hub import open_hub

    async with open_hub(settings) as hub:
        await backup.create(hub, file)


@contextmanager
def _made(file: Path) -> Iterator[BinaryIO]:
    """A new file for this user alone, which is gone again unless all went well."""
    descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as target:
            yield target
    except BaseException:  # an interrupt too: half a backup is none
        file.unlink()
        raise
