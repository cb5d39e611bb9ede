"""What the runs of one worker share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from hub.services.hub import Hub
from hub.services.lanes import KeysInFlight
from hub.services.retry import RetryPolicy
from hub.services.vendors import Vendors


@dataclass(slots=True)
class Desk:
    hub: Hub
    vendors: Vendors
    keys: KeysInFlight = field(default_factory=KeysInFlight)
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
