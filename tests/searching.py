"""How long hypothesis searches: briefly by default, at length with HUB_LONG_TESTS=1."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings

LONGER = 25 if os.environ.get("HUB_LONG_TESTS") == "1" else 1


def search(examples: int, **more: Any) -> settings:
    """Settings for a test that tries so many examples when there is little time."""
    return settings(max_examples=examples * LONGER, deadline=None, **more)
