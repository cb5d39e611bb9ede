"""What an error says about the requests of the same call that went before it."""

from __future__ import annotations

import httpx
import pytest
import respx

from hub.sdk.calls import one_call
from hub.sdk.egress import EgressPolicy
from hub.sdk.errors import AuthError, ConnectorError, RefusedError
from hub.sdk.http import Http

URL = "https://vendor.test/people"


@pytest.fixture
async def http() -> Http:
    return Http(EgressPolicy(frozenset({"vendor.test:443"})))


@respx.mock
@pytest.mark.parametrize(
    ("methods", "reached"),
    [(["POST"], False), (["GET", "POST"], False), (["POST", "POST"], True), (["PUT", "GET"], True)],
)
@pytest.mark.parametrize(("status", "kind"), [(401, AuthError), (422, RefusedError)])
async def test_a_refusal_says_whether_a_request_before_it_did_its_work(
    http: Http, methods: list[str], reached: bool, status: int, kind: type[ConnectorError]
) -> None:
    answers = [httpx.Response(200, json={})] * (len(methods) - 1) + [httpx.Response(status, json={})]
    for method in ("GET", "POST", "PUT"):
        respx.request(method, URL).mock(side_effect=lambda request: answers.pop(0))
    with pytest.raises(kind) as refused, one_call():
        for method in methods:
            await http.request(method, URL)
    assert refused.value.reached is reached
