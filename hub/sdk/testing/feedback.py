"""What a connector promises that hears from its vendor: it believes nobody else, and only ever hears a no."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from hub.sdk.contract import Connector
from hub.sdk.feedback import Inbound, Notice, Unverified
from hub.sdk.testing.stage import Stage

LONG_AGO = timedelta(hours=1)
NONSENSE = (b"", b"null", b"{}", b"[]", b"[1]", b'{"data": 1}', b"<html>", b"\xff\xfe", b"a=b", b"[" * 5000)


class FeedbackContract:
    """The vendor's `tells` makes requests as the real one would. `signs_body` says that a signature covers the body,
    `signs_time` that it covers when it was made; a vendor that only knows a secret in the address has neither."""

    connector: ClassVar[type[Connector[Any]]]
    signs_body: ClassVar[bool] = True
    signs_time: ClassVar[bool] = True

    @abstractmethod
    def staged(self) -> AbstractAsyncContextManager[Stage]:
        """The connector with a fresh vendor."""

    async def test_what_the_vendor_tells_is_heard(self) -> None:
        self._skip_without_feedback()
        async with self.staged() as stage:
            for notice in stage.vendor.notices:
                person = stage.person("ann")
                told = stage.connector.feedback(stage.vendor.tells(notice, person.key))
                [heard] = await stage.connector.recognised(told)
                assert (heard.notice, heard.value) == (notice, person.key), f"{notice} was heard as {heard.notice}"
                assert heard.at is None or heard.at.tzinfo is not None

    async def test_the_same_event_told_twice_is_known_as_one(self) -> None:
        self._skip_without_feedback()
        async with self.staged() as stage:
            request = stage.vendor.tells(Notice.UNSUBSCRIBED, stage.person("ann").key)
            assert list(stage.connector.feedback(request)) == list(stage.connector.feedback(request))

    async def test_a_stranger_is_not_believed(self) -> None:
        self._skip_without_feedback()
        async with self.staged() as stage:
            request = stage.vendor.tells(Notice.UNSUBSCRIBED, stage.person("ann").key)
            bare = {name: value for name, value in request.headers.items() if name == "content-type"}
            said = "a request without signature or secret was believed"
            _disbelieve(stage, replace(request, headers=bare, path="", query={}), said)

    async def test_a_changed_body_is_not_believed(self) -> None:
        self._skip_without_feedback()
        if not self.signs_body:
            pytest.skip("this vendor does not sign what it sends")
        async with self.staged() as stage:
            request = stage.vendor.tells(Notice.UNSUBSCRIBED, stage.person("ann").key)
            said = (
                "a body changed after it was signed was believed (where the vendor signs no body: signs_body = False)"
            )
            _disbelieve(stage, replace(request, body=request.body + b" "), said)

    async def test_an_old_request_is_not_believed(self) -> None:
        self._skip_without_feedback()
        if not self.signs_time:
            pytest.skip("this vendor does not sign when it sent")
        async with self.staged() as stage:
            request = stage.vendor.tells(Notice.UNSUBSCRIBED, stage.person("ann").key)
            said = "a request signed an hour ago was believed (where the vendor signs no time: signs_time = False)"
            _disbelieve(stage, replace(request, received_at=request.received_at + LONG_AGO), said)

    async def test_nonsense_takes_nobodys_permission_away_and_breaks_nothing(self) -> None:
        self._skip_without_feedback()
        async with self.staged() as stage:
            for body in NONSENSE:
                try:
                    heard = stage.connector.feedback(stage.vendor.telling(body))
                except Unverified:
                    continue
                assert not heard, f"{body[:20]!r} was heard as {heard}"

    async def test_a_refusal_to_believe_shows_no_person_and_no_secret(self) -> None:
        self._skip_without_feedback()
        async with self.staged() as stage:
            request = stage.vendor.tells(Notice.UNSUBSCRIBED, stage.person("ann").key)
            with pytest.raises(Unverified) as refusal:
                stage.connector.feedback(replace(request, headers={}, path="", query={}))
            assert not stage.leaks(refusal.value)

    def _skip_without_feedback(self) -> None:
        if not self.connector.capabilities.feedback:
            pytest.skip("the vendor cannot: feedback")


def _disbelieve(stage: Stage, request: Inbound, otherwise: str) -> None:
    try:
        stage.connector.feedback(request)
    except Unverified:
        return
    raise AssertionError(otherwise)
