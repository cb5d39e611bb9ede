"""How an operator sees that the hub is well: alive, ready, and in numbers."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from hub.errors import StoreError
from hub.services.hub import Hub
from hub.web.access import Gate, unknown
from hub.web.answers import Json

PATIENCE_S = 5.0
# So often at most a little is written to find out whether the stores take it.
FRESH_S = 5.0
# A trial may stand in line behind a long import, for which whoever asks shall not wait.
SOON_S = 0.5
log = structlog.get_logger()


async def alive(_: Request) -> Response:
    """The process answers; says nothing of its stores."""
    return Json({"status": "alive"})


class Readiness:
    """Whether both planes answer and take writes, and the worker, if it lives here, is at work. A hub that is open is
    also migrated."""

    def __init__(self, hub: Hub, working: Callable[[], bool]) -> None:
        self._hub, self._working = hub, working

    async def answer(self, _: Request) -> Response:
        checks = {
            "control_plane": await _answers("control_plane", self._hub.store.ledger.head()),
            "data_plane": await _answers("data_plane", asyncio.to_thread(self._hub.engine.rows, "SELECT 1")),
            "worker": self._working(),
        }
        if not all(checks.values()):
            return Json({"status": "not ready", "checks": checks}, status_code=503)
        await self._hub.ground.look(FRESH_S, SOON_S)
        if faults := self._hub.ground.faults:
            degraded = {name: _to_do(fault) for name, fault in faults.items()}
            return Json({"status": "degraded", "checks": checks, "degraded": degraded}, status_code=503)
        return Json({"status": "ready", "checks": checks})


def _to_do(fault: StoreError) -> str:
    if fault.full:
        return "There is no room left on its disk: free some. The hub then goes on by itself."
    return "It answers and takes no writes: see to its disk or server. The hub goes on by itself as soon as it does."


async def _answers(phase: str, question: Awaitable[Any]) -> bool:
    try:
        await asyncio.wait_for(question, PATIENCE_S)
    except Exception as error:  # noqa: BLE001  whatever it was, the store does not answer
        log.warning("store does not answer", phase=phase, error_type=type(error).__name__)
        return False
    return True


class Metrics:
    """Prometheus reads these from the machine itself without a token, from elsewhere with one."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def answer(self, request: Request) -> Response:
        if not _is_local(request) and not await self._gate.admits(request.headers.get("authorization")):
            return unknown(request.headers)
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _is_local(request: Request) -> bool:
    # Behind a proxy on this machine everyone would look local: a forwarded request counts as one from elsewhere.
    if "forwarded" in request.headers or "x-forwarded-for" in request.headers or request.client is None:
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
