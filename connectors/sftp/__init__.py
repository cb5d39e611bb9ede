"""SFTP: see `connector`."""

from __future__ import annotations

from connectors.sftp.config import SftpConfig
from connectors.sftp.connector import Sftp
from hub.sdk import hookimpl, insist_installed

insist_installed("asyncssh", "audience-hub[sftp]")

__all__ = ["Sftp", "SftpConfig"]


@hookimpl
def hub_connectors() -> list[type[Sftp]]:
    return [Sftp]
