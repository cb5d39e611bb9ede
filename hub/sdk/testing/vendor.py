"""What the kit asks of a fake vendor: it keeps state as the real one would, and lets the kit look at it."""

# ruff: noqa: ARG002 - the defaults refuse whatever they are given

from __future__ import annotations

import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import httpx

from hub.sdk.contract import Audience
from hub.sdk.feedback import Inbound, Notice


class Vendor(ABC):
    """A fake of the vendor. `subscriptions` holds everyone the vendor knows, with what they have agreed to there;
    `refused` those it will not take, with its words. `folder` is the connector's workspace during a test. `listens` are
    the `host:port` at which it is really reached, if it is, as an operator would list them in the egress policy."""

    folder: Path
    listens: frozenset[str] = frozenset()

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

    notices: ClassVar[Sequence[Notice]] = tuple(Notice)
    """What this vendor can tell of (`Capabilities.feedback`)."""

    def tells(self, notice: Notice, key: str) -> Inbound:
        """The request by which the vendor lets us know, now, with whatever makes it believable."""
        raise TypeError(f"{type(self).__name__} tells nothing")

    def telling(self, body: bytes) -> Inbound:
        """A request of the vendor's with this body, as believable as any other."""
        raise TypeError(f"{type(self).__name__} tells nothing")

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
