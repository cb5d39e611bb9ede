"""The real application over a whole hub, asked in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from hub.services import access
from hub.services.hub import Hub
from hub.web.app import create_app
from tests.services.opened import TestClock, opened

PEOPLE = (
    "id,email,country,plan,ltv,signed_up_at\n"
    "p1,ann@example.com,DE,pro,120,2025-11-01T00:00:00Z\n"
    "p2,bob@example.com,AT,free,5.5,2026-01-15T08:30:00Z\n"
    "p3,cy@example.com,AT,pro,,\n"
    "p4,,CH,free,80,\n"
)
EVENTS = (
    "id,profile_id,ts,name,value\n"
    "e1,p1,2026-04-20T10:00:00Z,purchase,60\n"
    "e2,p1,2026-04-25T10:00:00Z,purchase,60\n"
    "e3,p2,2026-01-25T10:00:00Z,purchase,5.5\n"
)


@dataclass
class Served:
    """A hub and a client that holds its token."""

    hub: Hub
    client: httpx.AsyncClient
    token: str

    async def ask(self, query: str, **variables: Any) -> Any:
        """The data of an answer without errors."""
        answer = await self.answer(query, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def answer(self, query: str, **variables: Any) -> Any:
        answered = await self.client.post("/graphql", json={"query": query, "variables": variables})
        assert answered.status_code == 200, answered.text
        return answered.json()

    async def refused(self, query: str, **variables: Any) -> dict[str, Any]:
        """The one error of an answer."""
        answer = await self.answer(query, **variables)
        [error] = answer["errors"]
        return dict(error)

    async def take_in(self, kind: str, text: str, **options: Any) -> Any:
        return await self.client.post(
            f"/import/{kind}", content=text, headers={"Content-Type": "text/csv"}, params=options
        )


@asynccontextmanager
async def served(folder: Path, clock: TestClock) -> AsyncIterator[Served]:
    async with opened(folder, clock) as hub:
        token = await access.prepare(hub)
        assert token is not None
        transport = httpx.ASGITransport(create_app(hub), client=("192.0.2.7", 4711))
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://hub.test", headers=headers) as client:
            yield Served(hub, client, token)
