"""Who is told of alerts: a real mail server and a real HTTP server, on loopback."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks.webhooks import Webhook

SECRET = "whsec_" + base64.b64encode(bytes(range(7, 39))).decode()
USER, PASSWORD = "hub", "correct horse/battery"


@dataclass
class Mailbox:
    """`refuses` names addresses that are refused; `answers` are given first to whole messages, once each."""

    port: int = 0
    letters: list[EmailMessage] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    answers: deque[str] = field(default_factory=deque)

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: Any) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, _: Any, envelope: Any) -> str:
        if self.answers:
            return self.answers.popleft()
        self.letters.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        self.encrypted.append(server.transport.get_extra_info("sslcontext") is not None)
        return "250 OK"


@asynccontextmanager
async def mail_listening(
    *, starttls: bool = True, implicit: bool = False, login: bool = True
) -> AsyncIterator[Mailbox]:
    """A mail server whose certificate `trusted()` trusts."""
    box = Mailbox()

    def check(_: Any, __: Any, ___: Any, ____: str, told: Any) -> AuthResult:
        right = (told.login, told.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    def protocol() -> SMTP:
        upgrade = {"tls_context": _certificate()[0], "require_starttls": True} if starttls and not implicit else {}
        asks = {"authenticator": check, "auth_required": True, "auth_require_tls": not implicit} if login else {}
        return SMTP(box, hostname="mail.test", **upgrade, **asks)

    loop = asyncio.get_running_loop()
    tls = _certificate()[0] if implicit else None
    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()


def trusted() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=_certificate()[1])


@cache
def _certificate() -> tuple[ssl.SSLContext, str]:
    """A server's TLS context for 127.0.0.1, and its certificate in PEM."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(names, critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    signed = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "both.pem"
        path.write_bytes(signed + secret)
        context.load_cert_chain(path)
    return context, signed.decode()


@dataclass
class Receiver:
    """`answers` are given first, once each; `forged` counts requests whose signature is not right."""

    port: int = 0
    told: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    forged: int = 0
    answers: deque[int] = field(default_factory=deque)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/alerts"

    def take(self, headers: dict[str, str], body: bytes) -> int:
        try:
            Webhook(SECRET).verify(body, headers)
        except Exception:
            self.forged += 1
        self.ids.append(headers["webhook-id"])
        if self.answers:
            return self.answers.popleft()
        self.told.append(json.loads(body))
        return 204


@contextmanager
def webhook_listening() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.take({name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
