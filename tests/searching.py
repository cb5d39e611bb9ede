"""How long hypothesis searches: briefly by default, at length with HUB_LONG_TESTS=1."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from hypothesis import HealthCheck, settings

LONGER = 25 if os.environ.get("HUB_LONG_TESTS") == "1" else 1


def search(examples: int, *, suppress_health_check: Iterable[HealthCheck] = (), **more: Any) -> settings:
    """Settings for a test that tries so many examples when there is little time. That examples take long to make says
    something about the machine only."""
    ignored = {*suppress_health_check, HealthCheck.too_slow}
    return settings(max_examples=examples * LONGER, deadline=None, suppress_health_check=list(ignored), **more)
