"""How a hub says that there is no room."""

from __future__ import annotations

import httpx


def refused_for_want_of_room(answer: httpx.Response) -> bool:
    [error] = answer.json()["errors"]
    told = "no room left" in error["message"] and error["extensions"]["code"] == "UNAVAILABLE"
    return told and answer.status_code == 503 and "retry-after" in answer.headers


async def both_are_degraded(web: httpx.AsyncClient) -> bool:
    return await degraded(web) == {"control_plane", "data_plane"}


async def degraded(web: httpx.AsyncClient) -> set[str]:
    """Of which stores the hub says that they are, for want of room, and what to do about it."""
    said = await web.get("/readyz")
    told: dict[str, str] = said.json().get("degraded", {})
    assert not told or said.status_code == 503
    assert all("no room left" in advice for advice in told.values())
    return set(told)
