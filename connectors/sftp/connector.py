"""SFTP: a folder for each run, a part for each batch, a manifest last; each is written aside, then renamed."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from connectors.parts import InParts
from connectors.sftp.config import SftpConfig
from hub.sdk import Account, Capabilities, Channel, TransientError

if TYPE_CHECKING:
    from asyncssh import SFTPClient


class Sftp(InParts[SftpConfig]):
    key = "sftp"
    title = "SFTP"
    channel = Channel.GENERIC
    capabilities = Capabilities(batch=10_000, concurrency=2, replace=True, in_flight_s=60.0)
    Config = SftpConfig

    def limits(self) -> Capabilities:
        return replace(self.capabilities, key=self.config.identifier, batch=self.config.batch)

    async def check(self) -> Account:
        async with self._session() as server:
            await server.realpath(".")
        return Account(f"{self.config.username} at {self.config.host}")

    async def put(self, path: str, content: bytes) -> None:
        whole = self._whole(path)
        async with self._session() as server:
            await server.makedirs(whole.rpartition("/")[0], exist_ok=True)
            # What has the name has the content: a part is named by it, and a manifest is never written again.
            if not await server.exists(whole):
                await _write(server, whole, content)

    async def names(self, folder: str) -> Collection[str]:
        whole = self._whole(folder)
        async with self._session() as server:
            return {str(name) for name in await server.listdir(whole)} if await server.exists(whole) else set()

    def _session(self) -> AbstractAsyncContextManager[SFTPClient]:
        # Half a second, which whoever has no SFTP destination need not wait.
        from connectors.sftp.session import session

        return session(self.http.policy, self.config)

    def _whole(self, path: str) -> str:
        return f"{self.config.directory}/{path}" if self.config.directory else path


async def _write(server: SFTPClient, path: str, content: bytes) -> None:
    """Under a name of this attempt's own: one that was cut off may still be writing."""
    aside = f"{path}.{secrets.token_hex(4)}.tmp"
    async with server.open(aside, "wb") as file:
        await file.write(content)
    # Some servers keep what fits and say nothing.
    if await server.getsize(aside) != len(content):
        raise TransientError("the server kept only part of the file")
    await server.rename(aside, path)
