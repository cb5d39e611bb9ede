"""Time that need not be waited for."""

from __future__ import annotations

import asyncio


def let_pass(seconds: float) -> None:
    """Put the running loop's clock forward. Whoever waits for less than that has waited long enough, in the order in
    which they would have; so a limit can be far beyond what a busy machine needs, and still be seen to hold."""
    loop = asyncio.get_running_loop()
    real = type(loop).time
    ahead = loop.time() - real(loop) + seconds
    loop.time = lambda: real(loop) + ahead  # type: ignore[method-assign]


async def pass_by(seconds: float) -> None:
    """Let it pass, and whoever has waited for it have their turn."""
    let_pass(seconds)
    await asyncio.sleep(0)
