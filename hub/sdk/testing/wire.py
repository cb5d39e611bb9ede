"""The wire between a connector and its fake vendor: it records every request, and cuts or bends answers on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from hub.sdk.testing.vendor import HttpVendor

Bend = Callable[[httpx.Request, int], httpx.Response | None]
"""Given a request and its number since the bending began, from 0: another answer, or None for the vendor's own."""


class Wire:
    def __init__(self, vendor: HttpVendor | None) -> None:
        self.vendor = vendor
        self.requests: list[httpx.Request] = []
        self._bend: Bend | None = None
        self._bent_since = 0

    def answer(self, request: httpx.Request) -> httpx.Response:
        number = len(self.requests) - self._bent_since
        self.requests.append(request)
        bent = self._bend(request, number) if self._bend else None
        return bent if bent is not None else self.vendors_own(request)

    def vendors_own(self, request: httpx.Request) -> httpx.Response:
        if self.vendor is None:
            raise AssertionError(f"a request to {request.url.host}, though the contract class names no HTTP vendor")
        return self.vendor.answer(request)

    @contextmanager
    def bending(self, bend: Bend) -> Iterator[None]:
        self._bend, self._bent_since = bend, len(self.requests)
        try:
            yield
        finally:
            self._bend = None

    @contextmanager
    def answering(self, status: int, body: bytes = b"", **headers: str) -> Iterator[None]:
        """Every request gets this answer, and none reaches the vendor."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with self.bending(lambda _, __: httpx.Response(status, content=body, headers=named)):
            yield

    @contextmanager
    def breaking(self, fault: type[httpx.TransportError]) -> Iterator[None]:
        """Every request ends in this fault of the transport."""

        def broken(request: httpx.Request, _: int) -> httpx.Response:
            raise fault("broken by the kit", request=request)

        with self.bending(broken):
            yield
