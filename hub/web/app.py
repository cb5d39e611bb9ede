"""The web application: routes, who may use them, and the worker that lives and dies with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Protocol

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from hub.logs import where
from hub.services.hub import Hub
from hub.web import console, health
from hub.web.access import Gate
from hub.web.answers import refusal
from hub.web.backup import Backups
from hub.web.envelope import Envelope
from hub.web.feedback import METHODS, Hooks
from hub.web.graphql import Questions, Watching
from hub.web.health import Metrics, Readiness
from hub.web.intake import Intake

DRAIN_S = 10.0
WORDS = {404: ("NOT_FOUND", "There is nothing here."), 405: ("UNSUPPORTED", "This address does not take that method.")}
log = structlog.get_logger()


class Working(Protocol):
    """A worker, as far as the web is concerned."""

    async def run(self) -> None:
        """Work until told to stop."""

    def stop(self) -> None:
        """Take on nothing new and come to an end."""


def create_app(hub: Hub, worker: Working | None = None, *, local_token: str | None = None) -> Starlette:
    """The hub over HTTP. With a `worker`, this process also carries out runs; `local_token` is one more good token."""
    gate, shift, hooks = Gate(hub, local_token), Shift(worker), Hooks(hub)
    return Starlette(
        routes=[
            Route("/graphql", gate.guards(Questions(hub).answer), methods=["POST"]),
            Route("/graphql", console.page, methods=["GET"]),
            Route("/graphql/console/{name}", console.part, methods=["GET"]),
            WebSocketRoute("/graphql", Watching(hub, gate)),
            Route("/import/{kind}", gate.guards(Intake(hub).answer), methods=["POST"]),
            Route("/backup", gate.guards(Backups(hub).answer), methods=["POST"]),
            Route("/hooks/{destination}", hooks.answer, methods=METHODS),
            Route("/hooks/{destination}/{rest:path}", hooks.answer, methods=METHODS),
            Route("/healthz", health.alive, methods=["GET"]),
            Route("/readyz", Readiness(hub, shift.is_on).answer, methods=["GET"]),
            Route("/metrics", Metrics(gate).answer, methods=["GET"]),
        ],
        middleware=[Middleware(Envelope, on_fault=hub.ground.doubt)],
        exception_handlers={HTTPException: _refused},
        lifespan=lambda _: _lasting(shift, hooks),
    )


class Shift:
    """The worker's time at work: from the start of the application to its end."""

    def __init__(self, worker: Working | None) -> None:
        self._worker = worker
        self._task: asyncio.Task[None] | None = None

    def is_on(self) -> bool:
        """Whether the worker is at work; also true where none was asked for."""
        return self._worker is None or (self._task is not None and not self._task.done())

    @asynccontextmanager
    async def lasting(self) -> AsyncIterator[None]:
        """The worker is at work for as long as this is open."""
        if self._worker is not None:
            self._task = asyncio.create_task(self._worker.run())
            self._task.add_done_callback(_tell)
        try:
            yield
        finally:
            await self._end()

    async def _end(self) -> None:
        if self._worker is None or self._task is None:
            return
        self._worker.stop()
        with suppress(TimeoutError, asyncio.CancelledError, Exception):
            await asyncio.wait_for(self._task, DRAIN_S)


@asynccontextmanager
async def _lasting(shift: Shift, hooks: Hooks) -> AsyncIterator[None]:
    async with aclosing(hooks), shift.lasting():
        yield


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("worker ended", error_type=type(error).__name__, where=where(error))


async def _refused(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    code, message = WORDS.get(status, ("INVALID", "This request cannot be answered."))
    return refusal(status, code, message, getattr(error, "headers", None))
