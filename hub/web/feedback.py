"""`/hooks/{destination}/…`: vendors tell us who unsubscribed, bounced or complained there.

There is no token: each connector knows its vendor's requests by a signature or a secret. To everybody else there is
nothing here, and nobody is told what would have been believed.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from hub.core.slug import key_problems
from hub.errors import HubError
from hub.sdk.feedback import Inbound
from hub.services.feedback import Away, Listener, Unverified
from hub.services.hub import Hub
from hub.web.answers import AGAIN, Json, refusal, refused
from hub.web.body import MEBIBYTE, whole

METHODS: Final = ["GET", "POST"]  # and HEAD, by which some vendors try the address
# Vendors send many notices in one request.
LARGEST: Final = 5 * MEBIBYTE
PATIENCE_S: Final = 10.0


class Hooks:
    """Answers what comes under /hooks."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._listener = Listener(hub)

    async def answer(self, request: Request) -> Response:
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._answer(request)
        except HubError as error:
            return refused(error)
        except Unverified:
            return refusal(401, "FORBIDDEN", "This request cannot be shown to come from the vendor.")
        except (Away, TimeoutError):
            return refusal(503, "UNAVAILABLE", "This cannot be taken in just now: send it again.", AGAIN)

    async def aclose(self) -> None:
        await self._listener.close()

    async def _answer(self, request: Request) -> Response:
        key = request.path_params["destination"]
        # No database is asked for what can be nobody's key.
        destination = None if [*key_problems(key)] else await self._hub.store.destinations.get(key)
        connector = await self._listener.connector(destination) if destination else None
        if destination is None or connector is None:
            return refusal(404, "NOT_FOUND", "There is nothing here.")
        heard = await self._listener.hear(destination, connector, await self._inbound(request))
        return Json({"accepted": heard.accepted})

    async def _inbound(self, request: Request) -> Inbound:
        return Inbound(
            method=request.method,
            path=request.path_params.get("rest", ""),
            query=dict(request.query_params),
            headers=dict(request.headers),
            body=await whole(request, LARGEST),
            url=str(request.url),
            received_at=self._hub.clock.now(),
        )
