"""`POST /backup`: both planes as one file, made at this moment and gone once it is sent."""

from __future__ import annotations

import tempfile
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from hub.services import backup
from hub.services.hub import Hub


class Backups:
    """Answers POST /backup."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def answer(self, _: Request) -> Response:
        folder = tempfile.TemporaryDirectory(dir=self._hub.settings.data, prefix="sending-")
        target = Path(folder.name) / "backup.tar"
        try:
            await backup.create(self._hub, target)
        except BaseException:
            folder.cleanup()
            raise
        return FileResponse(target, media_type="application/x-tar", background=BackgroundTask(folder.cleanup))
