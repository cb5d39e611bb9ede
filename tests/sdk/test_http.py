"""The way out against real sockets: rows F14 to F16 and F22 to F25 of the reliability catalogue, and redaction."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import ipaddress
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest
import respx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hub.sdk.egress import EgressDenied, EgressPolicy
from hub.sdk.errors import AuthError, ConnectorError, RefusedError, TransientError
from hub.sdk.http import Bounds, Http, Response, by_status
from tests.clockwork import pass_by

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SECRET = "do-not-tell"


class Server:
    """A socket that answers as a script says and keeps what it was sent."""

    def __init__(self, answer: Answer | bytes) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.port = 0

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
            )
            self.requests.append(head + await reader.readexactly(length))
            if isinstance(self.answer, bytes):
                writer.write(self.answer)
                await writer.drain()
            else:
                await self.answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: Answer | bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


def http_to(server: Server, bounds: Bounds | None = None, **kwargs: object) -> Http:
    return Http(EgressPolicy(frozenset({server.at})), bounds, **kwargs)  # type: ignore[arg-type]


def says(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def fault_of(answer: Answer | bytes, bounds: Bounds | None = None) -> ConnectorError:
    async with serving(answer) as server, http_to(server, bounds) as http:
        with pytest.raises(ConnectorError) as fault:
            await http.request(
                "POST", f"http://{server.at}/{SECRET}?key={SECRET}", json={"x": SECRET}, headers={"k": SECRET}
            )
        assert SECRET not in f"{fault.value} {fault.value!r} {fault.value.__cause__}"
        return fault.value


async def test_a_request_reaches_a_listed_server_and_its_answer_is_read_whole() -> None:
    async with serving(says(b'{"ok": true}', "X-Limit: 3", "Set-Cookie: a=b")) as server, http_to(server) as http:
        response = await http.request("POST", f"http://{server.at}/in", params={"q": "ä b"}, json={"b": 1, "a": 2},
                                      auth=("me", "secret"))  # fmt: skip
        await http.request("GET", f"http://{server.at}/again")
    assert response.json() == {"ok": True} and response.headers["x-limit"] == "3"
    first, second = server.requests
    assert first.startswith(b"POST /in?q=%C3%A4+b HTTP/1.1\r\n") and first.endswith(b'{"a":2,"b":1}')
    assert f"host: {server.at}".encode() in first.lower() and b"authorization: basic" in first.lower()
    assert b"cookie" not in second.lower() and b"authorization" not in second.lower()


async def test_the_environment_cannot_put_a_proxy_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(says(b"{}")) as server, http_to(server) as http:
        assert (await http.request("GET", f"http://{server.at}/")).ok


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent", "304 Same"]
)
async def test_a_redirect_is_an_error_and_no_second_request_follows(status: str) -> None:
    async with serving(says(b"")) as inner:
        moved = says(b"", f"Location: http://{inner.at}/inner", status=status)
        async with serving(moved) as server, Http(EgressPolicy(frozenset({server.at, inner.at}))) as http:
            with pytest.raises(AuthError):
                await http.request("POST", f"http://{server.at}/", auth=("me", SECRET))
        assert inner.requests == [] and len(server.requests) == 1


async def test_an_unlisted_address_is_denied_before_anything_is_sent() -> None:
    async with serving(says(b"{}")) as server, Http(EgressPolicy()) as http:
        with pytest.raises(EgressDenied):
            await http.request("GET", f"http://{server.at}/")
        assert server.requests == []


async def test_a_name_that_turns_inward_after_its_check_is_denied_when_it_is_dialled() -> None:
    answers = iter([["93.184.215.14"], ["127.0.0.1"]])

    async def resolve(host: str, port: int) -> list[str]:
        return next(answers)

    policy = EgressPolicy(resolve=resolve)
    await policy.admit("https://example.com/")
    async with Http(policy) as http:
        with pytest.raises(EgressDenied):
            await http.request("GET", "https://example.com/")


async def test_the_address_that_was_checked_is_the_one_dialled_and_the_name_stays() -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with serving(says(b"{}")) as server:
        policy = EgressPolicy(frozenset({f"shop.example:{server.port}"}), resolve)
        async with Http(policy) as http:
            assert (await http.request("GET", f"http://shop.example:{server.port}/")).ok
        assert asked == ["shop.example"]
        assert f"host: shop.example:{server.port}".encode() in server.requests[0].lower()


async def test_a_server_that_is_not_there_was_certainly_not_sent_to() -> None:
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{nobody.getsockname()[1]}"
        async with Http(EgressPolicy(frozenset({at}))) as http:
            with pytest.raises(TransientError) as fault:
                await http.request("GET", f"http://{at}/")
    assert fault.value.sent is False


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await pass_by(Bounds().total_s)


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(100):
        writer.write(b"x")
        await writer.drain()
        await pass_by(1.0)


async def drip_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(100):
        writer.write(b"x: y\r\n")
        await writer.drain()
        await pass_by(1.0)


@pytest.mark.parametrize(
    "answer",
    [reset, hang, drip, drip_headers, b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"],
    ids=["reset", "hang", "drip", "drip-headers", "closed", "not-http", "short", "bad-chunk", "short-chunk"],
)  # fmt: skip
async def test_what_breaks_off_after_the_request_may_have_arrived(answer: Answer | bytes) -> None:
    fault = await fault_of(answer)
    assert isinstance(fault, TransientError) and fault.sent is True


@pytest.mark.parametrize(
    "answer",
    [
        says(b"x" * 2_000_001),
        says(gzip.compress(b"\0" * 50_000_000), "Content-Encoding: gzip"),
        says(gzip.compress(b"{}")[:-4], "Content-Encoding: gzip"),
        says(b"{}", "Content-Encoding: gzip"),
        says(b"{}", "Content-Encoding: br"),
        says(b"{}", *(f"x-{n}: {'y' * 100}" for n in range(20_000))),
    ],
    ids=["long", "bomb", "cut-gzip", "no-gzip", "brotli", "headers"],
)
async def test_an_answer_beyond_the_bounds_is_given_up(answer: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fault = await fault_of(answer, Bounds(body=2_000_000))
    assert isinstance(fault, TransientError) and fault.sent is True
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


async def test_a_packed_answer_is_unpacked() -> None:
    async with serving(says(gzip.compress(b'{"a":1}'), "Content-Encoding: gzip")) as server, http_to(server) as http:
        assert (await http.request("GET", f"http://{server.at}/")).json() == {"a": 1}


async def test_a_head_without_a_body_is_no_fault_even_if_it_claims_to_be_packed() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Encoding: gzip\r\n\r\n"
    async with serving(head) as server, http_to(server) as http:
        assert (await http.request("HEAD", f"http://{server.at}/")).body == b""


@pytest.mark.parametrize("header", ["a\r\nX-Injected: 1", "a\nb", "ä\r", "\0"])
async def test_a_header_cannot_smuggle_another(header: str) -> None:
    async with serving(says(b"{}")) as server, http_to(server) as http:
        with pytest.raises(RefusedError):
            await http.request("GET", f"http://{server.at}/", headers={"x-key": header})
        assert all(b"X-Injected" not in request for request in server.requests)


def certificate(folder: Path, name: str, *, days: int = 1) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    names: list[x509.GeneralName] = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.mark.parametrize(
    ("name", "days", "trusted"),
    [("shop.example", 1, False), ("other.example", 1, True), ("shop.example", -1, True)],
    ids=["self-signed", "wrong-host", "expired"],
)
async def test_a_certificate_that_does_not_hold_is_refused_before_anything_is_sent(
    tmp_path: Path, name: str, days: int, trusted: bool
) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with serving(says(b"{}"), certificate(tmp_path, name, days=days)) as server:
        tls = ssl.create_default_context(cafile=os.fspath(tmp_path / "cert.pem")) if trusted else None
        async with Http(EgressPolicy(frozenset({f"shop.example:{server.port}"}), resolve), tls=tls) as http:
            with pytest.raises(TransientError) as fault:
                await http.request("GET", f"https://shop.example:{server.port}/")
        assert fault.value.sent is False and server.requests == []


async def test_a_certificate_is_checked_against_the_name_not_the_address(tmp_path: Path) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with serving(says(b"{}"), certificate(tmp_path, "shop.example")) as server:
        tls = ssl.create_default_context(cafile=os.fspath(tmp_path / "cert.pem"))
        async with Http(EgressPolicy(frozenset({f"shop.example:{server.port}"}), resolve), tls=tls) as http:
            assert (await http.request("GET", f"https://shop.example:{server.port}/")).ok


def answering(status: int, **headers: str) -> ConnectorError | None:
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return by_status(Response(status, named, b"", "api.example", moment))


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        # seconds
        ("7", 7.0), ("0", 0.0), (" 12 ", 12.0), ("1.5", 1.5), ("1000000000000", 86_400.0), ("86401", 86_400.0),
        # a date, in each form that HTTP has had
        ("Thu, 01 Jan 2026 00:01:40 GMT", 100.0), ("Thursday, 01-Jan-26 00:01:40 GMT", 100.0),
        ("Thu Jan  1 00:01:40 2026", 100.0), ("Thu, 01 Jan 2026 01:01:40 +0100", 100.0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 86_400.0),
        # the past, and nonsense
        ("Wed, 31 Dec 2025 23:00:00 GMT", None), ("-5", None), ("soon", None), ("", None), ("٣", None),
        ("9" * 400, None), ("Thu, 99 Foo", None), ("NaN", None), ("inf", None), ("1e3", None), ("0x10", None),
        ("1.", None), ("7s", None), ("7, 8", None), ("+7", None), ("Fri, 01 Jan 99999 00:00:00 GMT", None),
    ],
)  # fmt: skip
def test_a_wait_is_read_in_both_forms_and_nonsense_counts_as_unsaid(said: str, seconds: float | None) -> None:
    for status in (429, 503):
        error = answering(status, retry_after=said)
        assert isinstance(error, TransientError) and error.retry_after == seconds


NEW_YEAR = 1_767_225_600  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("header", "said", "seconds"),
    [
        ("x-ratelimit-reset", "30", 30.0),  # Braze: seconds
        ("x-ratelimit-reset", str(NEW_YEAR + 45), 45.0),  # SendGrid: an instant
        ("x-ratelimit-reset", f"{NEW_YEAR + 45}000", 45.0),  # the same in milliseconds
        ("x-ratelimit-reset", f"{NEW_YEAR + 10**9}", 86_400.0),
        ("x-ratelimit-reset", str(NEW_YEAR - 5), None),
        ("x-ratelimit-reset", "soon", None),
        ("x-ratelimit-reset", "-3", None),
        ("ratelimit-reset", "12", 12.0),  # Klaviyo
        ("x-sib-ratelimit-reset", "600", 600.0),  # Brevo
        ("x-contentful-ratelimit-reset", "1", 1.0),
        ("x-ratelimit-retry-after", "3", 3.0),  # Braze, in the place of the others
    ],
)
def test_a_throttled_answer_is_read_in_its_vendors_dialect(header: str, said: str, seconds: float | None) -> None:
    error = answering(429, **{header: said})
    assert isinstance(error, TransientError) and error.retry_after == seconds


def test_retry_after_goes_before_a_reset_and_a_reset_says_nothing_of_an_outage() -> None:
    both = answering(429, retry_after="7", x_ratelimit_reset="3600")
    garbled = answering(429, retry_after="soon", x_ratelimit_reset="60")
    outage = answering(503, x_ratelimit_reset="3600")
    assert [getattr(error, "retry_after", -1) for error in (both, garbled, outage)] == [7.0, 60.0, None]


async def test_an_observer_hears_of_every_request_and_answer_and_others_of_none() -> None:
    heard: list[str] = []

    class Ear:
        def asked(self) -> None:
            heard.append("asked")

        def answered(self, response: Response) -> None:
            heard.append(response.headers["x-left"])

    async with serving(says(b"", "X-Left: 3", status="429 Too Many")) as server, http_to(server) as http:
        for client in (http, http.watched_by(Ear())):
            with pytest.raises(TransientError):
                await client.request("GET", f"http://{server.at}/")
    assert heard == ["asked", "3"]


def test_a_status_becomes_what_should_happen_next() -> None:
    assert all(answering(status) is None for status in (200, 201, 202, 204, 207))
    assert all(isinstance(answering(status), AuthError) for status in (301, 302, 307, 401, 403))
    assert all(isinstance(answering(status), TransientError) for status in (408, 425, 429, 500, 502, 503, 504, 599))
    assert all(isinstance(answering(status), RefusedError) for status in (400, 402, 404, 405, 409, 413, 422, 451))
    refusals = {status: answering(status) for status in (400, 404, 413, 422)}
    assert [status for status, error in refusals.items() if getattr(error, "divisible", False)] == [400, 413, 422]


def test_nothing_of_an_answer_shows_when_it_is_printed() -> None:
    response = Response(200, {"x-key": SECRET}, SECRET.encode(), "api.example")
    assert SECRET not in repr(response)
    with pytest.raises(TransientError) as fault:
        response.json()
    assert SECRET not in f"{fault.value!r} {fault.value.__cause__}"


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        (httpx.ConnectError, False),
        (httpx.ConnectTimeout, False),
        (httpx.ReadTimeout, True),
        (httpx.ReadError, True),
        (httpx.WriteError, True),
    ],
)
async def test_faults_of_a_mocked_transport_are_told_apart_too(fault: type[Exception], sent: bool) -> None:
    with respx.mock() as mock:
        mock.get("https://api.example.com/x").mock(side_effect=fault(SECRET))
        async with Http(EgressPolicy()) as http:
            with pytest.raises(TransientError) as raised:
                await http.request("GET", "https://api.example.com/x")
    assert raised.value.sent is sent and SECRET not in str(raised.value)
