"""S3 and whatever speaks its language: see `connector`."""

from __future__ import annotations

from connectors.s3.config import S3Config
from connectors.s3.connector import S3
from hub.sdk import hookimpl, insist_installed

insist_installed("botocore", "audience-hub[s3]")

__all__ = ["S3", "S3Config"]


@hookimpl
def hub_connectors() -> list[type[S3]]:
    return [S3]
