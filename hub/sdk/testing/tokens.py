"""What a connector promises whose vendor is opened by a refresh token."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

import json
from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest

from hub.sdk.testing.stage import Stage


class TokensContract:
    @abstractmethod
    def staged(self) -> AbstractAsyncContextManager[Stage]:
        """The connector with a fresh vendor."""

    async def test_a_refresh_token_that_rotates_is_followed_into_the_next_process(self) -> None:
        async with self.staged() as stage:
            rotating = _Rotating(stage)
            for _ in range(3):
                with stage.wire.bending(rotating.answer):
                    await stage.connector.check()
                stage.restart()
            if not rotating.used:
                pytest.skip("this vendor takes no refresh token")
            assert rotating.used[1:] == rotating.given[:-1], (
                "a process begins with a refresh token that the vendor has replaced: keep `RefreshedTokens`"
            )


class _Rotating:
    """The fake vendor as one that gives another refresh token with every access token."""

    def __init__(self, stage: Stage) -> None:
        self.used: list[str] = []
        self.given: list[str] = []
        self._stage = stage

    def answer(self, request: httpx.Request, _: int) -> httpx.Response | None:
        form = _form(request)
        if form.get("grant_type") != "refresh_token":
            return None
        self.used.append(form["refresh_token"])
        self.given.append(f"kit-rotated-{len(self.given) + 1}")
        # The fake knows only the token of the configuration.
        known = urlencode({**form, "refresh_token": self.used[0]}).encode()
        own = self._stage.wire.vendors_own(
            httpx.Request(request.method, request.url, headers=_unmeasured(request), content=known)
        )
        told = json.loads(own.content)
        return httpx.Response(own.status_code, json={**told, "refresh_token": self.given[-1]})


def _unmeasured(request: httpx.Request) -> list[tuple[str, str]]:
    return [(name, value) for name, value in request.headers.items() if name != "content-length"]


def _form(request: httpx.Request) -> dict[str, str]:
    typed = request.headers.get("content-type", "")
    return dict(parse_qsl(request.content.decode())) if typed == "application/x-www-form-urlencoded" else {}
