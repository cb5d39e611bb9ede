"""What every request and answer carries: an id to find it in the log, headers that keep a browser careful, and an
answer also when something unexpected happens."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from time import perf_counter
from typing import Final

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.errors import StoreError
from hub.logs import where
from hub.room import NO_ROOM
from hub.web.answers import AGAIN, Json, refusal

REQUESTS = Counter(
    "hub_http_requests_total", "HTTP requests, by route, method and status.", ["route", "method", "status"]
)
SECONDS = Histogram("hub_http_request_seconds", "How long HTTP requests take, by route.", ["route"])
UNAVAILABLE: Final = 503
ROUTES: Final = ("/graphql", "/import", "/healthz", "/readyz", "/metrics", "/v1", "/hooks")
METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
GOOD_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
CAREFUL: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
log = structlog.get_logger()


class Envelope:
    """Wraps the whole application; `on_fault` is told of every answer that a store has failed."""

    def __init__(self, app: ASGIApp, on_fault: Callable[[], None]) -> None:
        self._app = app
        self._on_fault = on_fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            if scope["type"] == "http":
                await self._answer(scope, receive, send, request_id)
            else:
                await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        status, began, route = 0, perf_counter(), _route(scope["path"])

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _careful(MutableHeaders(scope=message), request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except Exception as error:
            log.error("request failed", error_type=type(error).__name__, where=where(error))
            if status:
                raise
            await _failed(error, request_id)(scope, receive, send_on)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            if status == UNAVAILABLE and route != "/readyz":
                self._on_fault()
            REQUESTS.labels(route, method, str(status or 499)).inc()
            SECONDS.labels(route).observe(perf_counter() - began)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if GOOD_ID.fullmatch(given) else secrets.token_hex(8)


def _route(path: str) -> str:
    return next((route for route in ROUTES if path == route or path.startswith(f"{route}/")), "other")


def _careful(headers: MutableHeaders, request_id: str) -> None:
    headers["X-Request-ID"] = request_id
    for name, value in CAREFUL.items():
        headers.setdefault(name, value)


def _failed(error: Exception, request_id: str) -> Json:
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        error = StoreError("A file could not be written.", full=True)
    if isinstance(error, StoreError):
        return refusal(UNAVAILABLE, "UNAVAILABLE", f"{error.advice} Request {request_id}.", AGAIN)
    message = f"Something went wrong inside the hub. Its log has more under request {request_id}."
    return refusal(500, "INTERNAL", message)
