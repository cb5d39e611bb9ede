"""TLS that does not hold (row F23), with a CA of the test's own: nothing is said to whom we cannot trust."""

from __future__ import annotations

import datetime
import ssl
import struct
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trustme

from hub.sdk.egress import EgressPolicy
from hub.sdk.errors import TransientError
from hub.sdk.http import Bounds, Http
from tests.clockwork import let_pass
from tests.sdk.hostile import Line, Script, Vendor, hostile, says

NAME = "vendor.example"
OURS, THEIRS = trustme.CA(), trustme.CA()
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def presenting(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


def outdated(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = presenting(OURS.issue_cert(NAME))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = version
    return context


BAD = {
    "expired": presenting(OURS.issue_cert(NAME, not_before=PAST, not_after=PAST + datetime.timedelta(days=1))),
    "of another host": presenting(OURS.issue_cert("other.example")),
    "of another host's wildcard": presenting(OURS.issue_cert("*.vendor.example")),
    "of the address alone": presenting(OURS.issue_cert("127.0.0.1")),
    "by an unknown authority": presenting(THEIRS.issue_cert(NAME)),
    "of TLS 1.0": outdated(ssl.TLSVersion.TLSv1),
    "of TLS 1.1": outdated(ssl.TLSVersion.TLSv1_1),
}


async def resolve_here(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def trusting(vendor: Vendor, **bounds: float) -> AsyncIterator[Http]:
    """A client that trusts our authority and has one connection to give."""
    tls = ssl.create_default_context()
    OURS.configure_trust(tls)
    policy = EgressPolicy(frozenset({f"{NAME}:{vendor.port}"}), resolve_here)
    async with Http(policy, Bounds(**{"connections": 1, **bounds}), tls=tls) as http:  # type: ignore[arg-type]
        yield http


async def fault_of(vendor: Vendor, **bounds: float) -> TransientError:
    """What a request ends in, twice over: the only connection must be free again."""
    async with trusting(vendor, **bounds) as http:
        for _ in range(2):
            with pytest.raises(TransientError) as fault:
                await http.request("POST", f"https://{NAME}:{vendor.port}/", json={}, auth=("me", "secret"))
    await vendor.left_alone()
    return fault.value


async def test_a_certificate_by_an_authority_that_is_trusted_is_taken() -> None:
    async with hostile(tls=presenting(OURS.issue_cert(NAME))) as vendor, trusting(vendor) as http:
        assert (await http.request("GET", f"https://{NAME}:{vendor.port}/")).ok


@pytest.mark.parametrize("name", BAD)
async def test_nothing_is_said_under_a_certificate(name: str) -> None:
    async with hostile(tls=BAD[name]) as vendor:
        fault = await fault_of(vendor)
    assert fault.sent is False and vendor.requests == []


async def test_without_our_authority_the_usual_ones_do_not_vouch_for_it() -> None:
    async with hostile(tls=presenting(OURS.issue_cert(NAME))) as vendor:
        async with Http(EgressPolicy(frozenset({f"{NAME}:{vendor.port}"}), resolve_here)) as http:
            with pytest.raises(TransientError) as fault:
                await http.request("GET", f"https://{NAME}:{vendor.port}/")
        assert fault.value.sent is False and vendor.requests == []


async def plainly(line: Line) -> None:
    await line.say(says(b"{}"))


async def demanding_plain_text(line: Line) -> None:
    await line.say(b"HTTP/1.1 400 The plain HTTP request was sent to HTTPS port\r\n\r\n")


async def alerting(line: Line) -> None:
    await line.say(b"\x15\x03\x01\x00\x02\x02\x28")


async def resetting(line: Line) -> None:
    line.reset()


async def closing(line: Line) -> None:
    line.close()


async def hanging(line: Line) -> None:
    let_pass(Bounds().connect_s)


def is_tls(said: bytes) -> bool:
    """Whether all of it is records of TLS, of which the first begins a handshake."""
    first = said[:1]
    while said:
        kind, version, length = struct.unpack_from("!BBxH", said)
        if kind not in {20, 21, 22, 23} or version != 3:
            return False
        said = said[5 + length :]
    return first == b"\x16"


@pytest.mark.parametrize("script", [plainly, demanding_plain_text, alerting, resetting, closing, hanging])
async def test_whoever_does_not_speak_tls_is_told_nothing_in_plain_text(script: Script) -> None:
    heard: list[bytes] = []

    async def listening(line: Line) -> None:
        began = await line.piece()
        await script(line)
        heard.append(began + await line.rest())

    async with hostile(listening, listening) as vendor:
        fault = await fault_of(vendor)
    assert fault.sent is False and vendor.lines == 2
    assert len(heard) == 2 and all(is_tls(said) for said in heard)


async def test_a_handshake_that_takes_all_the_time_there_is_is_hung_up_on() -> None:
    """httpcore closes a line when connecting has taken too long, but not when it is called off."""

    async def dawdling(line: Line) -> None:
        await line.piece()
        let_pass(Bounds().total_s)
        await line.silence()

    async with hostile(dawdling, dawdling) as vendor:
        fault = await fault_of(vendor, connect_s=2 * Bounds().total_s)
    assert fault.sent is False and vendor.lines == 2


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_to_plain_text_is_not_followed(status: int) -> None:
    async with hostile() as plain:
        moved = says(b"", f"Location: http://{NAME}:{plain.port}/", status=f"{status} Moved")
        async with hostile(well=moved, tls=presenting(OURS.issue_cert(NAME))) as vendor, trusting(vendor) as http:
            answer = await http.request("GET", f"https://{NAME}:{vendor.port}/", classify=lambda _: None)
        assert answer.status == status and plain.lines == 0


async def test_a_line_that_breaks_after_the_handshake_may_have_carried_the_request() -> None:
    async def breaking(line: Line) -> None:
        await line.request()
        line.reset()

    async with hostile(breaking, breaking, tls=presenting(OURS.issue_cert(NAME))) as vendor:
        assert (await fault_of(vendor)).sent is True
