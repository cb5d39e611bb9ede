"""A place that notices go to, beside the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hub.errors import Problem


class AlertChannelKind(StrEnum):
    WEBHOOK = "WEBHOOK"
    EMAIL = "EMAIL"


@dataclass(frozen=True, slots=True)
class AlertChannel:
    """`url` is a webhook's, whose secret stays sealed in the store; `to` are the addresses of an e-mail channel.
    `failure` says why the newest try failed, None once one has succeeded."""

    id: int
    key: str
    name: str
    kind: AlertChannelKind
    version: int
    url: str = ""
    to: tuple[str, ...] = ()
    delivered_at: datetime | None = None
    failure: Problem | None = None
