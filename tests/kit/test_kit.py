"""The kit is put to the test: for every promise there is a connector that breaks it, and the kit finds out."""

from __future__ import annotations

import inspect

import httpx
import pytest

from hub.sdk.testing import ConnectorContract, HttpConnectorContract, json_body
from tests.kit import test_examples  # noqa: F401 - puts the examples on the path
from tests.kit.broken import BROKEN as BROKEN_AT_ONCE
from tests.kit.broken_jobs import BROKEN_JOBS

from test_acme_audiences import FakeAcme  # type: ignore[import-not-found]  # isort: skip
from test_acme_bulk import FakeBulk  # type: ignore[import-not-found]  # isort: skip

BROKEN = {**BROKEN_AT_ONCE, **BROKEN_JOBS}
PROMISES = [name for name, _ in inspect.getmembers(HttpConnectorContract) if name.startswith("test_")]


PAGE = 1000


class WakefulAcme(FakeAcme):  # type: ignore[misc]
    """An Acme that subscribes whoever is sent with `wake`, and says who is on a list."""

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and request.url.path.startswith("/lists/"):
            return self._page(request)
        response = super().answer(request)
        if request.url.path.endswith("/add"):
            for row in json_body(request)["people"]:
                if row.get("wake"):
                    self.subscriptions[row["email"]] = "subscribed"
        return response

    def _page(self, request: httpx.Request) -> httpx.Response:
        held, start = sorted(self.lists[request.url.path.removeprefix("/lists/")]), int(request.url.params["from"])
        if request.url.params.get("tidy"):
            self.lists[request.url.path.removeprefix("/lists/")] = set()
        return httpx.Response(200, json={"members": held[start : start + PAGE], "count": len(held)})


def contract_of(promise: str) -> HttpConnectorContract:
    class Contract(HttpConnectorContract):
        connector = BROKEN[promise]
        config = {"token": "acme-token-1234"}  # noqa: RUF012
        fields = {"first_name": "Annabella"}  # noqa: RUF012

        def make_vendor(self) -> FakeAcme:
            return FakeBulk() if promise in BROKEN_JOBS else WakefulAcme()

    return Contract()


@pytest.mark.parametrize("promise", PROMISES)
async def test_the_kit_finds_the_connector_that_breaks_a_promise(promise: str) -> None:
    assert promise in BROKEN, f"no connector breaks {promise}"
    with pytest.raises((AssertionError, pytest.fail.Exception, IndexError)):
        await getattr(contract_of(promise), promise)()


def test_there_is_no_broken_connector_without_its_promise() -> None:
    assert set(BROKEN) == set(PROMISES) and len(PROMISES) >= 35


def test_a_connector_without_http_inherits_the_promises_that_concern_it() -> None:
    own = {name for name, _ in inspect.getmembers(ConnectorContract) if name.startswith("test_")}
    assert own < set(PROMISES)
