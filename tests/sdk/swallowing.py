"""Swallows every flood in a process of its own, and prints what that cost: `python -m tests.sdk.swallowing`."""

from __future__ import annotations

import asyncio
import json
import resource

from hub.sdk.errors import TransientError
from tests.sdk.hostile import FLOODS, client_of, hostile


async def swallow(name: str) -> dict[str, object]:
    """What the flood ended in, and how many bytes were poured until then."""
    async with hostile(FLOODS[name]) as vendor, client_of(vendor, total_s=300.0) as http:
        error = None
        try:
            await http.request("POST", f"http://{vendor.at}/", json={})
        except TransientError as fault:
            error = fault
        await vendor.left_alone()
        free = (await http.request("GET", f"http://{vendor.at}/")).ok
    return {"sent": error and error.sent, "late": "in time" in str(error), "said": vendor.said, "free": free}


def peak() -> int:
    """The most memory this process ever held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def swallow_all() -> None:
    async with hostile() as vendor, client_of(vendor) as http:
        await http.request("POST", f"http://{vendor.at}/", json={})
    before = peak()
    swallowed = {name: await swallow(name) for name in FLOODS}
    print(json.dumps({"floods": swallowed, "grown": peak() - before}))


if __name__ == "__main__":
    asyncio.run(swallow_all())
