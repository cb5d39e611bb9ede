"""Places where a test may have the process die, fail or hang: every step boundary of plan, deliver and settle.

Nothing happens unless `HUB_FAILPOINT=name:action` is set when the process starts; `name:action:3` acts at the third
time the place is passed. Actions: `kill` (as by kill -9), `raise`, `hang`.
"""

from __future__ import annotations

import os
import signal
import time

NAMES = frozenset(
    {
        "before_plan",
        "after_plan",
        "after_begin",
        "before_gate",
        "after_gate",
        "after_send_before_commit",
        "after_commit",
        "after_poll",
        "before_settle",
        "after_settle",
        "after_finish",
        "after_page",
        "before_audit_settle",
        "after_audit_settle",
        "after_erase",
        "before_forget",
        "after_forget",
    }
)


class FailpointHit(RuntimeError):  # noqa: N818 - it is not an error of the product
    """Raised on request of a test."""


class _Trap:
    def __init__(self, wish: str) -> None:
        self.name, _, rest = wish.partition(":")
        self.action, _, nth = rest.partition(":")
        self.left = int(nth or 1)

    def sprung_at(self, name: str) -> bool:
        if name != self.name:
            return False
        self.left -= 1
        return self.left == 0


_trap = _Trap(os.environ.get("HUB_FAILPOINT", ""))


def failpoint(name: str) -> None:
    """Pass the place `name`; what happens there is up to the environment. Blocks for ever under `hang`."""
    if not _trap.sprung_at(name):
        return
    match _trap.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise FailpointHit(f"at {name}, as asked for by HUB_FAILPOINT")
        case "hang":
            while True:
                time.sleep(3600)
