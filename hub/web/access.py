"""Who may come in: a bearer token in the Authorization header, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from hub.services import access
from hub.services.hub import Hub
from hub.web.answers import refusal

Endpoint = Callable[[Request], Awaitable[Response]]
ASKING = {"WWW-Authenticate": 'Bearer realm="hub"'}
LONGEST_TOKEN = 512


@dataclass(frozen=True, slots=True)
class Gate:
    """Lets the admin in, and whoever holds `local_token`: the one that `hub serve` leaves for the command line."""

    hub: Hub
    local_token: str | None = None

    async def admits(self, authorization: str | None) -> bool:
        """Whether an Authorization header carries a token that is good."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > LONGEST_TOKEN:
            return False
        local = self.local_token is not None and hmac.compare_digest(token.encode(), self.local_token.encode())
        return local or await access.is_admin(self.hub, token)

    def guards(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint, for those with a good token only."""

        async def guarded(request: Request) -> Response:
            if await self.admits(request.headers.get("authorization")):
                return await endpoint(request)
            return unknown(request.headers)

        return guarded


def unknown(headers: Mapping[str, str]) -> Response:
    """The answer to somebody without a good token."""
    if "authorization" in headers:
        message = "This token is not good here: it is wrong, or was rotated or revoked."
        return refusal(
            401, "FORBIDDEN", message, {"WWW-Authenticate": ASKING["WWW-Authenticate"] + ', error="invalid_token"'}
        )
    return refusal(401, "FORBIDDEN", "A token is needed: send the header Authorization: Bearer TOKEN.", ASKING)
