"""The connectors against a vendor that means ill, at a real socket: nobody counts as done, and nobody as refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from hub.sdk import AccessTokens, Audience, Batch, Connector, EgressPolicy, Http, Outcome, Person, Token, TransientError
from hub.sdk.testing import HttpConnectorContract
from hub.sdk.testing.stage import DONE, key_of
from tests.connectors import test_never_success as corpus
from tests.connectors.test_never_success import Webhook
from tests.sdk.hostile import BREAKS, NONSENSE, SILENCES, Script, Vendor, client_of, heard, hostile, says

# Marketing Cloud's addresses are made of a subdomain, and lead nowhere else.
KITS = [kit for kit in corpus.KITS if kit is not corpus.MarketingCloud]
# As vendors label what they send; none of it is believed.
TYPES = ("application/json", "text/html; charset=utf-16", "image/png", "", "x" * 3000)


def facing(vendor: Vendor, http: Http, kit: type[HttpConnectorContract]) -> Connector[Any]:
    """The connector as its kit configures it, with this vendor in the place of the real one. Whoever asks for a token
    first, at another address, holds one."""
    address = {"url": f"http://{vendor.at}/hook"} if kit is Webhook else {"api_url": f"http://{vendor.at}"}
    connector = kit.connector(kit.connector.Config.model_validate({**kit.config, **address}), http)
    if hasattr(kit.connector, "_tokens"):
        vars(connector)["_tokens"] = AccessTokens(held)
    return connector


async def held() -> Token:
    return Token(access_token=SecretStr("held"))


def batches(kit: type[HttpConnectorContract]) -> list[Batch]:
    """One that adds and one that removes; each is a single request if the vendor takes more than one person at all."""
    able = kit.connector.capabilities
    kind = able.identifiers[0] if able.identifiers else able.key
    person = Person("p1", f"{kind}:{key_of(kind, 'ann')}" if able.identifiers else key_of(kind, "ann"), {})
    return [Batch(add=[person], sync="s", run="r"), Batch(remove=[person], sync="s", run="r")]


async def undone(connector: Connector[Any], batch: Batch) -> bool:
    """Whether the batch ends as one that may have arrived and counts for nobody."""
    try:
        result = await connector.apply(Audience("vip", "1000"), batch)
    except TransientError as error:
        return error.sent
    kinds = [result.outcomes.get(one.key, Outcome(result.rest)).kind for one in (*batch.add, *batch.remove)]
    return not DONE & {*kinds} and all(kind.value in {"unknown", "retry"} for kind in kinds)


async def all_undone(kit: type[HttpConnectorContract], script: Script) -> bool:
    adding, removing = batches(kit)
    async with hostile(script, script) as vendor:
        async with client_of(vendor) as http:
            connector = facing(vendor, http, kit)
            ends = [await undone(connector, adding), await undone(connector, removing)]
        await vendor.left_alone()
    return all(ends)


@pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.__name__)
@pytest.mark.parametrize("name", [*BREAKS, *NONSENSE])
async def test_nobody_is_done_by_an_answer_that_is_none(kit: type[HttpConnectorContract], name: str) -> None:
    assert await all_undone(kit, {**BREAKS, **NONSENSE}[name])


@pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.__name__)
async def test_nobody_is_done_by_a_vendor_who_dawdles(kit: type[HttpConnectorContract]) -> None:
    for name in ("no answer", "headers line by line", "the end of the body missing"):
        assert await all_undone(kit, SILENCES[name]), name


@pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.__name__)
@pytest.mark.parametrize("status", ["200 OK", "202 Accepted"])
async def test_no_body_that_says_nothing_is_success_whatever_it_is_called(
    kit: type[HttpConnectorContract], status: str
) -> None:
    """The whole corpus of answers with status 2xx that are no success, each as it comes over a socket."""
    adding, removing = batches(kit)
    async with hostile() as vendor, Http(EgressPolicy(frozenset({vendor.at}))) as http:
        connector = facing(vendor, http, kit)
        for number, (name, body) in enumerate(kit.corpus.items()):
            vendor.well = says(body, f"Content-Type: {TYPES[number % len(TYPES)]}", status=status)
            assert await undone(connector, adding), f"{name} counted for an add"
            assert await undone(connector, removing), f"{name} counted for a remove"
        assert len(vendor.requests) >= 2 * len(kit.corpus) and vendor.lines == 1


@pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.__name__)
async def test_a_body_in_the_wrong_wrapping_is_no_success(kit: type[HttpConnectorContract]) -> None:
    for packing in ("gzip", "deflate", "br", "zstd", "gzip, gzip", "x"):
        assert await all_undone(kit, heard(says(b'{"x": "not packed"}', f"Content-Encoding: {packing}"))), packing
