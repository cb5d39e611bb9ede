"""What the kit asks of a fake vendor: it keeps state as the real one would, and lets the kit look at it."""

from __future__ import annotations

import copy
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import httpx

from hub.sdk.contract import Audience


class Vendor(ABC):
    """A fake of the vendor. `subscriptions` holds everyone the vendor knows, with what they have agreed to there;
    `refused` those it will not take, with its words. `folder` is the connector's workspace during a test."""

    folder: Path

    def __init__(self) -> None:
        self.subscriptions: dict[str, str] = {}
        self.refused: dict[str, str] = {}

    @abstractmethod
    def members(self, audience: Audience) -> set[str]:
        """The keys of those who are in the audience now."""

    def know(self, key: str, subscription: str = "subscribed") -> None:
        """Let the vendor have known this person for long."""
        self.subscriptions[key] = subscription

    def refuse(self, key: str, reason: str) -> None:
        """Let the vendor refuse this person, in words that name them, whenever they are added."""
        self.refused[key] = reason

    def state(self) -> Any:
        """All that a call could change, comparable."""
        return copy.deepcopy(vars(self))


class HttpVendor(Vendor):
    """A fake that is reached over HTTP."""

    @abstractmethod
    def answer(self, request: httpx.Request) -> httpx.Response:
        """What the vendor would answer, changing its state as it would."""


def json_body(request: httpx.Request) -> Any:
    """The JSON of a request, None without any."""
    return json.loads(request.content) if request.content else None
