"""A vendor that means ill, at the socket (rows F14 to F16, F22 to F25): each case ends in the right error, soon, and
gives its connection back."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import suppress

import pytest

from hub.sdk.egress import EgressPolicy
from hub.sdk.errors import AuthError, ConnectorError, TransientError
from hub.sdk.http import Bounds, Http
from tests.clockwork import let_pass
from tests.sdk.hostile import BREAKS, FLOODS, NONSENSE, SILENCES, Line, Script, client_of, heard, hostile, says

# Too large for the buffers on the way, so that a vendor who does not read it can be noticed.
LARGE = b"x" * 20_000_000


async def fault_of(script: Script, body: bytes = b"{}", **bounds: float) -> ConnectorError:
    """What the request to such a vendor ends in. Afterwards the client's only connection must be free, and no line
    may be left open."""
    async with hostile(script) as vendor:
        async with client_of(vendor, **bounds) as http:
            with pytest.raises(ConnectorError) as fault:
                await http.request("POST", f"http://{vendor.at}/", content=body)
            assert (await http.request("GET", f"http://{vendor.at}/")).body == b"{}"
            assert vendor.lines == 2, "a line that was cheated on was used again"
        await vendor.left_alone()
    return fault.value


def may_have_arrived(fault: ConnectorError) -> bool:
    return isinstance(fault, TransientError) and fault.sent


@pytest.mark.parametrize("name", BREAKS)
async def test_whatever_breaks_off_once_connected_may_have_arrived(name: str) -> None:
    assert may_have_arrived(await fault_of(BREAKS[name]))


@pytest.mark.parametrize("name", BREAKS)
async def test_a_large_request_that_breaks_off_may_have_arrived(name: str) -> None:
    assert may_have_arrived(await fault_of(BREAKS[name], LARGE))


@pytest.mark.parametrize("name", SILENCES)
async def test_whoever_dawdles_is_hung_up_on_and_the_place_is_free_again(name: str) -> None:
    fault = await fault_of(SILENCES[name], LARGE)
    assert may_have_arrived(fault) and "did not answer in time" in fault.reason


@pytest.mark.parametrize("name", NONSENSE)
async def test_what_is_not_one_whole_answer_counts_as_none(name: str) -> None:
    assert may_have_arrived(await fault_of(NONSENSE[name]))


async def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_one() -> None:
    asked = asyncio.Event()

    async def talkative(line: Line) -> None:
        await line.request()
        await line.say(says(b"first"))
        await line.say(says(b"unasked"))
        asked.set()
        await line.silence()

    async with hostile(talkative, well=says(b"true")) as vendor, client_of(vendor) as http:
        bodies = []
        with suppress(TransientError):
            bodies.append((await http.request("GET", f"http://{vendor.at}/")).body)
        await asked.wait()
        await asyncio.sleep(0.01)
        bodies.append((await http.request("GET", f"http://{vendor.at}/")).body)
        assert bodies[-1] == b"true" and b"unasked" not in bodies


@pytest.mark.parametrize("pause", [0.0, 0.05], ids=["at once", "later"])
async def test_a_body_behind_the_answer_to_a_head_is_not_taken_for_the_next_answer(pause: float) -> None:
    """As careless receivers send it; the head itself is an answer."""

    async def careless(line: Line) -> None:
        await line.request()
        if pause:
            await line.say(b"HTTP/1.1 405 No\r\nContent-Length: 2\r\n\r\n")
            await asyncio.sleep(pause)
        await line.say(b"no" if pause else says(b"no", status="405 No"))
        await line.silence()

    async with hostile(careless, well=says(b"true")) as vendor, client_of(vendor) as http:
        answer = await http.request("HEAD", f"http://{vendor.at}/", classify=lambda _: None)
        await asyncio.sleep(2 * pause)
        assert answer.status == 405 and answer.body == b""
        assert (await http.request("GET", f"http://{vendor.at}/")).body == b"true"


async def test_a_request_that_never_got_a_connection_was_certainly_not_sent() -> None:
    """The one that hangs holds the only connection for longer than the other has time."""
    begun = asyncio.Event()

    async def never(line: Line) -> None:
        await line.request()
        begun.set()
        await line.silence()

    async with hostile(never) as vendor, client_of(vendor) as http:
        hanging = asyncio.create_task(http.request("GET", f"http://{vendor.at}/"))
        await begun.wait()
        http.bounds = Bounds(total_s=0.1, connections=1)
        with pytest.raises(TransientError) as fault:
            await http.request("GET", f"http://{vendor.at}/")
        assert fault.value.sent is False
        let_pass(Bounds().total_s)
        with pytest.raises(TransientError) as silent:
            await hanging
        assert silent.value.sent is True


def test_no_flood_is_swallowed_whole_and_none_takes_much_memory() -> None:
    run = subprocess.run([sys.executable, "-m", "tests.sdk.swallowing"], capture_output=True, check=True, timeout=600)
    told = json.loads(run.stdout)
    assert {
        name: (flood["sent"], flood["late"], flood["free"]) for name, flood in told["floods"].items()
    } == dict.fromkeys(FLOODS, (True, False, True))
    # What is on the way comes on top of what is heard.
    assert all(flood["said"] < Bounds().wire + 10_000_000 for flood in told["floods"].values()), told
    assert told["grown"] < 50_000_000, told


ELSEWHERE = [
    "http://{inner}/", "https://{inner}/", "//{inner}/", "http://user:word@{inner}/", "/again", "?again", "again",
    "http://169.254.169.254/latest/meta-data/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://2130706433/",
    "http://0x7f.1/", "file:///etc/passwd", "gopher://{inner}/", "javascript:alert(1)", "http://", "http://[", "",
    "http://example.com:99999/", "http://exa mple/", "\u00e4", "http://\u00e4/", "x" * 70_000,
]  # fmt: skip


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed_wherever_it_leads(status: int) -> None:
    async with hostile() as inner:
        moves = [
            heard(says(b"", f"Location: {place.format(inner=inner.at)}", status=f"{status} Moved"))
            for place in ELSEWHERE
        ]
        async with hostile(*moves) as vendor, Http(EgressPolicy(frozenset({vendor.at, inner.at}))) as http:
            for place in ELSEWHERE:
                with pytest.raises(ConnectorError) as fault:
                    await http.request("POST", f"http://{vendor.at}/", auth=("me", "secret"))
                assert isinstance(fault.value, AuthError), f"{place[:60]} became {fault.value!r}"
            assert vendor.lines == len(ELSEWHERE) and inner.lines == 0
