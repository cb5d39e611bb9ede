"""E-mail, through the operator's SMTP server: the one module that imports an SMTP client.

The operator names the server, so its port is theirs to choose; its address is asked of the egress policy all the same,
and only an address that passed is dialled. Nothing a server says is repeated: it may hold people's addresses.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from hub.errors import ErrorCode, refuse
from hub.sdk.dialling import connected
from hub.sdk.egress import EgressPolicy, unlisted
from hub.sdk.errors import AuthError, ConnectorError, RefusedError, TransientError
from hub.sdk.http import trusting_the_usual
from hub.settings import Settings

TOTAL_S = 30.0
PORTS = {"smtps": 465, "smtp": 587}


@dataclass(frozen=True, slots=True)
class MailServer:
    """`implicit_tls` begins encrypted; else STARTTLS is demanded, unless the URL says `tls=none`."""

    host: str
    port: int
    user: str | None
    password: str | None = field(repr=False)
    implicit_tls: bool
    plain: bool
    sender: str


class PartlyRefused(RefusedError):  # noqa: N818 - it reads as what happened
    """The server took the message for some of its recipients: they are told, so it must not be sent again."""


def mail_server(settings: Settings) -> MailServer:
    """The server that the operator has set; HubError UNSUPPORTED where there is none."""
    if settings.smtp_url is None or settings.smtp_from is None:
        message = "The hub cannot send e-mail: the operator sets HUB_SMTP_URL and HUB_SMTP_FROM first."
        raise refuse(ErrorCode.UNSUPPORTED, message, "HUB_SMTP_URL")
    url = urlsplit(settings.smtp_url.get_secret_value())
    return MailServer(
        host=url.hostname or "",
        port=url.port or PORTS[url.scheme],
        user=unquote(url.username) if url.username else None,
        password=unquote(url.password) if url.password else None,
        implicit_tls=url.scheme == "smtps",
        plain=parse_qs(url.query).get("tls") == ["none"],
        sender=settings.smtp_from,
    )


async def send(policy: EgressPolicy, server: MailServer, message: EmailMessage) -> None:
    """Hand the message to the server. Raises EgressDenied, AuthError, RefusedError, or TransientError for faults that
    may pass; PartlyRefused where some recipients were refused."""
    if server.plain and not policy.lists(server.host, server.port):
        raise unlisted(f"{server.host} would be spoken to without TLS", server.host, server.port)
    try:
        async with asyncio.timeout(TOTAL_S):
            refused = await _hand_over(server, message, await connected(policy, server.host, server.port))
    except ConnectorError:
        raise
    except (aiosmtplib.SMTPException, OSError, EOFError) as error:
        raise _fault(server, error) from None
    if refused:
        raise PartlyRefused(f"{server.host} refused {refused} of the recipients")


async def _hand_over(server: MailServer, message: EmailMessage, dialled: socket.socket) -> int:
    """How many recipients were refused, while others were not. The socket is the client's from here on."""
    client = aiosmtplib.SMTP(
        hostname=server.host,
        sock=dialled,
        use_tls=server.implicit_tls,
        start_tls=not (server.implicit_tls or server.plain),
        tls_context=trusting_the_usual(),
        username=server.user,
        password=server.password,
        # Else it looks up and tells this machine's own name.
        local_hostname=server.sender.rpartition("@")[2],
        timeout=TOTAL_S,
    )
    try:
        await client.connect()
        refused, _ = await client.send_message(message)
        # It is sent by now: a fault in parting must not send it twice.
        with suppress(aiosmtplib.SMTPException, OSError):
            await client.quit()
        return len(refused)
    finally:
        client.close()


def _fault(server: MailServer, error: Exception) -> ConnectorError:
    host = server.host
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return AuthError(f"{host} does not accept the user name and password in HUB_SMTP_URL")
    code = _code(error)
    if code is not None and code >= 500:
        return RefusedError(f"{host} answered {code}")
    if code is not None:
        return TransientError(f"{host} answered {code}")
    if isinstance(error, aiosmtplib.SMTPNotSupported) or "STARTTLS" in str(error):
        return RefusedError(f"{host} does not offer what HUB_SMTP_URL asks for: TLS, or a way to log in")
    late = isinstance(error, TimeoutError)
    return TransientError(f"{host} did not answer in time" if late else f"{host} could not be reached, or broke off")


def _code(error: Exception) -> int | None:
    """The server's word on the message: of several refused recipients, the mildest."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return min((refusal.code for refusal in error.recipients), default=None)
    return error.code if isinstance(error, aiosmtplib.SMTPResponseException) and error.code > 0 else None
